/**
 * A cluster of real members in one process, on real data directories: LevelDB cannot be simulated,
 * so its clock is the machine's; messages go through memory.
 */
import { join } from 'node:path';
import { completion, result } from '../../src/base/completion.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import type { Logger } from '../../src/base/logger.ts';
import { silentMetrics } from '../../src/base/metrics.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Member as ClusterMember } from '../../src/cluster/membership.ts';
import { PutRequest } from '../../src/gen/rpc.ts';
import type { Member } from '../../src/server/member.ts';
import { openMember } from '../../src/server/open-member.ts';
import { stateHashOf } from '../../src/server/state.ts';
import { MemoryNetwork } from '../../src/transport/memory-transport.ts';
import { realClock } from './engines.ts';

const clusterId = 0xd15cn;
const pollMs = 5;

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    realClock.after(ms, resolve);
  });
}

/** Waits until something holds, at most so long; whether it came to hold. */
export async function holds(condition: () => boolean, limitMs: number): Promise<boolean> {
  const endMs = realClock.monotonicMs() + limitMs;
  while (!condition()) {
    if (realClock.monotonicMs() >= endMs) return false;
    await sleep(pollMs);
  }
  return true;
}

/** Keeps warnings and errors. */
class MemoryLogger implements Logger {
  readonly lines: string[];

  constructor(lines: string[] = []) {
    this.lines = lines;
  }

  debug(): void {}

  info(): void {}

  warn(_fields: unknown, message: string): void {
    this.lines.push(message);
  }

  error(fields: unknown, message: string): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`);
  }

  child(): Logger {
    return this;
  }
}

export class DiskMember {
  readonly id: bigint;
  readonly path: string;
  readonly #cluster: DiskCluster;
  readonly #logger = new MemoryLogger();
  running: Member | undefined;
  /** Why the last start came to nothing. */
  refusal: string | undefined;
  /** Why the member gave up after its start. */
  failure: string | undefined;

  constructor(cluster: DiskCluster, id: bigint, path: string) {
    this.#cluster = cluster;
    this.id = id;
    this.path = path;
  }

  /** Warnings and errors of the member so far. */
  get warnings(): readonly string[] {
    return this.#logger.lines;
  }

  async start(): Promise<void> {
    const { founders, network, options } = this.#cluster;
    const transport = network.transport(this.id, clusterId);
    this.refusal = undefined;
    this.failure = undefined;
    this.#logger.lines.length = 0;
    const directory = {
      path: this.path,
      clock: realClock,
      logger: this.#logger,
      identity: { memberId: this.id, clusterId },
      flushIntervalMs: 20,
    };
    const member = {
      memberId: this.id,
      transport,
      clock: realClock,
      random: new SeededRandom(Number(this.id) + 7),
      logger: this.#logger,
      metrics: silentMetrics,
      heartbeatMs: 25,
      electionMs: 250,
      preVote: true,
      snapshotCount: options.snapshotCount,
      catchUpEntries: options.catchUpEntries,
      requestLimitBytes: 1_572_864,
      compactionRestMs: 10,
      cacheBytes: 1024 * 1024,
    };
    try {
      this.running = await result<Member>((done) =>
        openMember({ directory, founders: () => founders, member }, done),
      );
    } catch (error) {
      this.refusal = (error as Error).message;
      await completion((done) => transport.stop(() => done(undefined)));
      return;
    }
    this.running.start((failure) => {
      this.failure = failure.message;
    });
  }

  async stop(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    if (running !== undefined) await completion((done) => running.stop(done));
  }

  /** Revision and hash of the whole state; undefined while the member does not serve. */
  get state(): string | undefined {
    const { running } = this;
    if (running === undefined || running.repairing) return undefined;
    return `${running.store.revision} ${stateHashOf(running).toString(16)}`;
  }

  /** Values of all keys. */
  contents(): ReadonlyMap<string, string> {
    const range = { key: '\0', end: '\xff', revision: 0, limit: 0, countOnly: false };
    const kvs = this.running?.store.range(range).kvs ?? [];
    return new Map(kvs.map(({ key, value }) => [textOf(key), textOf(value)]));
  }
}

function textOf(bytes: Uint8Array | string): string {
  return typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('latin1');
}

export interface DiskClusterOptions {
  readonly members: number;
  readonly snapshotCount: number;
  readonly catchUpEntries: number;
}

export class DiskCluster {
  readonly clock: Clock = realClock;
  readonly network = new MemoryNetwork(realClock, new SeededRandom(1), {
    delayMs: { least: 0, most: 0 },
  });
  readonly options: DiskClusterOptions;
  readonly founders: readonly ClusterMember[];
  readonly members: readonly DiskMember[];

  constructor(location: string, options: DiskClusterOptions) {
    this.options = options;
    this.founders = Array.from({ length: options.members }, (_, i) => ({
      id: BigInt(i + 1),
      name: `m${i + 1}`,
      peerUrls: [`http://m${i + 1}`],
      clientUrls: [],
      isLearner: false,
    }));
    this.members = this.founders.map(
      ({ id, name }) => new DiskMember(this, id, join(location, name)),
    );
  }

  async start(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
  }

  get leader(): DiskMember | undefined {
    return this.members.find(({ running }) => running?.server.isLeader === true);
  }

  /** Puts all, in order of no matter what; whether every one was acknowledged in time. */
  async put(pairs: ReadonlyMap<string, string>, limitMs: number): Promise<boolean> {
    const endMs = realClock.monotonicMs() + limitMs;
    let left = [...pairs];
    // Puts of these tests may be repeated: a second one changes the value to what it is.
    while (left.length > 0 && realClock.monotonicMs() < endMs) {
      const server = this.leader?.running?.server;
      if (server === undefined) {
        await sleep(pollMs);
        continue;
      }
      const outcomes = await Promise.allSettled(
        left.map(([key, value]) => {
          const request = PutRequest.create({ key: utf8(key), value: utf8(value) });
          return server.request({ case: 'put', value: request });
        }),
      );
      left = left.filter((_, index) => outcomes[index]?.status === 'rejected');
    }
    return left.length === 0;
  }
}
