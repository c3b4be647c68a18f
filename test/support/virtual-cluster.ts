/**
 * A whole cluster of real members in one process: virtual time, network and disks, one seed. What
 * the daemon adds, processes and sockets, is all that is missing.
 */
import { silentLogger } from '../../src/base/logger.ts';
import type { Clock, Timer } from '../../src/base/clock.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Member as ClusterMember } from '../../src/cluster/membership.ts';
import type { Member, MemberOptions } from '../../src/server/member.ts';
import { openMember } from '../../src/server/open-member.ts';
import { MemoryDirectory } from '../../src/storage/memory-directory.ts';
import { MemoryNetwork } from '../../src/transport/memory-transport.ts';
import { RecordedMetrics } from './recorded-metrics.ts';
import { VirtualClock } from './virtual-clock.ts';

const clusterId = 0xc1n;

/** A process's view of time: nothing runs any more once it is dead. */
class ProcessClock implements Clock {
  readonly #clock: VirtualClock;
  dead = false;
  paused: (() => void)[] | undefined;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  after(delayMs: number, callback: () => void): Timer {
    let cancelled = false;
    const run = (): void => {
      if (this.dead || cancelled) return;
      if (this.paused === undefined) callback();
      else this.paused.push(run);
    };
    const timer = this.#clock.after(delayMs, run);
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  defer(callback: () => void): void {
    this.after(0, callback);
  }
}

export interface VirtualClusterOptions {
  readonly seed: number;
  readonly members?: number;
  readonly snapshotCount?: number;
  readonly catchUpEntries?: number;
  readonly leaseCheckpointIntervalMs?: number;
  /** More options of each member. */
  readonly member?: Pick<
    MemberOptions,
    | 'quotaBackendBytes'
    | 'quotaAutoDisarm'
    | 'autoCompaction'
    | 'earlyFirstElection'
    | 'stateCheckIntervalMs'
  >;
  readonly strictReconfigCheck?: boolean;
  readonly learnerAutoPromote?: boolean;
  /** Members may refuse to start: {@link VirtualMember.refusal} tells why. */
  readonly refusals?: boolean;
}

export class VirtualMember {
  readonly id: bigint;
  readonly directory = new MemoryDirectory();
  readonly #cluster: VirtualCluster;
  #metrics = new RecordedMetrics();
  /** Of the cluster that has added it; a founder has none. */
  readonly #joins: readonly ClusterMember[] | undefined;
  #clock: ProcessClock | undefined;
  #member: Member | undefined;
  #stopTransport: (() => void) | undefined;
  /** Why the member gave up, if it did. */
  failure: Error | undefined;
  /** Why the last start came to nothing, where the cluster's options expect that. */
  refusal: Error | undefined;

  constructor(cluster: VirtualCluster, id: bigint, joins?: readonly ClusterMember[]) {
    this.#cluster = cluster;
    this.#joins = joins;
    this.id = id;
  }

  get running(): Member | undefined {
    return this.#member;
  }

  /** Of the life that it has now. */
  get metrics(): RecordedMetrics {
    return this.#metrics;
  }

