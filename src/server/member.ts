/**
 * One member, put together from what the daemon or a simulator gives it: log and state from a data
 * directory, the Raft core and its driver, the state machine, and the server above them.
 *
 * This file is where the driver's outputs meet the rest; the decisions are made elsewhere.
 */
import { assert } from '../base/assert.ts';
import type { AlarmStore } from '../alarm/alarm-store.ts';
import type { Logger } from '../base/logger.ts';
import type { Downgrade } from '../cluster/downgrade.ts';
import type { Member as ClusterMember, Membership } from '../cluster/membership.ts';
import { AlarmType } from '../gen/rpc.ts';
import type { Lessor } from '../lease/lessor.ts';
import type { Store } from '../mvcc/store.ts';
import type { WatchableStore } from '../mvcc/watchable-store.ts';
import {
  decodeConfChange,
  type Entry,
  type MemberId,
  noMember,
  RawNode,
  type ReadState,
  type SnapshotMetadata,
  type SoftState,
} from '../raft/index.ts';
import type { BackendView } from '../storage/backend-view.ts';
import { isHashNote } from '../transport/frames.ts';
import type { CompactionRunner } from './compaction-runner.ts';
import { Founder } from './founder.ts';
import { HandOver } from './hand-over.ts';
import { HeartbeatWatch } from './heartbeat-watch.ts';
import { Leases } from './leases.ts';
import { LogCompaction } from './log-compaction.ts';
import type { LogWrite } from './log-write.ts';
import { defaultReconfiguration, MemberChanges } from './member-changes.ts';
import { stateCheckOf } from './member-state-check.ts';
import {
  createServerMetrics,
  exportIdentity,
  exportStateFacts,
  type ServerMetrics,
} from './metrics.ts';
import type { MemberOptions } from './member-options.ts';
import { type DriverHost, RaftDriver } from './raft-driver.ts';
import { giveHeadStart, raftConfig } from './raft-options.ts';
import { RepairWatch } from './repair-watch.ts';
import { memberHex, Server } from './server.ts';
import { loadState, type State, stateFactsOf } from './state.ts';
import { SnapshotExchange } from './snapshot-exchange.ts';
import type { StateCheck } from './state-check.ts';
import { StateMachine } from './state-machine.ts';
import { bestSuccessor } from './successor.ts';
import { Upkeep } from './upkeep.ts';

export type { MemberObserver, MemberOptions } from './member-options.ts';

/**
 * Changes that wait for a flush of the state. Above it entries are not applied, so that a disk that
 * stalls slows down those who write instead of filling memory.
 */
const defaultPendingLimitBytes = 128 * 1024 * 1024;

export class Member {
  readonly id: MemberId;
  readonly server: Server;
  readonly leases: Leases;
  readonly upkeep: Upkeep;
  readonly changes: MemberChanges;
  readonly stateCheck: StateCheck;
  readonly #options: MemberOptions;
  readonly #logger: Logger;
  readonly #metrics: ServerMetrics;
  readonly #node: RawNode;
  readonly #driver: RaftDriver;
  readonly #machine: StateMachine;
  readonly #logCompaction: LogCompaction;
  readonly #snapshots: SnapshotExchange;
  readonly #repairWatch: RepairWatch;
  readonly #founder: Founder;
  readonly #handOver: HandOver;
  readonly #heartbeats: HeartbeatWatch;
  #stopping = false;
  #failure: Error | undefined;
  #onFailure: ((error: Error) => void) | undefined;

  /** Reads the state and checks it; `done` gets a member that has not begun to act. */
  static open(
    options: MemberOptions,
    done: (error: Error | undefined, member: Member | undefined) => void,
  ): void {
    const { directory, clock, cacheBytes } = options;
    loadState({ backend: directory.backend, clock, cacheBytes }, (error, state) => {
      if (state === undefined) done(error, undefined);
      else done(undefined, new Member(options, state));
    });
  }

