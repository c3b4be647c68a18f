/**
 * The one loop between Raft and the world: it ticks and steps the core, makes its batches durable,
 * sends its messages and applies what is committed.
 *
 * Everything runs on one queue of callbacks. Inputs (messages, proposals, reads, acknowledged
 * writes) only change the core and ask for a turn; a turn comes once the input that is already
 * waiting has been taken, so one turn, one write and one round of messages serve all of it. While
 * a batch is being synced the next one gathers: that is the group commit.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { reach } from '../base/fault-point.ts';
import type { Logger } from '../base/logger.ts';
import {
  type ConfChange,
  type Entry,
  EntryKind,
  type HardState,
  type MemberId,
  type Message,
  noMember,
  type Persist,
  type PersistAck,
  type ProposalRefusal,
  type RawNode,
  type ReadState,
  type Ready,
  type SnapshotMetadata,
  type SoftState,
} from '../raft/index.ts';
import { CommitNotices } from './commit-notices.ts';
import { CommitWait } from './commit-wait.ts';
import { type LogWrite, merge } from './log-write.ts';
import { isOfCommands, PassedProposals } from './passed-proposals.ts';
import { type Proposal, WaitingProposals } from './waiting-proposals.ts';

/** How long entries are applied before other input gets its turn. */
const applySliceMs = 10;

/**
 * Where the driver's outputs go. Called from within a turn; none may call back into the driver's
 * turn.
 */
export interface DriverHost {
  /** Makes one batch durable. An error ends the member: a failed sync is never tried again. */
  write(batch: LogWrite, sync: boolean, done: (error: Error | undefined) => void): void;
  /** Whether a message sent now would have a live connection; proposals wait until it does. */
  connected(member: MemberId): boolean;
  /** Whether somebody still waits for a proposal; one that nobody waits for is not made. */
  awaited(id: bigint): boolean;
  send(messages: readonly Message[]): void;
  /**
   * False while the state has more unwritten changes than memory should hold; wakes the driver
   * later.
   */
  mayApply(): boolean;
  /** Applies one normal entry. */
  apply(entry: Entry): void;
  /** Takes changes of membership out of what `from` proposes to this leader; returns the rest. */
  takeChanges(from: MemberId, entries: readonly Entry[]): readonly Entry[];
  /** Applies one change of membership. */
  applyConfChange(entry: Entry): void;
  /** The state up to `index` is complete: answer reads, let the state be flushed. */
  applied(index: number, term: number): void;
  /** Replaces the state by a snapshot that the log names by now; applying goes on after `done`. */
  installSnapshot(snapshot: SnapshotMetadata, done: (error: Error | undefined) => void): void;
  /** Who leads changed. */
  leaderChanged(state: SoftState, previous: SoftState): void;
  readStates(states: readonly ReadState[]): void;
  droppedReads(contexts: readonly bigint[]): void;
  /** Called at the start of a turn, so that reads that wait share a round. */
  turn(): void;
  /** The core has taken an input or given out a batch: for those who check it. */
  stepped(): void;
  failed(error: Error): void;
}

export interface RaftDriverOptions {
  readonly node: RawNode;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tickMs: number;
  readonly host: DriverHost;
  /** Told how late each tick came: the event loop was busy or the process was stopped. */
  readonly observeTickDelay: (delayMs: number) => void;
}

export class RaftDriver {
  readonly #node: RawNode;
  readonly #id: MemberId;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #tickMs: number;
  readonly #host: DriverHost;
  readonly #observeTickDelay: (delayMs: number) => void;

  #softState: SoftState = { leader: noMember, role: 'follower' };
  #committed: number;
  #applied: number;
  #term: number;

  /** It neither ticks nor takes messages before. */
  #takesPart = false;
  #turnAsked = false;
  #stopped = false;
  #tickTimer: Timer | undefined;

  /** Not yet handed to Raft. */
  readonly #proposals: WaitingProposals;
  /** Of other members. */
  readonly #passed: PassedProposals;
  readonly #commitNotices: CommitNotices;
  readonly #commitWait: CommitWait;

