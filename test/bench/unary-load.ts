/** Calls whose keys differ from one to the next. */
import { SeededRandom } from '../../src/base/random.ts';
import { CompareResult, CompareTarget, type TxnRequest } from '../../src/gen/rpc.ts';
import { KV } from '../../src/gen/services.ts';
import type { ClientJob, RepeatJob, UnaryJob } from './client-job.ts';
import type { Connection } from './connection.ts';
import { check, type Load, nth, runSenders, type Step, timed } from './load.ts';
import { isValueOf, keyOf, valueOf } from './requests.ts';

/** Keys that are put before the load begins lie below it. */
export const preparedPrefix = 'prepared';

/** A share of writes in `mixed` of one fifth. */
const mixedWrites = 0.2;

const { range, put, deleteRange, txn } = KV.methods;
const written: Step = { operations: 1, writes: 1 };
const read: Step = { operations: 1, writes: 0 };

export function unaryLoad(
  job: ClientJob,
  load: UnaryJob,
  connections: readonly Connection[],
): Load {
  const inFlight = shareOf(load.inFlight, job);
  const random = new SeededRandom(job.process + 1);
  const cursor = { next: job.process };
  const steps = Array.from({ length: inFlight }, (_, i) => {
    const connection = nth(connections, i);
    switch (load.operation) {
      case 'put':
        return () => putKey(connection, keyOf('random', random.below(load.keys)));
      case 'mixed':
        return () => {
          const key = keyOf(preparedPrefix, random.below(load.keys));
          return random.next() < mixedWrites ? putKey(connection, key) : getKey(connection, key);
        };
      case 'swap':
        return swapper(connection, keyOf(`swap/${job.process}`, i));
      case 'delete':
        return () => {
          if (cursor.next >= load.keys) return Promise.resolve(undefined);
          const key = keyOf(preparedPrefix, cursor.next);
          cursor.next += job.processes;
          return deleteKey(connection, key);
        };
    }
  });
  const senders = steps.map(timed);
  return { run: (seconds) => runSenders(senders, seconds) };
}

export function repeatLoad(
  job: ClientJob,
  { path, body, inFlight, writes }: RepeatJob,
  connections: readonly Connection[],
): Load {
  const frame = Buffer.from(body);
  const step = writes ? written : read;
  const senders = Array.from({ length: shareOf(inFlight, job) }, (_, i) =>
    timed(async () => {
      await nth(connections, i).call(path, frame);
      return step;
    }),
  );
  return { run: (seconds) => runSenders(senders, seconds) };
}

/** What this process does of a number for all. */
export function shareOf(total: number, { process, processes }: ClientJob): number {
  return Math.floor((total + process) / processes);
}

async function putKey(connection: Connection, key: Uint8Array): Promise<Step> {
  const { header } = await connection.unary(put, { key, value: valueOf(key) });
  check(header !== undefined && header.revision > 1, 'a put without a revision');
  return written;
}

async function getKey(connection: Connection, key: Uint8Array): Promise<Step> {
  const { kvs, count } = await connection.unary(range, { key });
  const [kv] = kvs;
  check(count === 1 && kv !== undefined && isValueOf(kv.value, key), 'a get of something else');
  return read;
}

async function deleteKey(connection: Connection, key: Uint8Array): Promise<Step> {
  const { deleted } = await connection.unary(deleteRange, { key });
  check(deleted === 1, `${deleted} keys deleted and not one`);
  return written;
}

/** Swaps the value of a key of its own, which is not there at first. */
function swapper(connection: Connection, key: Uint8Array): () => Promise<Step> {
  let modRevision = 0;
  const value = valueOf(key);
  return async () => {
    const request: Partial<TxnRequest> = {
      compare: [
        {
          result: CompareResult.equal,
          target: CompareTarget.mod,
          key,
          targetUnion: { case: 'modRevision', value: modRevision },
          rangeEnd: new Uint8Array(0),
        },
      ],
      success: [
        { request: { case: 'requestPut', value: { ...put.request.create({ key, value }) } } },
      ],
    };
    const { succeeded, header } = await connection.unary(txn, request);
    check(succeeded && header !== undefined, `a swap at revision ${modRevision} did not succeed`);
    modRevision = header.revision;
    return written;
  };
}
