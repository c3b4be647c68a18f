/**
 * Proof at run time that all members make the same of the log (etcd: etcdserver/corrupt.go).
 *
 * - Every member keeps the hash that its state had after each of the newest entries. Once an
 *   interval it reports a digest of those not agreed on yet to the leader, which compares it with
 *   its own: each entry counts, even if a later one hides the difference again.
 * - Where they differ, the leader asks all voters, believes the majority, finds the first entry
 *   after which the states differ, has the alarm CORRUPT raised for the member that is wrong, and
 *   tells it so. If the leader itself is wrong it does the same, and hands leadership over.
 * - A member that is wrong serves no clients and gives its state to nobody. It marks the state on
 *   its disk, so that its next start replaces it by the state of the others. A snapshot does, too.
 * - Without a majority nobody knows who is wrong: the alarm is raised for member 0, as in etcd, and
 *   those who differ do not serve until a majority shows, but nothing is marked.
 *
 * Members whose protocol or algorithm differs are not compared.
 */
import type { AlarmStore } from '../alarm/alarm-store.ts';
import { raisedByHand } from '../alarm/alarm-store.ts';
import type { Command } from '../apply/request.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import { AlarmAction, AlarmType } from '../gen/rpc.ts';
import { type DigestHalves, stateDigestAlgorithm } from '../mvcc/state-digest.ts';
import { majorityOf, type MemberId, noMember } from '../raft/index.ts';
import type { HashNote } from '../transport/hash-notes.ts';
import { equalDigests, StateHashes } from './state-hashes.ts';
import { type Finding, StateInquiry } from './state-inquiry.ts';

/** With the rounds that find who is wrong it stays below a second from the next write on. */
const defaultStateCheckIntervalMs = 500;
/** The alarm's member if nobody knows who is wrong (etcd: checkPeerHashes). */
const wholeCluster = 0n;

export interface StateCheckOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly stateCheckIntervalMs?: number | undefined;
  readonly hash: () => DigestHalves;
  readonly voters: () => readonly MemberId[];
  readonly leader: () => MemberId;
  readonly term: () => number;
  readonly alarms: () => AlarmStore;
  /** Appends to the log if this member leads in `term`; false if not, or if it cannot now. */
  readonly propose: (term: number, command: Command) => boolean;
  readonly sendNote: (to: MemberId, note: HashNote) => boolean;
  /** Hands leadership over, to `trusted` if that can take it. */
  readonly handOver: (trusted: MemberId | undefined) => void;
  /**
   * Gives what notes with the state in use now that it must not be used any more: when that is
   * needed, another one may be about to replace it.
   */
  readonly marker: () => (deviation: Deviation) => void;
}

/** Where a state left the way of the others. */
export interface Deviation {
  /** The first entry after which it differs, or after which that was seen. */
  readonly firstIndex: number;
  /** The first entry that was compared: if it is the same, the cause may lie before it. */
  readonly comparedFrom: number;
}

export class StateCheck {
  readonly #options: StateCheckOptions;
  readonly #hashes = new StateHashes();
  readonly #intervalMs: number;
  readonly #refusing = new Set<() => void>();
  readonly #exportCondition: () => void;
  readonly #mismatch: () => void;
  readonly #exportAgreed: (index: number) => void;
  #nextMs: number;
  /** Up to here a leader had the same. */
  #agreed = 0;
  #deviation: Deviation | undefined;
  /** Nobody knows who is wrong, this member or another one: the index up to which they differ. */
  #doubtedTo: number | undefined;
  #trusted: MemberId | undefined;
  #mark: ((deviation: Deviation) => void) | undefined;
  /** As leader: the voters that had the same, up to which index. */
  #agreeing = new Map<MemberId, number>();
  #inquiry: StateInquiry | undefined;
  #term = 0;

