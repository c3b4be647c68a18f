/** One writer, or some, and many watchers: what is counted are events. */
import { WatchCreateRequest } from '../../src/gen/rpc.ts';
import { KV, Watch } from '../../src/gen/services.ts';
import type { Event } from '../../src/gen/kv.ts';
import { latin1 } from '../../src/base/bytes.ts';
import type { ClientJob, LoadFigures, WatchJob } from './client-job.ts';
import type { Connection } from './connection.ts';
import { check, type Load, microsecondsSince, nth, runSenders, type Sender } from './load.ts';
import { keyOf } from './requests.ts';
import { shareOf } from './unary-load.ts';
import type { Samples } from './statistics.ts';

const { watch } = Watch.methods;
const { put } = KV.methods;

/** A put whose events are on their way. */
interface Pending {
  readonly value: string;
  readonly startMs: number;
  readonly samples: Samples;
  missing: number;
  revision: number | undefined;
  done: () => void;
}

/** A key, how many watch it, and the put of it that is under way. */
class WatchedKey {
  readonly key: Uint8Array;
  watchers = 0;
  writes = 0;
  #pending: Pending | undefined;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  /** Resolves when all its watchers have the event. */
  async put(connection: Connection, samples: Samples): Promise<void> {
    const value = `${++this.writes}`.padEnd(256, '.');
    const startMs = performance.now();
    const arrived = new Promise<void>((done) => {
      const missing = this.watchers;
      this.#pending = { value, startMs, samples, missing, revision: undefined, done };
    });
    const { header } = await connection.unary(put, { key: this.key, value: Buffer.from(value) });
    await arrived;
    check(this.#pending?.revision === header?.revision, 'an event of another revision');
    this.#pending = undefined;
  }

  /** @throws Error for an event that is not that of the put under way */
  receive(event: Event): void {
    const pending = this.#pending;
    const { kv } = event;
    check(pending !== undefined && kv !== undefined && pending.missing > 0, 'one event too many');
    check(latin1(kv.value) === pending.value, 'an event with another value');
    pending.revision ??= kv.modRevision;
    check(pending.revision === kv.modRevision, 'one put, two revisions');
    pending.samples.add(microsecondsSince(pending.startMs));
    if (--pending.missing === 0) pending.done();
  }
}

/** Resolves when all watches are there. */
export async function watchLoad(
  job: ClientJob,
  load: WatchJob,
  connections: readonly Connection[],
): Promise<Load> {
  const watchers = shareOf(load.watchers, job);
  const keys = Array.from(
    { length: load.shared ? 1 : watchers },
    (_, i) => new WatchedKey(keyOf(`watched/${job.process}`, i)),
  );
  let failed: (error: unknown) => void = () => undefined;
  const failure = new Promise<never>((_, reject) => (failed = reject));
  // Told to whoever waits for it at that time.
  failure.catch(() => undefined);
  await Promise.race([openWatches(keys, watchers, connections, failed), failure]);
  const writers = load.shared ? 1 : Math.min(shareOf(load.inFlight, job), keys.length);
  const senders = Array.from({ length: writers }, (_, i): Sender => {
    let next = i;
    return async (samples) => {
      const target = keys[next] as WatchedKey;
      next = next + writers < keys.length ? next + writers : i;
      await target.put(nth(connections, i), samples);
      return { operations: target.watchers, writes: 1 };
    };
  });
  return {
    run: (seconds): Promise<LoadFigures> => Promise.race([runSenders(senders, seconds), failure]),
  };
}

/** A stream for each connection, with its share of the watches. */
function openWatches(
  keys: readonly WatchedKey[],
  watchers: number,
  connections: readonly Connection[],
  failed: (error: unknown) => void,
): Promise<void> {
  let missing = watchers;
  return new Promise((opened) => {
    const streams = connections.map((connection) => {
      const keyOfWatch = new Map<number, WatchedKey>();
      /** Asked for and not yet answered; answers come in their order. */
      const asked: WatchedKey[] = [];
      const stream = connection.duplex(
        watch,
        (response) => {
          try {
            if (response.created) {
              const key = asked.shift();
              check(key !== undefined && !response.canceled, 'a watch that was not asked for');
              keyOfWatch.set(response.watchId, key);
              if (--missing === 0) opened();
              return;
            }
            check(!response.canceled, `a canceled watch: ${response.cancelReason}`);
            for (const event of response.events) keyOfWatch.get(response.watchId)?.receive(event);
          } catch (error) {
            failed(error);
          }
        },
        failed,
      );
      return (key: WatchedKey): void => {
        asked.push(key);
        key.watchers++;
        stream.send({ requestUnion: createOf(key.key) });
      };
    });
    for (let i = 0; i < watchers; i++) {
      streams[i % streams.length]?.(keys[i % keys.length] as WatchedKey);
    }
  });
}

function createOf(key: Uint8Array): { case: 'createRequest'; value: WatchCreateRequest } {
  return { case: 'createRequest', value: WatchCreateRequest.create({ key }) };
}
