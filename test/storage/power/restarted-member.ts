/** A member started in this process on what a power cut left, to be asked what it holds. */
import { setTimeout as delay } from 'node:timers/promises';
import { completion, result } from '../../../src/base/completion.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { silentMetrics } from '../../../src/base/metrics.ts';
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import { Applier } from '../../../src/apply/applier.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Member as ClusterMember } from '../../../src/cluster/membership.ts';
import { PutRequest } from '../../../src/gen/rpc.ts';
import { Member } from '../../../src/server/member.ts';
import { EntryKind } from '../../../src/raft/index.ts';
import { foundCluster, loadState, type State } from '../../../src/server/state.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import {
  type DataDirectory,
  type Identity,
  openDataDirectory,
} from '../../../src/storage/data-directory.ts';
import { MemoryNetwork } from '../../../src/transport/memory-transport.ts';
import { realClock } from '../../support/engines.ts';

/** Alone, it has nobody to wait for. */
const heartbeatMs = 2;
const electionMs = 10;
const readyTimeoutMs = 10_000;

/** Who founds the cluster, if the cut came before that. */
export interface Founding {
  readonly identity: Identity;
  readonly founders: readonly ClusterMember[];
}

export function openDirectory(path: string, { identity }: Founding): Promise<DataDirectory> {
  return result((done) =>
    openDataDirectory({ path, clock: realClock, logger: silentLogger, identity }, done),
  );
}

/** The only member of its cluster: it leads, and applies all that is in its log. */
export async function restartAlone(path: string, founding: Founding): Promise<RestartedMember> {
  const directory = await openDirectory(path, founding);
  const { backend } = directory;
  if (directory.fresh) await completion((done) => foundCluster(backend, founding.founders, done));
  const random = new SeededRandom(1);
  const { memberId, clusterId } = founding.identity;
  const member = await result<Member>((done) =>
    Member.open(
      {
        memberId,
        directory,
        transport: new MemoryNetwork(realClock, random).transport(memberId, clusterId),
        clock: realClock,
        random,
        logger: silentLogger,
        metrics: silentMetrics,
        heartbeatMs,
        electionMs,
        preVote: true,
        snapshotCount: 100,
        catchUpEntries: 20,
        requestLimitBytes: 8 * 1024 * 1024,
        compactionRestMs: 1,
      },
      done,
    ),
  ).catch(async (error: unknown) => {
    await completion((done) => directory.close(done));
    throw error;
  });
  const restarted = new RestartedMember(member, directory);
  await restarted.ready();
  return restarted;
}

export class RestartedMember {
  readonly #member: Member;
  readonly #directory: DataDirectory;
  #failure: Error | undefined;

  constructor(member: Member, directory: DataDirectory) {
    this.#member = member;
    this.#directory = directory;
    member.start((error) => {
      this.#failure = error;
    });
  }

  get store(): Store {
    return this.#member.store;
  }

  /** Waits until all that is in the log is applied. */
  async ready(): Promise<void> {
    const { server } = this.#member;
    const untilMs = performance.now() + readyTimeoutMs;
    while (!server.isLeader || server.appliedIndex < this.#directory.raftLog.lastIndex()) {
      if (this.#failure !== undefined) throw this.#failure;
      if (performance.now() > untilMs) throw new Error('it does not come to lead');
      await delay(1);
    }
  }

  /** Writes as a client would. */
  async put(key: string, value: string): Promise<void> {
    const request = PutRequest.create({ key: utf8(key), value: utf8(value) });
    await this.#member.server.request({ case: 'put', value: request });
  }

  async stop(): Promise<void> {
    await completion((done) => this.#member.stop(done));
    if (this.#failure !== undefined) throw this.#failure;
  }
}

export interface FoundKey {
  readonly value: string;
  readonly modRevision: number;
}

/** Everything in the store at a revision. */
export function contentsOf(store: Store, revision = 0): ReadonlyMap<string, FoundKey> {
  const query = { key: '\0', end: '\0', revision, limit: 0, countOnly: false };
  const found = new Map<string, FoundKey>();
  for (const stored of store.range(query).kvs) {
    const { key, value, modRevision } = stored;
    found.set(fromUtf8(key), { value: fromUtf8(value), modRevision });
  }
  return found;
}

/** What state and log together come to, whether committed or not, without becoming a member. */
export async function replayLog<Result>(
  path: string,
  founding: Founding,
  look: (store: Store) => Result,
): Promise<Result> {
  const directory = await openDirectory(path, founding);
  try {
    const { backend, raftLog } = directory;
    const state = await result<State>((done) => loadState({ backend, clock: realClock }, done));
    const applier = new Applier(state);
    const next = backend.flushedIndex + 1;
    const entries = raftLog.entries(next, raftLog.lastIndex() + 1, Infinity);
    if (typeof entries === 'symbol') throw new Error(`no entries from ${next} on`);
    for (const entry of entries) {
      if (entry.kind !== EntryKind.normal) continue;
      applier.apply(entry.data);
      backend.applied(entry.index, entry.term);
    }
    return look(state.store);
  } finally {
    await completion((done) => directory.close(done));
  }
}