  /** Taken from Raft, in order; at most the first is being written. */
  #persists: Persist[] = [];
  #writing = false;
  /** Hard state of batches that needed no sync, to go with the next write. */
  #unsyncedCommit: HardState | undefined;

  #toApply: Entry[] = [];
  #nextToApply = 0;
  #installing = false;

  constructor(options: RaftDriverOptions) {
    this.#node = options.node;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#tickMs = options.tickMs;
    this.#host = options.host;
    this.#observeTickDelay = options.observeTickDelay;
    this.#proposals = new WaitingProposals((id) => options.host.awaited(id));
    this.#passed = new PassedProposals(options.clock);
    this.#commitNotices = new CommitNotices(options.clock, (held) => options.host.send(held));
    this.#commitWait = new CommitWait(options.clock);
    const status = this.#node.status();
    this.#id = status.id;
    this.#committed = status.committed;
    this.#applied = status.applied;
    this.#term = status.term;
  }

  /** @param takesPart false: the core has no part in anything until {@link takePart} */
  start(takesPart: boolean): void {
    if (takesPart) this.takePart();
    this.#scheduleTick();
    this.#askTurn();
  }

  takePart(): void {
    this.#takesPart = true;
    const { confState, id } = this.#node.status();
    // The only voter has nobody to wait for.
    if (confState.voters.length === 1 && confState.voters[0] === id) this.#node.campaign();
    this.#askTurn();
  }

  /** Stops at once; what is not written yet is not acknowledged to anybody. */
  stop(): void {
    this.#stopped = true;
    this.#tickTimer?.cancel();
    this.#commitNotices.stop();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get softState(): SoftState {
    return this.#softState;
  }
  get leader(): MemberId {
    return this.#softState.leader;
  }
  get isLeader(): boolean {
    return this.#softState.role === 'leader';
  }
  get committedIndex(): number {
    return this.#committed;
  }
  get appliedIndex(): number {
    return this.#applied;
  }
  get term(): number {
    return this.#term;
  }

