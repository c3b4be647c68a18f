/**
 * A member of the simulated cluster over all its lives: what it keeps, and the process that comes
 * and goes. A life is put together as the daemon does it; what it stands on is virtual.
 */
import { silentLogger, type Logger } from '../../src/base/logger.ts';
import { silentMetrics } from '../../src/base/metrics.ts';
import { ClusterService } from '../../src/api/cluster.ts';
import { KvService } from '../../src/api/kv.ts';
import { LeaseService } from '../../src/api/lease.ts';
import { LockService } from '../../src/api/lock.ts';
import { WatchService } from '../../src/api/watch.ts';
import { announce } from '../../src/daemon/announce.ts';
import { apiBackend } from '../../src/daemon/api-backend.ts';
import { areEnough, type Member as ClusterMember } from '../../src/cluster/membership.ts';
import type { Joined } from '../../src/daemon/join.ts';
import type { WatchStreamOptions } from '../../src/mvcc/watch-stream.ts';
import type { Member, MemberOptions } from '../../src/server/member.ts';
import { openMember } from '../../src/server/open-member.ts';
import { stateHashOf } from '../../src/server/state.ts';
import { DataDirectoryError } from '../../src/storage/errors.ts';
import { MemoryDirectory } from '../../src/storage/memory-directory.ts';
import type { RawNode } from '../../src/raft/index.ts';
import type { Transport } from '../../src/transport/transport.ts';
import { type Chance, streamOf } from './chance.ts';
import type { Cluster } from './cluster.ts';
import { join, JoinFailure } from './joining.ts';
import type { Plug } from './network.ts';
import { OracleFailure, Witness } from './oracle.ts';
import type { DiskSettings } from './plan.ts';
import { Process } from './process.ts';
import { defaultConfig } from './settings.ts';

/** A process that ended by itself is started again, as by its supervisor. */
const restartMs = { least: 200, most: 1_500 };
/** How often a member is asked whether it has its data back, or takes part yet. */
const pollMs = 50;
/**
 * A removed member must have ended by then, by its own clock. Until it does it may serve, as those
 * of etcd: what it acknowledges was agreed on.
 */
const removedLimitMs = 32_000;
/** The longest value that a progress interval may have, so that notices are seen in a run. */
const progressIntervalMs = 400;

/** What clients reach of one life. */
export interface Life {
  readonly number: number;
  readonly process: Process;
  readonly member: Member;
  readonly kv: KvService;
  readonly watch: WatchService;
  readonly lease: LeaseService;
  readonly lock: LockService;
  readonly members: ClusterService;
  /** Clients are let in; not while it gets back what its disk has lost, or takes no part yet. */
  serving: boolean;
}

/** What a member is started as. */
export interface SimMemberOptions {
  readonly id: bigint;
  readonly name: string;
  /** It was added to a cluster that works, and asks it who it is at its first start. */
  readonly joins: boolean;
}

type Disk = 'sound' | 'failing' | 'damaged' | 'emptied';

export class SimMember {
  readonly id: bigint;
  readonly name: string;
  readonly position: number;
  readonly #joins: boolean;
  readonly directory = new MemoryDirectory();
  readonly #cluster: Cluster;
  #process: Process | undefined;
  #plug: Plug | undefined;
  #life: Life | undefined;
  #lives = 0;
  /** Until when it stays down. */
  #downUntilMs = 0;
  readonly #deaths = new Set<() => void>();
  /** What was done to its disk: it excuses an end that nothing else would. */
  disk: Disk = 'sound';
  /** Why it does not start any more: it says that its data is damaged, or not all that it had. */
  refusal: string | undefined;
  /** It ended because it was removed from the cluster, and is not started again. */
  retired = false;
  /** This life has been seen to know of its removal. */
  #knowsRemoval = false;
  /** When it was last told to hand leadership over, which gives it another while to lead. */
  transferMs = Number.NEGATIVE_INFINITY;
  /** How long syncs take instead of what is usual. */
  slowSyncMs: DiskSettings['syncMs'] | undefined;
  #node: RawNode | undefined;

