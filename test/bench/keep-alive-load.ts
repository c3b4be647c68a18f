/** Leases that are kept alive, one after another. */
import { Lease } from '../../src/gen/services.ts';
import type { ClientJob, KeepAliveJob } from './client-job.ts';
import type { Connection, Duplex } from './connection.ts';
import type { LeaseKeepAliveRequest } from '../../src/gen/rpc.ts';
import { check, type Load, nth, runSenders, timed } from './load.ts';
import { shareOf } from './unary-load.ts';

const { leaseGrant, leaseKeepAlive } = Lease.methods;

/** None runs out in a run. */
const ttlSeconds = 3600;

/** Grants under way while the load is prepared. */
const grantsInFlight = 100;

/** Resolves when all leases are granted. */
export async function keepAliveLoad(
  job: ClientJob,
  load: KeepAliveJob,
  connections: readonly Connection[],
): Promise<Load> {
  const ids = await granted(shareOf(load.leases, job), connections);
  const streams = connections.map((connection) => new RenewalStream(connection));
  let next = 0;
  const senders = Array.from({ length: shareOf(load.inFlight, job) }, (_, i) =>
    timed(async () => {
      const id = ids[next++ % ids.length] as bigint;
      await (streams[i % streams.length] as RenewalStream).renew(id);
      return { operations: 1, writes: 0 };
    }),
  );
  return { run: (seconds) => runSenders(senders, seconds) };
}

async function granted(count: number, connections: readonly Connection[]): Promise<bigint[]> {
  const ids: bigint[] = [];
  let asked = 0;
  const grant = async (connection: Connection): Promise<void> => {
    while (asked < count) {
      asked++;
      const { id, ttl, error } = await connection.unary(leaseGrant, { ttl: ttlSeconds });
      check(id !== 0n && ttl === ttlSeconds && error === '', 'a lease that was not granted');
      ids.push(id);
    }
  };
  const width = Math.min(count, grantsInFlight);
  await Promise.all(Array.from({ length: width }, (_, i) => grant(nth(connections, i))));
  return ids;
}

/** Answers come in the order of the requests. */
class RenewalStream {
  readonly #stream: Duplex<LeaseKeepAliveRequest>;
  readonly #waiting: { id: bigint; done: () => void; failed: (error: unknown) => void }[] = [];

  constructor(connection: Connection) {
    const fail = (error: unknown): void => {
      for (const each of this.#waiting.splice(0)) each.failed(error);
    };
    this.#stream = connection.duplex(
      leaseKeepAlive,
      ({ id, ttl }) => {
        const first = this.#waiting.shift();
        if (first?.id === id && ttl === ttlSeconds) first.done();
        else (first?.failed ?? fail)(new Error(`lease ${id} answered with a TTL of ${ttl}`));
      },
      fail,
    );
  }

  renew(id: bigint): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ id, done, failed });
      this.#stream.send({ id });
    });
  }
}
