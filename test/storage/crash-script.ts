/**
 * A member's storage at work, without Raft and network: commands go to the log, and once they are
 * durable to the state. The script is drawn from a seed, and a naive model says what must be there.
 */
import { present } from '../../src/base/assert.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Applier } from '../../src/apply/applier.ts';
import { encodeCommand, type Command } from '../../src/apply/request.ts';
import {
  CompactionRequest,
  DeleteRangeRequest,
  PutRequest,
  TxnRequest,
} from '../../src/gen/rpc.ts';
import { foundCluster, loadState, type State } from '../../src/server/state.ts';
import { type DataDirectory, openDataDirectory } from '../../src/storage/data-directory.ts';
import type { MemoryDirectory } from '../../src/storage/memory-directory.ts';

export const operationCount = 500;
const identity = { memberId: 1n, clusterId: 2n };
const founders = [1n, 2n, 3n].map((id) => {
  return { id, name: `m${id}`, peerUrls: [`http://m${id}`], clientUrls: [], isLearner: false };
});

export interface Script {
  /** Data of the entry of each index; that of index 0 is empty. */
  readonly datas: readonly Uint8Array[];
  /** Keys and values after each index. */
  readonly contents: readonly string[];
}

/** The term in which the entry of an index was made. */
export function termAt(index: number): number {
  return 1 + Math.floor(index / 45);
}

export function drawScript(seed: number): Script {
  const random = new SeededRandom(seed);
  const model = new Map<string, string>();
  const datas: Uint8Array[] = [new Uint8Array(0)];
  const contents = [''];
  let revision = 1;
  for (let index = 1; index <= operationCount; index++) {
    const { command, revisions } = drawCommand(random, model, index, revision);
    revision += revisions;
    datas.push(encodeCommand(BigInt(index), command));
    contents.push(describe(model));
  }
  return { datas, contents };
}

function describe(model: ReadonlyMap<string, string>): string {
  return [...model]
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(' ');
}

/** Changes the model as the command will change the state. */
function drawCommand(
  random: SeededRandom,
  model: Map<string, string>,
  index: number,
  revision: number,
): { readonly command: Command; readonly revisions: number } {
  const key = `k${random.below(30)}`;
  const value = `v${index}`;
  const kind = random.next();
  if (kind < 0.6) {
    model.set(key, value);
    const put = PutRequest.create({ key: utf8(key), value: utf8(value) });
    return { command: { case: 'put', value: put }, revisions: 1 };
  }
  if (kind < 0.75) {
    const revisions = model.delete(key) ? 1 : 0;
    const remove = DeleteRangeRequest.create({ key: utf8(key) });
    return { command: { case: 'deleteRange', value: remove }, revisions };
  }
  if (kind < 0.95 || revision < 10) {
    const other = `t${random.below(10)}`;
    model.set(key, value);
    model.set(other, value);
    const puts = [key, other].map((each) => {
      const put = PutRequest.create({ key: utf8(each), value: utf8(value) });
      return { request: { case: 'requestPut' as const, value: put } };
    });
    const txn = TxnRequest.create({ success: puts });
    return { command: { case: 'txn', value: txn }, revisions: 1 };
  }
  const compaction = CompactionRequest.create({ revision: revision - 5 });
  return { command: { case: 'compaction', value: compaction }, revisions: 0 };
}

export interface Opened {
  readonly directory: DataDirectory;
  readonly applier: Applier;
  state: State;
}

/** Opens the directory and loads the state, founding the cluster at a first start. */
export function openStorage(
  clock: Clock,
  memory: MemoryDirectory,
  onWrite: (bytes: number) => void,
  done: (opened: Opened) => void,
): void {
  const memoryWriteDelayMs = (_sync: boolean, bytes: number): number => {
    onWrite(bytes);
    return 0;
  };
  const options = { memory, clock, logger: silentLogger, identity, memoryWriteDelayMs };
  openDataDirectory(options, (error, directory) => {
    if (directory === undefined) throw error ?? new Error('not opened');
    const load = (): void => {
      loadInto(clock, directory, (state) => {
        const applier = new Applier(state);
        done({ directory, applier, state });
      });
    };
    if (directory.fresh) foundCluster(directory.backend, founders, load);
    else load();
  });
}

function loadInto(clock: Clock, directory: DataDirectory, done: (state: State) => void): void {
  const { backend } = directory;
  loadState({ backend, clock, cacheBytes: 64 * 1024 }, (error, state) => {
    done(present(state, String(error)));
  });
}

/** Loads the state that a snapshot brought. */
export function reload(clock: Clock, opened: Opened, done: () => void): void {
  loadInto(clock, opened.directory, (state) => {
    opened.state = state;
    opened.applier.restore(state);
    done();
  });
}

export function contentsOf({ store }: State): string {
  const range = { key: '\0', end: '\xff', revision: 0, limit: 0, countOnly: false };
  const pairs = store
    .range(range)
    .kvs.map(({ key, value }): [string, string] => [
      Buffer.from(key).toString('latin1'),
      Buffer.from(value).toString('latin1'),
    ]);
  return describe(new Map(pairs));
}