  constructor(options: StateCheckOptions) {
    this.#options = options;
    // No interval means the usual one, as to compare costs next to nothing.
    this.#intervalMs = options.stateCheckIntervalMs || defaultStateCheckIntervalMs;
    this.#nextMs = options.clock.monotonicMs() + this.#intervalMs;
    const { metrics } = options;
    const deviates = metrics.gauge(
      'quorate_state_deviates',
      '1 if the state of this member is wrong; 2 if it or that of another one is.',
    )();
    this.#exportCondition = () =>
      deviates.set(this.#deviation !== undefined ? 1 : this.#doubtedTo !== undefined ? 2 : 0);
    this.#exportCondition();
    const agreed = metrics.gauge(
      'quorate_state_agreed_index',
      'Newest entry after which this follower had the same state as its leader.',
    )();
    this.#exportAgreed = (index) => agreed.set(index);
    const mismatches = metrics.counter(
      'quorate_state_mismatches_total',
      'Comparisons in which this leader found a member whose state differs from its own.',
    )();
    this.#mismatch = () => mismatches.increment();
  }

  /** Whether the state must not be shown to anybody. */
  get refuses(): boolean {
    return this.#deviation !== undefined || this.#doubtedTo !== undefined;
  }

  get deviation(): Deviation | undefined {
    return this.#deviation;
  }

  /**
   * Calls `listener` once when the state must not be shown any more, at once if that is so already.
   * Returns how to stop that.
   */
  onRefusing(listener: () => void): () => void {
    if (this.refuses) listener();
    else this.#refusing.add(listener);
    return () => this.#refusing.delete(listener);
  }

  /** The state is another one now: that of `index`, from the disk or from another member. */
  restarted(index: number): void {
    this.#hashes.restart(index, this.#options.hash());
    this.#mark = this.#options.marker();
    this.#agreed = 0;
    this.#deviation = undefined;
    this.#doubtedTo = undefined;
    this.#inquiry = undefined;
    this.#agreeing.clear();
    this.#exportCondition();
  }

  /** Called after each entry. */
  applied(index: number): void {
    this.#hashes.add(index, this.#options.hash());
  }

  /** Called with every tick. */
  tick(): void {
    const { clock, leader, memberId, term } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#term !== term()) {
      this.#term = term();
      this.#inquiry = undefined;
      this.#agreeing.clear();
    }
    if (leader() === memberId) this.#inquire(nowMs);
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + this.#intervalMs;
    if (leader() === memberId) this.#lead();
    else if (leader() !== noMember) this.#report(leader());
  }

  received(from: MemberId, note: HashNote): void {
    const { leader, memberId } = this.#options;
    if (note.kind === 'hashAsks') {
      this.#answer(from, note);
    } else if (leader() === memberId) {
      if (note.kind === 'hashReport') this.#compare(from, note);
      else if (note.kind === 'hashAnswers') this.#answered(from, note);
    } else if (leader() === from) {
      if (note.kind === 'hashAgreed') this.#agreedUpTo(note.to, note.certain);
      else if (note.kind === 'hashVerdict') this.#judged(note);
    }
  }

  #report(leader: MemberId): void {
    const { oldest, newest } = this.#hashes;
    const deviates = this.#deviation !== undefined;
    // Without anything new the newest is told again: another may lead now, or one be in doubt.
    const from = Math.min(Math.max(this.#agreed + 1, oldest), newest);
    const digest = this.#hashes.digest(from, newest);
    if (digest === undefined) return;
    const algorithm = stateDigestAlgorithm;
    this.#options.sendNote(leader, { kind: 'hashReport', algorithm, from, digest, deviates });
  }

  #answer(to: MemberId, { algorithm, from, tos }: HashNote & { readonly kind: 'hashAsks' }): void {
    const last = tos.at(-1);
    // What is not applied yet will be asked for again.
    if (algorithm !== stateDigestAlgorithm || last === undefined) return;
    if (last > this.#hashes.newest || tos.some((each, i) => each < (tos[i - 1] ?? from))) return;
    const digests = this.#hashes.digests(from, tos) ?? [];
    this.#options.sendNote(to, { kind: 'hashAnswers', from, digests });
  }

  #agreedUpTo(to: number, certain: boolean): void {
    if (this.#deviation !== undefined) return;
    this.#agreed = Math.max(this.#agreed, Math.min(to, this.#hashes.newest));
    if (!certain) return;
    this.#exportAgreed(this.#agreed);
    if (this.#doubtedTo !== undefined && to >= this.#doubtedTo) this.#trust();
  }

  #judged({ from, digest, first, certain }: HashNote & { readonly kind: 'hashVerdict' }): void {
    const own = this.#hashes.digest(from, digest.to);
    // It may be about a state that was replaced since.
    if (own === undefined || !equalDigests(own, digest)) return;
    if (certain) this.#condemn({ firstIndex: first, comparedFrom: from });
    else this.#doubt(digest.to, first);
  }

  #compare(from: MemberId, report: HashNote & { readonly kind: 'hashReport' }): void {
    const { alarms, memberId, sendNote } = this.#options;
    if (this.#deviation !== undefined || report.algorithm !== stateDigestAlgorithm) return;
    if (report.deviates) {
      if (alarms().get(from, AlarmType.corrupt) === undefined) this.#raise(from);
      return;
    }
    const { oldest } = this.#hashes;
    if (report.from < oldest) {
      sendNote(from, { kind: 'hashAgreed', to: oldest - 1, certain: false });
      return;
    }
    const own = this.#hashes.digest(report.from, report.digest.to);
    if (own === undefined) return;
    if (equalDigests(own, report.digest)) {
      this.#agreeing.set(from, own.to);
      this.#settleDoubt();
      const certain = this.#doubtedTo === undefined;
      sendNote(from, { kind: 'hashAgreed', to: own.to, certain });
      return;
    }
    this.#mismatch();
    this.#agreeing.delete(from);
    this.#inquiry ??= new StateInquiry(
      {
        self: memberId,
        hashes: this.#hashes,
        algorithm: stateDigestAlgorithm,
        voters: this.#options.voters(),
        suspect: from,
        from: report.from,
        digest: report.digest,
        startedMs: this.#options.clock.monotonicMs(),
        send: sendNote,
      },
      own,
    );
  }

