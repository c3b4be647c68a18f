/** One member of a Raft group as a pure state machine: calls in, a Ready out. */
import { Core } from './core.ts';
import { ownVoteDurable, tryCampaign } from './election.ts';
import { applyConfChange, maybeAutoLeave, proposeConfChange } from './membership.ts';
import type { Message } from './message.ts';
import { Output } from './output.ts';
import { propose } from './proposal.ts';
import { readIndex } from './read-index.ts';
import type { PersistAck, ProgressStatus, ProposalRefusal, RaftStatus, Ready } from './ready.ts';
import type { RaftConfig } from './config.ts';
import { acknowledgeOwn } from './replication.ts';
import { reportSnapshot, reportUnreachable } from './snapshot.ts';
import { step, tick } from './step.ts';
import { forgetLeader, transferLeader } from './transfer.ts';
import { EntryKind } from './types.ts';
import type { ConfChange, ConfState, MemberId, SnapshotMetadata } from './types.ts';

/**
 * Not re-entrant: one caller, one call at a time. See README.md for the contract between the
 * member and its host, and {@link Ready} for the order of its work.
 */
export class RawNode {
  readonly #core: Core;
  readonly #output: Output;

  /**
   * Starts from what the storage holds. Throws `RaftFailure` if config or storage are impossible.
   */
  constructor(config: RaftConfig) {
    this.#core = new Core(config);
    this.#output = new Output(this.#core);
  }

  /** For checks of invariants only: the state behind the member. */
  get core(): Core {
    return this.#core;
  }

  /** A unit of time has passed. */
  tick(): void {
    tick(this.#core);
  }

  /** A message of another member has arrived. Messages may be lost, repeated and reordered. */
  step(message: Message): void {
    step(this.#core, message);
  }

  /** Stands for election now, by the rules: with a pre-vote if configured. */
  campaign(): void {
    // Where reads rest on leases, a member must not help to depose a leader that it still trusts.
    if (this.#core.config.leaseReads && this.#core.inLease()) return;
    tryCampaign(this.#core, this.#core.config.preVote ? 'preElection' : 'election');
  }

  /**
   * Appends all commands, in order and without others between, or passes them on to the leader in
   * one message. Undefined means taken, not committed: a command may still be lost, and only its
   * appearance among the committed entries tells.
   */
  propose(datas: readonly Uint8Array[]): ProposalRefusal | undefined {
    const kind = EntryKind.normal;
    return propose(
      this.#core,
      datas.map((data) => ({ kind, data })),
    );
  }

  /**
   * Appends commands that only hold if this member leads in `term`; otherwise nothing is done, and
   * nothing passed on. They are committed in this term or by a later leader that has them in its
   * log from its first moment on.
   */
  proposeInTerm(term: number, datas: readonly Uint8Array[]): ProposalRefusal | undefined {
    const core = this.#core;
    return core.role === 'leader' && core.term === term ? this.propose(datas) : 'noLeader';
  }

  /** Proposes a change of membership. At a follower, undefined means no more than passed on. */
  proposeConfChange(change: ConfChange): ProposalRefusal | undefined {
    return proposeConfChange(this.#core, change);
  }

  /**
   * The host applies a committed change, and calls this before it reports the entry as applied. It
   * must make the same decision about a change on every member. Throws `ConfChangeError` if the
   * change is impossible, and has then changed nothing.
   */
  applyConfChange(change: ConfChange): ConfState {
    return applyConfChange(this.#core, change);
  }

  /**
   * Asks for an index from which a read that starts now is linearizable. The answer comes as a
   * `ReadState`, or the context among `droppedReads`. Contexts must never be used again.
   */
  readIndex(context: bigint): void {
    readIndex(this.#core, context);
  }

  /** Asks the leader to hand over to a voter. */
  transferLeader(transferee: MemberId): void {
    transferLeader(this.#core, transferee);
  }

  /** Makes a follower forget its leader, so that it votes at once. The term stays. */
  forgetLeader(): void {
    forgetLeader(this.#core);
  }

  /** The last message to the member was not delivered. */
  reportUnreachable(member: MemberId): void {
    reportUnreachable(this.#core, member);
  }

  /** The transfer of a snapshot's contents to the member has ended. */
  reportSnapshot(member: MemberId, ok: boolean): void {
    reportSnapshot(this.#core, member, ok);
  }

  /** The snapshot that replaces the log, from its message on until it is installed. */
  get pendingSnapshot(): SnapshotMetadata | undefined {
    return this.#core.log.tail.snapshot;
  }

  hasReady(): boolean {
    return this.#output.has();
  }

  /** Takes the work for the host. May be called again while earlier work is under way. */
  ready(): Ready {
    return this.#output.take();
  }

  /** A write is durable, and with it every earlier one. */
  persisted(ack: PersistAck): void {
    const core = this.#core;
    const completed = core.log.writes.complete(ack);
    if (completed === undefined) return;
    if (completed.snapshotIndex > 0) {
      core.log.snapshotInstalled(completed.snapshotIndex);
      if (core.log.tail.snapshot === undefined) core.supersededTracker = undefined;
    }
    core.log.durableTo(completed.durableIndex);
    if (core.role === 'leader') acknowledgeOwn(core);
    else ownVoteDurable(core, completed.term);
  }

  /** Everything up to `index` is applied. */
  applied(index: number): void {
    this.#core.log.appliedTo(index);
    maybeAutoLeave(this.#core);
  }

  /** As in the status, which is too much to make for every request. */
  get leader(): MemberId {
    return this.#core.leader;
  }

  /** As in the status: to whom this leader is handing over. */
  get transferee(): MemberId {
    return this.#core.transferee;
  }

  /** As in the status. */
  get isLearner(): boolean {
    return this.#core.isSelfLearner();
  }

  status(): RaftStatus {
    const core = this.#core;
    const progress: ProgressStatus[] = [];
    if (core.role === 'leader') {
      core.tracker.visit((member, each) => {
        progress.push({
          member,
          match: each.match,
          next: each.next,
          state: each.state,
          recentActive: each.recentActive,
          learner: each.isLearner,
          pendingSnapshot: each.pendingSnapshot,
        });
      });
    }
    return {
      id: core.id,
      term: core.term,
      vote: core.vote,
      leader: this.leader,
      role: core.role,
      isLearner: this.isLearner,
      abstains: core.abstains(),
      lastIndex: core.log.lastIndex,
      durable: core.log.durable,
      committed: core.log.committed,
      applied: core.log.applied,
      transferee: this.transferee,
      confState: core.tracker.confState(),
      progress,
    };
  }
}