  private constructor(options: MemberOptions, state: State) {
    const { directory, clock, random, logger, memberId } = options;
    const { backend, raftLog } = directory;
    this.id = memberId;
    this.#options = options;
    this.#logger = logger;
    this.#metrics = createServerMetrics(options.metrics);
    this.#machine = new StateMachine(options, state);
    this.#handOver = new HandOver(clock, options.heartbeatMs);
    this.#logCompaction = new LogCompaction({ ...options, log: raftLog });
    raftLog.setConfState(backend.confState);
    this.#node = new RawNode(
      raftConfig({
        ...options,
        storage: raftLog,
        applied: backend.flushedIndex,
        abstainBelowTerm: raftLog.repairTerm,
        // Without a configuration it did not found the cluster, nor take its state yet.
        awaitsSnapshot: backend.confState.voters.length === 0,
      }),
    );
    giveHeadStart(this.#node, options);
    this.#driver = new RaftDriver({
      node: this.#node,
      clock,
      logger,
      tickMs: options.heartbeatMs,
      host: this.#host(),
      observeTickDelay: (delayMs) => {
        this.#metrics.tickDelay(delayMs);
        this.#heartbeats.tick(delayMs);
        this.server.tick();
        this.leases.tick();
        this.upkeep.quota.tick();
        this.changes.tick();
        this.stateCheck.tick();
      },
    });
    this.#heartbeats = new HeartbeatWatch({
      ...options,
      isLeader: () => this.#driver.isLeader,
      others: () => this.#others().length,
    });
    this.server = new Server({
      memberId,
      clock,
      random,
      logger,
      metrics: this.#metrics,
      electionMs: options.electionMs,
      requestLimitBytes: options.requestLimitBytes,
      voters: () => directory.backend.confState.voters,
      connected: (member) => options.transport.connected(member),
      driver: this.#driver,
    });
    this.leases = new Leases({
      ...options,
      requestTimeoutMs: this.server.requestTimeoutMs,
      lessor: () => this.lessor,
      leader: () => this.#driver.leader,
      term: () => this.#driver.term,
      confirm: (done) => this.server.confirmLeader(done),
      mayRevoke: () => !this.alarms.has(AlarmType.corrupt),
      propose: (term, datas) => this.#driver.proposeInTerm(term, datas),
      sendNote: (to, note) => options.transport.sendNote(to, note),
    });
    this.upkeep = new Upkeep(options, this.server, this.#driver, () => this.#machine.state);
    this.stateCheck = stateCheckOf(options, this.#driver, () => this.#machine.state);
    this.changes = new MemberChanges({
      ...options,
      self: memberId,
      settings: options.reconfiguration ?? defaultReconfiguration,
      membership: () => this.membership,
      status: () => this.#node.status(),
      driver: this.#driver,
      server: this.server,
      changed: () => this.#peersChanged(),
      removed: (error) => this.#fail(error),
    });
    this.#snapshots = new SnapshotExchange({
      ...options,
      logCompaction: this.#logCompaction,
      refuses: () => this.stateCheck.refuses,
      takesPart: () => this.takesPart,
      committedIndex: () => this.#driver.committedIndex,
      pending: () => this.#node.pendingSnapshot,
      step: (messages) => this.#driver.receive(messages),
    });
    this.#repairWatch = new RepairWatch({
      ...options,
      repairTerm: () => raftLog.repairTerm,
      lastIndex: () => raftLog.lastIndex(),
      hasLeader: () => this.#node.leader !== noMember,
    });
    this.#founder = new Founder({
      ...options,
      self: memberId,
      founders: backend.confState.voters,
      record: directory.founding,
      save: (record) => directory.saveFounding(record),
      announced: (member) => (this.membership.get(member)?.clientUrls.length ?? 0) > 0,
      witnessesOf: (member) => this.membership.witnessesOf(member),
      others: () => this.#others().map(({ id }) => id),
      introduce: (to, introduction) => options.transport.introduce(to, introduction),
      takePart: () => this.#driver.takePart(),
      failed: (error) => this.#fail(error),
    });
    this.#watchBackend();
    exportIdentity(options.metrics, memberId);
    exportStateFacts(options.metrics, () => stateFactsOf(this));
  }

  /** The state that requests are answered from. Another object after a snapshot was installed. */
  get store(): Store {
    return this.#machine.state.store;
  }

  get watchable(): WatchableStore {
    return this.#machine.watchable;
  }

  get membership(): Membership {
    return this.#machine.state.membership;
  }

  get lessor(): Lessor {
    return this.#machine.state.lessor;
  }

  get alarms(): AlarmStore {
    return this.#machine.state.alarms;
  }

  get downgrade(): Downgrade {
    return this.#machine.state.downgrade;
  }

  get compaction(): CompactionRunner {
    return this.#machine.compaction;
  }

  /** Told to stop, or unable to go on: nothing more comes of a request. */
  get ended(): boolean {
    return this.#stopping || this.#failure !== undefined;
  }

  /** It lost part of its log and gets it back from others: until then it does not vote or lead. */
  get repairing(): boolean {
    return this.#options.directory.raftLog.repairTerm !== undefined;
  }

  /** False while its data directory is new and nothing proves that it does not replace another. */
  get takesPart(): boolean {
    return this.#founder.takesPart;
  }

  get isLearner(): boolean {
    return this.#node.isLearner;
  }

  /** Of the state, as snapshots and hashes have them. */
  get openViews(): number {
    return this.#options.directory.backend.openViews;
  }

  /** A view of the state that all entries applied so far have made (`Backend.currentView`). */
  openStateView(done: (error: Error | undefined, view: BackendView | undefined) => void): void {
    this.#options.directory.backend.currentView(done);
  }

  /** Whether a database in the data directory is the log, or the state that is served. */
  reliesOn(database: string): boolean {
    return this.#options.directory.reliesOn(database);
  }

  /** See `defragmentation.ts`. */
  defragment(done: (error: Error | undefined) => void): void {
    this.#machine.defragment(done);
  }

  /** Hands leadership to `to` if this member leads and the other keeps up. */
  transferLeader(to: MemberId): void {
    this.#driver.transferLeader(to);
  }

  /**
   * Begins to talk to the other members and to take requests. `onFailure` is called at most once,
   * also for what has failed before.
   */
  start(onFailure: (error: Error) => void): void {
    const { transport, directory, clock } = this.#options;
    const failure = this.#failure;
    if (failure !== undefined) {
      clock.defer(() => onFailure(failure));
      return;
    }
    this.#onFailure = onFailure;
    transport.setPeers(this.membership.list());
    transport.start({
      receive: (messages) => this.#snapshots.receive(messages),
      introduced: (member, introduction) => {
        if (!this.ended) this.#founder.introduced(member, introduction);
      },
      note: (member, note) => {
        if (isHashNote(note)) this.stateCheck.received(member, note);
        else if (note.kind !== 'changeRefused') this.leases.receive(member, note);
        else this.changes.toldRefused(note);
      },
      isRemoved: (member) => this.membership.isRemoved(member),
      remembersRemoval: () => this.changes.areRemembered(directory.backend.flushedIndex),
      oldestProtocol: () => this.membership.protocol,
      removed: (by) => this.changes.toldRemoved(by),
      unreachable: (member) => {
        this.#driver.reportUnreachable(member);
      },
      snapshotStatus: (member, ok) => {
        this.#driver.reportSnapshot(member, ok);
      },
      openSnapshot: () => this.#snapshots.openSnapshot(),
      receiveSnapshot: (from, metadata) => this.#snapshots.receiveSnapshot(from, metadata),
    });
    this.changes.membersChanged();
    this.#driver.start(this.takesPart);
    this.#repairWatch.start();
    this.upkeep.start();
    this.#founder.start();
  }

  /**
   * Hands leadership over, refuses further requests, closes connections, writes what is left and
   * closes the data directory.
   */
  stop(done: (error: Error | undefined) => void): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#handOverLead(() => {
      this.server.stop();
      this.leases.stop();
      this.upkeep.stop();
      this.changes.stop();
      this.#machine.stop();
      this.#repairWatch.stop();
      this.#founder.stop();
      this.#driver.stop();
      this.#options.transport.stop(() => {
        this.#options.directory.close(done);
      });
    });
  }

  #host(): DriverHost {
    const { transport, pendingLimitBytes = defaultPendingLimitBytes } = this.#options;
    return {
      write: (batch, sync, done) => {
        this.#write(batch, sync, done);
      },
      connected: (member) => transport.connected(member),
      awaited: (id) => this.server.awaited(id),
      send: (messages) => {
        transport.send(messages);
      },
      mayApply: () => this.#options.directory.backend.pendingBytes < pendingLimitBytes,
      apply: (entry) => this.#apply(entry),
      applyConfChange: (entry) => this.#applyConfChange(entry),
      applied: (index, term) => this.#applied(index, term),
      installSnapshot: (snapshot, done) => {
        // A member that has stopped closes both states; nothing may begin to use the new one.
        const mayReplace = (): boolean => !this.#driver.stopped;
        this.#machine.install(snapshot, mayReplace, () => this.#stateReplaced(snapshot), done);
      },
      leaderChanged: (state, previous) => {
        this.#leaderChanged(state, previous);
      },
      readStates: (states) => this.#readStates(states),
      droppedReads: (contexts) => {
        for (const context of contexts) this.server.readIndexDropped(context);
      },
      turn: () => {
        this.server.turn();
        this.changes.turn();
      },
      takeChanges: (from, entries) => this.changes.take(from, entries),
      stepped: () => {
        this.#options.observer?.stepped(this.#node);
      },
      failed: (error) => {
        this.#fail(error);
      },
    };
  }

  #others(): readonly ClusterMember[] {
    return this.membership.list().filter(({ id }) => id !== this.id);
  }

  #apply(entry: Entry): void {
    this.#options.observer?.applying(entry);
    const applied = this.#machine.apply(entry.data);
    this.stateCheck.applied(entry.index);
    if (applied !== undefined) this.server.applied(applied);
  }

  #applyConfChange(entry: Entry): void {
    this.#options.observer?.applying(entry);
    const { effective, settle } = this.changes.apply(decodeConfChange(entry.data), entry.index);
    const confState = this.#node.applyConfChange(effective);
    this.#options.directory.backend.setConfState(confState);
    this.#options.directory.raftLog.setConfState(confState);
    this.stateCheck.applied(entry.index);
    settle();
  }

  #peersChanged(): void {
    this.#options.transport.setPeers(this.membership.list());
    this.#founder.othersChanged();
  }

  #applied(index: number, term: number): void {
    this.#options.directory.backend.applied(index, term);
    this.#metrics.progress(this.#driver.committedIndex, index);
    this.#options.observer?.applied(index);
    this.leases.applied(term);
    this.upkeep.quota.applied(term);
    this.server.appliedUpTo(index);
  }

  #readStates(states: readonly ReadState[]): void {
    for (const { context, index } of states) this.server.readIndexConfirmed(context, index);
  }

  #leaderChanged(state: SoftState, previous: SoftState): void {
    this.server.leaderChanged(state, previous);
    this.leases.leaderChanged();
    // Only once another leads: until then this member's vote may be needed.
    if (state.leader !== noMember && state.leader !== this.id) this.#handOver.complete();
  }

  #write(batch: LogWrite, sync: boolean, done: (error: Error | undefined) => void): void {
    const { directory } = this.#options;
    const { hardState, entries, snapshot } = batch;
    const received = snapshot === undefined ? undefined : directory.received(snapshot);
    assert((received === undefined) === (snapshot === undefined), 'a snapshot that never came');
    directory.raftLog.append({ hardState, entries, snapshot: received }, sync, done);
  }

  #watchBackend(): void {
    const { backend } = this.#options.directory;
    backend.onFailure((error) => {
      this.#fail(error);
    });
    const flushed = (): void => {
      const { flushedIndex: index, flushedTerm: term, confState } = backend;
      this.#driver.wake();
      if (index > 0) this.#logCompaction.flushed({ index, term, confState });
    };
    backend.onFlushed(flushed);
    flushed();
  }

  #stateReplaced({ index, term }: SnapshotMetadata): void {
    this.leases.restored();
    this.stateCheck.restarted(index);
    this.#logCompaction.restarted(index);
    this.#watchBackend();
    this.changes.membersChanged();
    this.#metrics.snapshotInstalled();
    this.#logger.info({ index, term }, 'installed a snapshot');
  }

  /** A member that cannot write must not acknowledge anything any more. */
  #fail(error: Error): void {
    if (this.#stopping) return;
    this.#failure ??= error;
    this.#repairWatch.stop();
    this.#driver.stop();
    this.#founder.stop();
    this.server.stop();
    this.leases.stop();
    this.upkeep.stop();
    this.changes.stop();
    this.#onFailure?.(error);
    this.#onFailure = undefined;
  }

  #handOverLead(done: () => void): void {
    const { transport } = this.#options;
    const target = this.#driver.isLeader
      ? bestSuccessor(this.#node.status(), (member) => transport.connected(member))
      : undefined;
    if (target === undefined) {
      done();
      return;
    }
    this.#logger.info({ to: memberHex(target) }, 'handing leadership over before stopping');
    this.#handOver.begin(done);
    this.#driver.transferLeader(target);
  }
}
