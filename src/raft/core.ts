/**
 * The state of one member, and the transitions between roles. Roles act on it from their own files.
 */
import { abstains } from './abstention.ts';
import { check, fail } from './check.ts';
import { restore } from './confchange/restore.ts';
import type { RaftConfig } from './config.ts';
import { payloadSizeBytes } from './log/entry-size.ts';
import { RaftLog } from './log/raft-log.ts';
import type { Message } from './message.ts';
import { ForwardedReads, ReadRounds } from './read-rounds.ts';
import type { ReadState } from './ready.ts';
import { Tracker } from './tracker/tracker.ts';
import {
  EntryKind,
  noMember,
  type Entry,
  type HardState,
  type MemberId,
  type Role,
  type SoftState,
} from './types.ts';

const emptyData = new Uint8Array(0);

/** An entry before the log gave it a position. */
export interface Draft {
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

export class Core {
  readonly config: RaftConfig;
  readonly id: MemberId;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  /**
   * While a snapshot is being installed: the configuration of what is applied, for the entries that
   * the host still applies. `tracker` has the snapshot's configuration by then.
   */
  supersededTracker: Tracker | undefined;

  term: number;
  vote: MemberId;
  role: Role = 'follower';
  leader: MemberId = noMember;

  /** Ticks since the start; only differences matter. */
  now = 0;
  /** Follower: since a sign of life of the leader. Leader: since the last check of the quorum. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  randomizedElectionTicks = 0;

  /** Leader: the member that leadership is being handed to. */
  transferee: MemberId = noMember;
  /** Leader: another member was told to campaign in this term, so no lease holds any more. */
  leaseBroken = false;
  /** Leader: no change of membership may be proposed before this index is applied. */
  pendingConfIndex = 0;
  /** Leader: payload of entries appended in this term and not yet handed out as committed. */
  uncommittedBytes = 0;
  /** Leader: followers may be owed entries or a newer commit index. Settled once per Ready. */
  appendsDue = false;
  /**
   * Leader: the transferee is owed an append, even an empty one: its answer shows what it lacks.
   */
  transfereeProbeDue = false;

  reads = new ReadRounds();
  readonly forwardedReads = new ForwardedReads();

  messages: Message[] = [];
  messagesAfterPersist: Message[] = [];
  readStates: ReadState[] = [];
  droppedReads: bigint[] = [];

  constructor(config: RaftConfig) {
    validate(config);
    const { hardState, confState } = config.storage.initialState();
    this.config = config;
    this.id = config.id;
    check(
      (config.abstainBelowTerm ?? 0) <= hardState.term,
      'a member that lost entries starts in a term of its own',
    );
    this.term = hardState.term;
    this.vote = hardState.vote;
    // The commit index is written without a sync, so what was applied may be ahead of it.
    const committed = Math.max(hardState.commit, config.applied);
    this.log = new RaftLog(config.storage, committed, config.applied);
    this.tracker = new Tracker({
      messages: config.inflightMessagesLimit,
      bytes: config.inflightBytesLimit,
    });
    this.tracker.install(restore(confState, this.log.lastIndex, this.tracker.limits));
    this.becomeFollower(this.term, noMember);
  }

  hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  softState(): SoftState {
    return { leader: this.leader, role: this.role };
  }

  isSelfLearner(): boolean {
    return this.tracker.isLearner(this.id);
  }

  /** Whether this member may stand for election. */
  promotable(): boolean {
    const complete = this.log.tail.snapshot === undefined && !this.abstains();
    return complete && this.tracker.isVoter(this.id);
  }

  /** Whether this member lost entries and has not got them back: it may not vote or lead. */
  abstains(): boolean {
    return abstains(this.log, this.config.abstainBelowTerm);
  }

  /** Whether this member can begin with a snapshot only. */
  awaitsSnapshot(): boolean {
    return this.config.awaitsSnapshot === true && this.log.lastIndex === 0;
  }

  /** Whether this member has reason to believe in a live leader (dissertation 4.2.3). */
  inLease(): boolean {
    if (!this.config.checkQuorum || this.electionElapsed >= this.config.electionTicks) return false;
    if (this.leader !== noMember) return true;
    // A member that restarts forgets to whom it lent its vote, so it keeps still for one timeout.
    return this.config.leaseReads && this.now < this.config.electionTicks;
  }

  /**
   * Whether the leader has committed an entry of its own term: then it knows all that is committed.
   */
  hasCommittedInTerm(): boolean {
    return this.log.termOrZero(this.log.committed) === this.term;
  }

  /** Sends at once: nothing that is still being written is promised by the message. */
  send(message: Message): void {
    if (message.to === this.id) fail(`a ${message.type} message to itself`);
    this.messages.push(message);
  }

  /** Sends once everything decided so far is durable (dissertation 3.8). */
  sendAfterPersist(message: Message): void {
    if (message.to === this.id) fail(`a ${message.type} message to itself`);
    this.messagesAfterPersist.push(message);
  }