  /**
   * Queues one proposal. It is handed to Raft once, when there is a leader that can be reached.
   * Returns false, and does nothing, if too many wait.
   */
  propose(proposal: Proposal): boolean {
    if (!this.#proposals.add(proposal)) return false;
    this.#askTurn();
    return true;
  }

  /**
   * Appends commands of the leader's own to the log. False, and nothing is done, if this member
   * does not lead in `term` (any more) or cannot take them now.
   */
  proposeInTerm(term: number, datas: readonly Uint8Array[]): boolean {
    if (this.#stopped || this.#node.proposeInTerm(term, datas) !== undefined) return false;
    this.#host.stepped();
    this.#askTurn();
    return true;
  }

  /** Proposes a change of membership, or passes it on to the leader. */
  proposeConfChange(change: ConfChange): ProposalRefusal | undefined {
    const refusal = this.#node.proposeConfChange(change);
    this.#host.stepped();
    return refusal;
  }

  get waitingProposals(): number {
    return this.#proposals.count;
  }

  receive(messages: readonly Message[]): void {
    if (this.#stopped || !this.#takesPart) return;
    for (const message of messages) {
      this.#step(message);
      this.#host.stepped();
    }
    this.#askTurn();
  }

  #step(message: Message): void {
    if (message.type !== 'propose') {
      this.#node.step(message);
      return;
    }
    this.#commitNotices.proposedBy(message.from);
    if (isOfCommands(message)) {
      const isNext = this.#passed.isEmpty;
      if (!isNext || !this.#mayPropose() || !this.#pass(message)) this.#passed.hold(message);
    } else {
      const { from, entries: all } = message;
      const entries = this.isLeader ? this.#host.takeChanges(from, all) : all;
      if (entries.length > 0) this.#node.step({ ...message, entries });
    }
  }

  /** Whether there is a leader that takes proposals, and that a message would reach. */
  #mayPropose(): boolean {
    const { leader, transferee } = this.#node;
    if (leader === noMember || transferee !== noMember) return false;
    return leader === this.#id || this.#host.connected(leader);
  }

  /**
   * Hands commands of another member to Raft, as this member's own: the core does not pass messages
   * back to where they came from, but that member may lead by now. False if it takes none now.
   */
  #pass({ entries }: Message & { readonly type: 'propose' }): boolean {
    return this.#node.propose(entries.map(({ data }) => data)) === undefined;
  }

  readIndex(context: bigint): void {
    this.#node.readIndex(context);
    this.#askTurn();
  }

  transferLeader(to: MemberId): void {
    this.#node.transferLeader(to);
    this.#askTurn();
  }

  reportUnreachable(member: MemberId): void {
    this.#node.reportUnreachable(member);
    this.#askTurn();
  }

  reportSnapshot(member: MemberId, ok: boolean): void {
    this.#node.reportSnapshot(member, ok);
    this.#askTurn();
  }

  /** Something that a turn looks at has changed outside, e.g. a connection or a waiting read. */
  wake(): void {
    this.#askTurn();
  }

  #scheduleTick(): void {
    const dueMs = this.#clock.monotonicMs() + this.#tickMs;
    this.#tickTimer = this.#clock.after(this.#tickMs, () => {
      if (this.#stopped) return;
      this.#observeTickDelay(Math.max(0, this.#clock.monotonicMs() - dueMs));
      // One tick, however late: a process that was paused must not elect itself for its own pause.
      if (this.#takesPart) {
        this.#node.tick();
        this.#host.stepped();
      }
      this.#scheduleTick();
      this.#askTurn();
    });
  }

  #askTurn(): void {
    if (this.#turnAsked || this.#stopped) return;
    this.#turnAsked = true;
    this.#clock.defer(() => {
      this.#turnAsked = false;
      if (!this.#stopped) this.#turn();
    });
  }

  #turn(): void {
    this.#host.turn();
    this.#proposePassed();
    this.#proposeWaiting();
    let hasSent = false;
    while (this.#node.hasReady()) hasSent = this.#takeReady() || hasSent;
    // A follower's acknowledgement takes a message and a write, so the leader's write is not what a
    // commit waits for: what was sent leaves first. Not if there is something to apply meanwhile.
    const isIdle = this.#nextToApply >= this.#toApply.length;
    const isLater = hasSent && isIdle && this.isLeader && this.#persists.length > 0;
    if (isLater) this.#clock.defer(() => this.#write());
    else this.#write();
    this.#applySlice();
  }

  #proposePassed(): void {
    while (this.#mayPropose()) {
      const message = this.#passed.first();
      if (message === undefined || !this.#pass(message)) return;
      this.#passed.shift();
    }
  }

  #proposeWaiting(): void {
    if (this.#proposals.count === 0) return;
    const { leader } = this.#softState;
    // A message to a leader that cannot be reached would be lost, and with it the outcome of the
    // request: it may not be sent twice.
    if (leader === noMember || (!this.isLeader && !this.#host.connected(leader))) return;
    this.#proposals.handOver((datas) => this.#node.propose(datas) === undefined);
  }

  /** Whether messages were sent. */
  #takeReady(): boolean {
    const ready = this.#node.ready();
    if (ready.softState !== undefined) {
      const previous = this.#softState;
      this.#softState = ready.softState;
      this.#commitWait.leadershipChanged();
      this.#askTurn();
      this.#host.leaderChanged(ready.softState, previous);
    }
    const hasSent = this.#send(ready);
    if (ready.persist !== undefined) {
      this.#persists.push(ready.persist);
      if (ready.persist.hardState !== undefined) this.#observe(ready.persist.hardState);
    }
    for (const entry of ready.committedEntries) this.#toApply.push(entry);
    this.#commitWait.committed(ready.committedEntries);
    if (ready.readStates.length > 0) this.#host.readStates(ready.readStates);
    if (ready.droppedReads.length > 0) this.#host.droppedReads(ready.droppedReads);
    this.#host.stepped();
    return hasSent;
  }

  #send({ messages, committedEntries }: Ready): boolean {
    const hurries = committedEntries.some(({ kind }) => kind !== EntryKind.normal);
    if (messages.length === 0 && !hurries) return false;
    const now = this.isLeader ? this.#commitNotices.outgoing(messages, hurries) : messages;
    if (now.length > 0) this.#host.send(now);
    return now.length > 0;
  }

  #observe(hardState: HardState): void {
    this.#committed = Math.max(this.#committed, hardState.commit);
    this.#term = hardState.term;
  }

  /**
   * Writes all that waits as one batch; a snapshot is written alone, as the log starts anew after
   * it.
   */
  #write(): void {
    if (this.#writing || this.#stopped || this.#persists.length === 0) return;
    // A moved commit index is a hint that is found again after a restart: it waits for the next
    // write.
    if (!this.#persists.some((persist) => persist.mustSync)) {
      this.#acknowledgeUnsynced();
      return;
    }
    const firstSnapshot = this.#persists.findIndex((persist) => persist.snapshot !== undefined);
    const count = firstSnapshot < 0 ? this.#persists.length : Math.max(firstSnapshot, 1);
    const batch = this.#persists.splice(0, count);
    this.#writing = true;
    const write = merge(batch, this.#unsyncedCommit);
    if (this.isLeader) this.#commitWait.writes(write.entries);
    this.#host.write(write, true, (error) => {
      if (this.#stopped) return;
      if (error !== undefined) {
        this.#fail(error);
        return;
      }
      this.#written(batch);
    });
    this.#unsyncedCommit = undefined;
  }

  #acknowledgeUnsynced(): void {
    const batch = this.#persists;
    this.#persists = [];
    for (const { hardState } of batch) this.#unsyncedCommit = hardState ?? this.#unsyncedCommit;
    this.#acknowledge(batch);
  }

  #written(batch: readonly Persist[]): void {
    const snapshot = batch[0]?.snapshot;
    if (snapshot === undefined) {
      this.#writing = false;
      this.#acknowledge(batch);
      return;
    }
    // Entries after the snapshot must not be applied before its contents are the state.
    this.#installing = true;
    this.#host.installSnapshot(snapshot, (error) => {
      if (this.#stopped) return;
      if (error !== undefined) {
        this.#fail(error);
        return;
      }
      this.#installing = false;
      this.#writing = false;
      this.#applied = Math.max(this.#applied, snapshot.index);
      // What was committed before the snapshot came is part of it.
      this.#toApply = this.#toApply
        .slice(this.#nextToApply)
        .filter(({ index }) => index > snapshot.index);
      this.#nextToApply = 0;
      this.#node.applied(snapshot.index);
      this.#host.applied(this.#applied, snapshot.term);
      this.#acknowledge(batch);
    });
  }

  #acknowledge(batch: readonly Persist[]): void {
    const acks: PersistAck[] = [];
    for (const { messages, ack } of batch) {
      if (messages.length > 0) this.#host.send(messages);
      acks.push(ack);
    }
    for (const ack of acks) {
      this.#node.persisted(ack);
      this.#host.stepped();
    }
    this.#askTurn();
  }

  #applySlice(): void {
    if (this.#installing || this.#nextToApply >= this.#toApply.length) return;
    if (!this.#host.mayApply()) return;
    reach('apply-before-batch');
    const endMs = this.#clock.monotonicMs() + applySliceMs;
    let last: Entry | undefined;
    while (this.#nextToApply < this.#toApply.length) {
      const entry = this.#toApply[this.#nextToApply++] as Entry;
      this.#applyEntry(entry);
      last = entry;
      if ((this.#nextToApply & 15) === 0 && this.#clock.monotonicMs() >= endMs) break;
    }
    if (this.#nextToApply >= this.#toApply.length) {
      this.#toApply = [];
      this.#nextToApply = 0;
    }
    if (last === undefined) return;
    reach('apply-after-batch');
    this.#node.applied(last.index);
    this.#host.applied(last.index, last.term);
    this.#askTurn();
  }

  #applyEntry(entry: Entry): void {
    this.#applied = entry.index;
    if (entry.kind === EntryKind.normal) this.#host.apply(entry);
    else this.#host.applyConfChange(entry);
  }

  #fail(error: Error): void {
    this.#logger.error(
      { error: error.message },
      'a write failed; stopping, as it must not be retried',
    );
    this.stop();
    this.#host.failed(error);
  }
}