  #answered(from: MemberId, answer: HashNote & { readonly kind: 'hashAnswers' }): void {
    this.#inquiry?.answered(from, answer.from, answer.digests);
    this.#inquire(this.#options.clock.monotonicMs());
  }

  #inquire(nowMs: number): void {
    const finding = this.#inquiry?.tick(nowMs);
    if (finding === undefined) return;
    this.#inquiry = undefined;
    this.#conclude(finding);
  }

  #conclude(finding: Finding): void {
    const { logger, memberId, sendNote, voters } = this.#options;
    const { accused, from, digest, first, firstAtMost } = finding;
    const indexes = { 'first-index': first, 'first-index-at-most': firstAtMost };
    const kind = 'hashVerdict';
    if (accused === undefined) {
      this.#raise(wholeCluster);
      // Whoever has this digest; others who differ are found by their own reports.
      for (const member of voters()) {
        sendNote(member, { kind, from, digest, first, certain: false });
      }
      this.#doubt(digest.to, first);
      return;
    }
    this.#raise(accused);
    if (accused === memberId) {
      this.#trusted = finding.trusted;
      this.#condemn({ firstIndex: first, comparedFrom: from });
      return;
    }
    const fields = { member: accused.toString(16), ...indexes, 'compared-from': from };
    logger.error(fields, 'the state of a member deviates from that of the majority');
    sendNote(accused, { kind, from, digest, first, certain: true });
    this.#settleDoubt(true);
  }

  #lead(): void {
    this.#settleDoubt();
    if (this.#deviation === undefined) return;
    const { alarms, handOver, memberId } = this.#options;
    if (alarms().get(memberId, AlarmType.corrupt) === undefined) this.#raise(memberId);
    else handOver(this.#trusted);
  }

  #raise(memberId: MemberId): void {
    const { alarms, propose, term } = this.#options;
    if (alarms().get(memberId, AlarmType.corrupt) !== undefined) return;
    const value = {
      action: AlarmAction.activate,
      memberId,
      alarm: AlarmType.corrupt,
      quotaBytes: raisedByHand,
    };
    propose(term(), { case: 'alarm', value });
  }

  #condemn(deviation: Deviation): void {
    if (this.#deviation !== undefined) return;
    const { logger } = this.#options;
    this.#deviation = deviation;
    this.#doubtedTo = undefined;
    const { firstIndex, comparedFrom } = deviation;
    logger.error(
      { 'first-index': firstIndex, 'compared-from': comparedFrom },
      'the state of this member deviates from that of the majority; it serves no clients any ' +
        'more, and its next start replaces its state by that of the others',
    );
    this.#mark?.(deviation);
    this.#refuse();
  }

  #doubt(to: number, firstIndex: number): void {
    if (this.#deviation !== undefined) return;
    const isNew = this.#doubtedTo === undefined;
    this.#doubtedTo = to;
    if (!isNew) return;
    this.#options.logger.error(
      { 'first-index': firstIndex },
      'the states of members differ, and no majority tells which are right; this member serves ' +
        'no clients until one does',
    );
    this.#refuse();
  }

  #refuse(): void {
    this.#exportCondition();
    const listeners = [...this.#refusing];
    this.#refusing.clear();
    for (const listener of listeners) listener();
  }

  /** As leader: those who have the same may have become a majority. */
  #settleDoubt(isMajority = false): void {
    const doubtedTo = this.#doubtedTo;
    if (doubtedTo === undefined) return;
    const voters = this.#options.voters();
    const agreeing = voters.filter(
      (voter) => voter === this.#options.memberId || (this.#agreeing.get(voter) ?? 0) >= doubtedTo,
    );
    if (isMajority || agreeing.length >= majorityOf(voters.length)) this.#trust();
  }

  #trust(): void {
    this.#doubtedTo = undefined;
    this.#exportCondition();
    this.#options.logger.info({}, 'a majority has the state of this member; it serves again');
  }
}