  constructor(cluster: Cluster, position: number, { id, name, joins }: SimMemberOptions) {
    this.#cluster = cluster;
    this.position = position;
    this.id = id;
    this.name = name;
    this.#joins = joins;
  }

  /** Up and serving. */
  get life(): Life | undefined {
    return this.#life;
  }

  get running(): Member | undefined {
    return this.#life?.member;
  }

  get process(): Process | undefined {
    return this.#process;
  }

  /** What its Raft core holds: for those who wait for a moment. */
  get core(): RawNode['core'] | undefined {
    return this.#life === undefined ? undefined : this.#node?.core;
  }

  start(): void {
    if (this.#process !== undefined || this.refusal !== undefined || this.retired) return;
    this.#downUntilMs = 0;
    const { scheduler, plan, network } = this.#cluster;
    const number = ++this.#lives;
    this.#say(`starts, life ${number}`);
    const process = new Process({
      scheduler,
      owner: this.position + 1,
      rate: plan.clockRates[this.position] ?? 1,
      onThrow: (thrown) => this.#threw(thrown),
    });
    this.#process = process;
    const chance = streamOf(plan.seed, `${this.name} life ${number}`);
    const plug: Plug = {
      id: this.id,
      name: this.name,
      cluster: this.#cluster.id,
      process,
      chance,
      logger: this.#logger(),
      newer: plan.newer.includes(this.position),
    };
    this.#plug = plug;
    const transport = network.transport(plug);
    const open = (joined?: Joined): void => {
      this.#open(process, chance, transport, joined, (member) => {
        this.#serve(number, process, chance, member);
      });
    };
    process.run(() => {
      // Who has a directory knows who it is.
      if (!this.#joins || this.directory.identity !== undefined) open();
      else {
        join(this.#cluster, this, process).then(
          (joined) => process.run(() => open(joined)),
          (thrown: unknown) => process.run(() => this.#threw(thrown)),
        );
      }
    });
  }

  /** Starts a removed member once more: it must end again. */
  startAgain(): void {
    this.retired = false;
    this.start();
  }

  #open(
    process: Process,
    chance: Chance,
    transport: Transport,
    joined: Joined | undefined,
    next: (member: Member) => void,
  ): void {
    const { plan, founders, id: clusterId } = this.#cluster;
    const { flushIntervalMs, logCacheBytes } = plan.server;
    openMember(
      {
        directory: {
          memory: this.directory,
          clock: process,
          logger: this.#logger(),
          identity: { memberId: this.id, clusterId },
          flushIntervalMs,
          logCacheBytes,
          memoryWriteDelayMs: (sync) => this.#writeMs(sync, chance),
          memoryReadDelayMs: () => this.#readMs(chance),
        },
        founders: () => founders,
        joins: this.#joins
          ? async (): Promise<readonly ClusterMember[]> =>
              (joined ?? (await join(this.#cluster, this, process))).members
          : undefined,
        member: this.#options(transport, process, chance),
      },
      (error, member) => {
        if (member === undefined) throw error ?? new Error('no member');
        next(member);
      },
    );
  }

  #writeMs(sync: boolean, chance: Chance): number {
    const { syncMs } = this.#cluster.plan.disk;
    const { slowSyncMs } = this;
    // A disk that stalls does so for some writes: others overtake them, in other databases.
    if (slowSyncMs !== undefined) {
      return sync ? chance.octaves(slowSyncMs.least, slowSyncMs.most) : 1;
    }
    return sync ? chance.between(syncMs.least, syncMs.most) : 0;
  }

  #readMs(chance: Chance): number {
    const { readMs } = this.#cluster.plan.disk;
    const most = this.slowSyncMs === undefined ? readMs : Math.max(readMs, this.slowSyncMs.least);
    return most === 0 ? 0 : chance.between(0, most);
  }

  #options(
    transport: Transport,
    process: Process,
    chance: Chance,
  ): Omit<MemberOptions, 'directory'> {
    const { plan, oracle } = this.#cluster;
    const witness = new Witness(oracle, this.name);
    return {
      ...plan.server,
      ...(plan.membership && { reconfiguration: plan.membership.settings }),
      memberId: this.id,
      transport,
      clock: process,
      random: chance,
      logger: this.#logger(),
      metrics: silentMetrics,
      requestLimitBytes: defaultConfig.maxRequestBytes,
      observer: {
        stepped: (node) => {
          this.#node = node;
          witness.stepped(node);
        },
        applying: (entry) => witness.applying(entry),
        applied: (index) => {
          const { running } = this;
          // While a member is put together nothing has been applied that was not flushed.
          if (running === undefined) return;
          this.#checkMembership(index, running);
          witness.applied(index, stateHashOf(running));
        },
      },
    };
  }