  becomeFollower(term: number, leader: MemberId): void {
    this.#reset(term);
    this.role = 'follower';
    this.setLeader(leader);
    this.config.trace('becameFollower', { term, leader });
  }

  /** Asks whether an election could be won, without disturbing anybody (dissertation 9.6). */
  becomePreCandidate(): void {
    check(this.role !== 'leader', 'a leader cannot become a pre-candidate');
    this.role = 'preCandidate';
    this.setLeader(noMember);
    this.tracker.resetVotes();
    this.#drawElectionTimeout();
    this.config.trace('becamePreCandidate', { term: this.term });
  }

  becomeCandidate(): void {
    check(this.role !== 'leader', 'a leader cannot become a candidate');
    this.#reset(this.term + 1);
    this.role = 'candidate';
    this.vote = this.id;
    this.setLeader(noMember);
    this.config.trace('becameCandidate', { term: this.term });
  }

  becomeLeader(): void {
    check(this.role === 'candidate', `a ${this.role} cannot become the leader`);
    this.#reset(this.term);
    this.role = 'leader';
    this.setLeader(this.id);
    const self = this.tracker.progress.get(this.id);
    if (self !== undefined) {
      // Its own log counts as far as it is durable, like everybody else's.
      self.maybeUpdate(this.log.durable);
      self.becomeReplicate();
      self.recentActive = true;
    }
    this.config.trace('becameLeader', { term: this.term, lastIndex: this.log.lastIndex });
    // Older entries become committed along with the first of the new term (Raft 5.4.2).
    this.appendOwn([{ kind: EntryKind.normal, data: emptyData }]);
    // A change of membership may be among older entries; and none may be made before an entry of
    // this term is committed, or two majorities of different configurations could miss each other.
    this.pendingConfIndex = this.log.lastIndex;
  }

  /** Appends to the leader's own log. The followers learn of it with the next Ready. */
  appendOwn(drafts: readonly Draft[]): void {
    const { term } = this;
    let index = this.log.lastIndex;
    const entries: Entry[] = new Array<Entry>(drafts.length);
    for (let position = 0; position < drafts.length; position++) {
      const draft = drafts[position];
      check(draft !== undefined, 'a draft is missing');
      entries[position] = { index: ++index, term, kind: draft.kind, data: draft.data };
    }
    this.uncommittedBytes += payloadSizeBytes(entries);
    this.log.append(entries);
    this.appendsDue = true;
  }

  /** Notes whom to follow. Reads passed on to somebody else are lost. */
  setLeader(leader: MemberId): void {
    if (leader === this.leader) return;
    this.leader = leader;
    this.#drop(this.forwardedReads.takeAll());
  }

  dropOldForwardedReads(): void {
    if (this.forwardedReads.size === 0) return;
    this.#drop(this.forwardedReads.takeOlderThan(this.now - this.config.electionTicks));
  }

  #drop(contexts: readonly bigint[]): void {
    for (const context of contexts) this.droppedReads.push(context);
  }

  /** Forgets everything that belongs to a role or a term. */
  #reset(term: number): void {
    if (term !== this.term) {
      check(term > this.term, `the term went back from ${this.term} to ${term}`);
      this.term = term;
      this.vote = noMember;
    }
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.#drawElectionTimeout();
    this.transferee = noMember;
    this.leaseBroken = false;
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.appendsDue = false;
    this.transfereeProbeDue = false;
    this.tracker.resetVotes();
    this.tracker.resetProgress(this.log.lastIndex + 1);
    this.#drop(this.reads.contextsOf(this.id));
    this.reads = new ReadRounds();
  }

  /** Between one and two election timeouts, so that members seldom campaign at once (Raft 5.2). */
  #drawElectionTimeout(): void {
    const { electionTicks } = this.config;
    this.randomizedElectionTicks =
      electionTicks + Math.min(electionTicks - 1, Math.floor(this.config.random() * electionTicks));
  }
}

function validate(config: RaftConfig): void {
  check(config.id !== noMember, 'a member needs an id');
  check(config.heartbeatTicks > 0, 'heartbeatTicks must be positive');
  check(config.electionTicks > config.heartbeatTicks, 'electionTicks must exceed heartbeatTicks');
  check(config.appendSizeLimitBytes > 0, 'appendSizeLimitBytes must be positive');
  check(config.committedSizeLimitBytes > 0, 'committedSizeLimitBytes must be positive');
  check(config.uncommittedSizeLimitBytes > 0, 'uncommittedSizeLimitBytes must be positive');
  check(config.inflightMessagesLimit > 0, 'inflightMessagesLimit must be positive');
  check(
    config.inflightBytesLimit >= config.appendSizeLimitBytes,
    'inflightBytesLimit must allow one append of full size',
  );
  check(!config.leaseReads || config.checkQuorum, 'leaseReads needs checkQuorum');
}