  start(): void {
    this.#metrics = new RecordedMetrics();
    const { random, founders } = this.#cluster;
    const joins = this.#joins;
    const clock = new ProcessClock(this.#cluster.clock);
    this.#clock = clock;
    const seeded = new SeededRandom(random.below(2 ** 31));
    const { network, options } = this.#cluster;
    const transport = network.transport(this.id, clusterId);
    this.#stopTransport = () => {
      transport.stop(() => {});
    };
    openMember(
      {
        directory: {
          memory: this.directory,
          clock,
          logger: silentLogger,
          identity: { memberId: this.id, clusterId },
          memoryWriteDelayMs: (sync) => (sync ? 1 + random.below(4) : 0),
        },
        founders: () => founders,
        joins: joins === undefined ? undefined : () => Promise.resolve(joins),
        member: {
          memberId: this.id,
          transport,
          clock,
          random: seeded,
          logger: silentLogger,
          metrics: this.#metrics,
          heartbeatMs: 100,
          electionMs: 1000,
          preVote: true,
          snapshotCount: options.snapshotCount ?? 10_000,
          catchUpEntries: options.catchUpEntries ?? 5000,
          reconfiguration: {
            strictReconfigCheck: options.strictReconfigCheck ?? true,
            learnersMax: 1,
            learnerAutoPromote: options.learnerAutoPromote ?? false,
          },
          requestLimitBytes: 1_572_864,
          compactionRestMs: 10,
          cacheBytes: 1024 * 1024,
          ...options.member,
          ...(options.leaseCheckpointIntervalMs === undefined
            ? {}
            : { leaseCheckpointIntervalMs: options.leaseCheckpointIntervalMs }),
        },
      },
      (error, member) => {
        if (member === undefined) {
          if (options.refusals !== true) throw error ?? new Error('no member');
          this.refusal = error;
          return;
        }
        this.#member = member;
        member.start((failure) => {
          this.failure = failure;
        });
      },
    );
  }

  /** Its process gets no time until {@link resume}. */
  pause(): void {
    if (this.#clock !== undefined) this.#clock.paused = [];
  }

  resume(): void {
    const late = this.#clock?.paused ?? [];
    if (this.#clock !== undefined) this.#clock.paused = undefined;
    for (const run of late) run();
  }

  /** The power goes: what was not synced survives or not, as the seed says. */
  crash(): void {
    if (this.#clock !== undefined) this.#clock.dead = true;
    this.#stopTransport?.();
    this.#member = undefined;
    this.directory.crash(() => this.#cluster.random.next() < 0.5);
  }

  /** Orderly; `done` comes with the clock. */
  stop(done: () => void): void {
    const member = this.#member;
    this.#member = undefined;
    if (member === undefined) done();
    else {
      member.stop((error) => {
        if (error !== undefined) throw error;
        done();
      });
    }
  }
}

export class VirtualCluster {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly network: MemoryNetwork;
  readonly founders: readonly ClusterMember[];
  readonly members: VirtualMember[];
  readonly options: VirtualClusterOptions;

  constructor(options: VirtualClusterOptions) {
    this.options = options;
    this.random = new SeededRandom(options.seed);
    this.network = new MemoryNetwork(this.clock, this.random, {
      delayMs: { least: 0.1, most: 3 },
    });
    this.founders = Array.from({ length: options.members ?? 3 }, (_, i) => ({
      id: BigInt(i + 1),
      name: `m${i + 1}`,
      peerUrls: [`http://m${i + 1}`],
      clientUrls: [],
      isLearner: false,
    }));
    this.members = this.founders.map(({ id }) => new VirtualMember(this, id));
    for (const member of this.members) member.start();
  }

  /** Starts a member that was added, with an empty disk. */
  join(id: bigint, members: readonly ClusterMember[]): VirtualMember {
    const member = new VirtualMember(this, id, members);
    this.members.push(member);
    member.start();
    return member;
  }

  get leader(): VirtualMember | undefined {
    return this.members.find((member) => member.running?.server.isLeader === true);
  }

  /** Lets virtual time pass; promises that become ready in between get their turn. */
  async pass(ms: number): Promise<void> {
    const endMs = this.clock.monotonicMs() + ms;
    while (this.clock.monotonicMs() < endMs) {
      this.clock.advance(Math.min(5, endMs - this.clock.monotonicMs()));
      for (let i = 0; i < 3; i++) await Promise.resolve();
    }
  }

  /** Lets time pass until something holds. */
  async until(holds: () => boolean, limitMs = 20_000): Promise<void> {
    const endMs = this.clock.monotonicMs() + limitMs;
    while (!holds()) {
      if (this.clock.monotonicMs() >= endMs) throw new Error(`not within ${limitMs} ms`);
      await this.pass(5);
    }
  }
}