  /** What it holds is what the log says; and once that says that it was removed, it ends. */
  #checkMembership(index: number, { membership }: Member): void {
    const { ledger } = this.#cluster;
    const { process } = this;
    const node = this.#node;
    if (ledger === undefined || node === undefined || process === undefined) return;
    // A snapshot's configuration is in force before its state is.
    const { supersededTracker, tracker } = node.core;
    const isOlder = (node.pendingSnapshot?.index ?? 0) > index;
    const current = isOlder ? (supersededTracker ?? tracker) : tracker;
    ledger.holds(this.name, index, {
      list: membership.list(),
      removed: membership.removed,
      quorum: current.confState(),
    });
    if (!membership.isRemoved(this.id) || this.#knowsRemoval) return;
    this.#knowsRemoval = true;
    process.after(removedLimitMs, () => {
      this.#cluster.broken('removal', `${this.name} goes on after it was removed`);
    });
  }

  #serve(number: number, process: Process, chance: Chance, member: Member): void {
    const config = { ...defaultConfig, watchProgressNotifyIntervalMs: progressIntervalMs };
    const { id: clusterId } = this.#cluster;
    const { unsentDeliveries, unsentBytes, fragmentBytes } = this.#cluster.plan.watch;
    const metrics = silentMetrics;
    const sound = apiBackend({
      member,
      clusterId,
      config,
      clock: process,
      random: chance,
      metrics,
    });
    const backend = Object.assign(sound, {
      fragmentBytes,
      openWatchStream: (options: WatchStreamOptions) =>
        member.watchable.openStream({ ...options, unsentDeliveries, unsentBytes }),
    });
    const life: Life = {
      number,
      process,
      member,
      kv: new KvService(backend),
      watch: new WatchService(backend),
      lease: new LeaseService(backend),
      lock: new LockService(backend),
      members: new ClusterService(backend),
      serving: false,
    };
    this.#life = life;
    member.start((failure) => this.#failed(failure));
    this.#letIn(life);
    const clientUrls = [`http://${this.name}:2379`];
    announce(
      member,
      { name: this.name, clientUrls },
      { clock: process, logger: silentLogger },
    ).catch((thrown: unknown) => this.#threw(thrown));
  }

  #letIn(life: Life): void {
    if (life.member.ended) return;
    if (life.member.repairing) {
      // Power cuts and failed writes lose nothing that was acknowledged: only damage does.
      if (this.disk !== 'damaged') {
        this.#cluster.broken('repair', `${this.name} lost a part of its log without any damage`);
      }
      life.process.after(pollMs, () => this.#letIn(life));
      return;
    }
    if (!life.member.takesPart) {
      life.process.after(pollMs, () => this.#letIn(life));
      return;
    }
    if (this.disk === 'emptied') {
      const what = `${this.name} takes part and has forgotten what it did before`;
      this.#cluster.broken('founding', what);
    }
    if (this.disk === 'damaged') {
      this.#say('has all its data');
      this.disk = 'sound';
    }
    life.serving = true;
  }

  /** The end of the process, as the kernel sees it: everything open breaks. */
  #end(downForMs: number): void {
    this.#process?.kill();
    this.#process = undefined;
    this.#life = undefined;
    this.#node = undefined;
    this.#knowsRemoval = false;
    // The write that was to fail is one of this life.
    if (this.disk === 'failing') this.disk = 'sound';
    if (this.#plug !== undefined) this.#cluster.network.unplug(this.#plug);
    this.#plug = undefined;
    this.#sendClientsAway();
    const { scheduler } = this.#cluster;
    this.#downUntilMs = Math.max(this.#downUntilMs, scheduler.nowMs + downForMs);
    scheduler.after(downForMs, 0, () => {
      if (scheduler.nowMs >= this.#downUntilMs) this.start();
    });
  }

  /** The process dies; with `power`, any part of what was not synced dies with it. */
  crash(downForMs: number, power: boolean): void {
    const { chance } = this.#cluster;
    this.#say(power ? 'loses power' : 'is killed');
    this.directory.crash(() => !power || chance.chance(0.5));
    this.#end(downForMs);
  }

  /** An orderly stop. */
  stop(downForMs: number): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#say('is told to stop');
    // As the daemon does: clients are sent away before the member stops.
    life.serving = false;
    this.#sendClientsAway();
    life.process.run(() => {
      life.member.stop((error) => {
        if (error !== undefined && this.disk !== 'failing') {
          this.#cluster.broken('stop', `${this.name}: ${error.message}`);
        }
        this.#say('has stopped');
        this.#end(downForMs);
      });
    });
  }

  #sendClientsAway(): void {
    const listeners = [...this.#deaths];
    this.#deaths.clear();
    for (const listener of listeners) listener();
  }

  /** Calls `listener` when connections to this life break; returns how to stop that. */
  onDeath(listener: () => void): () => void {
    this.#deaths.add(listener);
    return () => this.#deaths.delete(listener);
  }

  /** The member gave up, as it must after a failed write. */
  #failed(error: Error): void {
    this.#say(`gives up: ${error.message}`);
    if (error.name === 'MemberRemovedError') {
      if (this.#cluster.ledger?.isRemoved(this.id) !== true) {
        this.#cluster.broken('removal', `${this.name} takes itself for removed`);
      }
      this.retired = true;
      this.#die();
      return;
    }
    if (error.name === 'WitnessesGoneError') {
      if (this.#isProvable()) this.#cluster.broken('gave-up', `${this.name}: ${error.message}`);
      this.retired = true;
      this.#die();
      this.#cluster.onUnprovable?.(this);
      return;
    }
    const refused = error.name === 'BootstrappedError';
    if (refused && this.disk === 'emptied') this.refusal = error.message;
    else if (refused || this.disk === 'sound')
      this.#cluster.broken('gave-up', `${this.name}: ${error.message}`);
    this.#die();
  }

  /** By the log, so many of its witnesses are left that they can show it to be new. */
  #isProvable(): boolean {
    const { members, ledger } = this.#cluster;
    const held = members.flatMap(({ running }) => running?.membership.witnessesOf(this.id) ?? []);
    const known = held.filter(({ ids }) => ids.length > 0);
    return known.some(({ ids, spare }) =>
      areEnough({ ids, spare, removed: ids.filter((each) => ledger?.isRemoved(each) === true) }),
    );
  }

  #threw(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const damaged = error instanceof DataDirectoryError || error.name === 'CorruptionError';
    if (error instanceof JoinFailure) {
      this.#say(`cannot join: ${error.message}`);
      this.retired = this.#cluster.ledger?.isRemoved(this.id) === true;
    } else if (error instanceof OracleFailure) this.#cluster.broken(error.rule, error.message);
    else if (damaged && this.disk === 'damaged') {
      this.#say(`finds damage: ${error.message}`);
      if (this.#life === undefined) this.refusal = error.message;
    } else if (this.disk !== 'failing') {
      this.#cluster.broken('crashed', `${this.name}: ${error.stack ?? error.message}`);
    }
    this.#die();
  }

  /** Ends by its own fault: the machine stays up, so what was written survives. */
  #die(): void {
    this.directory.crash(() => true);
    this.#end(this.#cluster.chance.between(restartMs.least, restartMs.most));
  }

  #say(what: string): void {
    this.#cluster.trace.say(this.name, what);
  }

  /** Lines of the server's own log go into the timeline, for readers only. */
  #logger(): Logger {
    const { trace } = this.#cluster;
    if (!trace.detailed) return silentLogger;
    const line =
      (level: string) =>
      (fields: object, message: string): void => {
        trace.detail(this.name, () => `${level} ${message} ${JSON.stringify(fields)}`);
      };
    const logger: Logger = {
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: () => logger,
    };
    return logger;
  }
}
