/** Reads that wait at a leader until a round of heartbeats proves that it still leads. */
import { committedIndex, type JointConfig } from './quorum/joint.ts';
import type { MemberId } from './types.ts';

/** Hosts gather reads before they ask, so more waiting requests than this mean a broken host. */
export const waitingReadsLimit = 65_536;

/** A request that is not confirmed yet. */
export interface WaitingRead {
  /** The member that asked. */
  readonly from: MemberId;
  readonly context: bigint;
  /** The commit index when the request came: the answer, once confirmed. */
  readonly index: number;
  /** The first round begun after the request came. */
  readonly round: number;
}

/**
 * Rounds are numbered within a term. An answer to a round proves that the answering member had not
 * gone to a newer term when that round began; a quorum of answers proves that no newer leader
 * existed then, so every read that came before the round began may use its index (dissertation
 * 6.4).
 */
export class ReadRounds {
  #round = 0;
  #confirmed = 0;
  readonly #answered = new Map<MemberId, number>();
  #waiting: WaitingRead[] = [];
  /** Requests that came before this term committed anything. */
  #early: { from: MemberId; context: bigint }[] = [];
  /** When each unconfirmed round began, for the lease. */
  #starts: { round: number; tick: number }[] = [];
  #leaseStart: number | undefined;
  readonly #answeredBy = (member: MemberId): number | undefined => this.#answered.get(member);

  get round(): number {
    return this.#round;
  }

  get waitingCount(): number {
    return this.#waiting.length + this.#early.length;
  }

  /** Tick at which the newest confirmed round began. */
  get leaseStart(): number | undefined {
    return this.#leaseStart;
  }

  /** Whether reads wait for a round that has not begun. */
  needsRound(): boolean {
    return (this.#waiting.at(-1)?.round ?? 0) > this.#round;
  }

  add(from: MemberId, context: bigint, index: number): void {
    this.#waiting.push({ from, context, index, round: this.#round + 1 });
  }

  addEarly(from: MemberId, context: bigint): void {
    this.#early.push({ from, context });
  }

  takeEarly(): readonly { from: MemberId; context: bigint }[] {
    const early = this.#early;
    this.#early = [];
    return early;
  }

  /** Begins a round; the leader's own answer is implied. */
  begin(self: MemberId, tick: number, trackStart: boolean): number {
    this.#round++;
    this.#answered.set(self, this.#round);
    if (trackStart) this.#starts.push({ round: this.#round, tick });
    return this.#round;
  }

  answer(member: MemberId, round: number): void {
    // A later round cannot have been answered; such a number would confirm reads to come.
    if (round > this.#round || round <= (this.#answered.get(member) ?? 0)) return;
    this.#answered.set(member, round);
  }

  /** Takes the reads that are now confirmed, oldest first. */
  takeConfirmed(voters: JointConfig): readonly WaitingRead[] {
    const confirmed = Math.min(this.#round, committedIndex(voters, this.#answeredBy));
    if (confirmed <= this.#confirmed) return [];
    this.#confirmed = confirmed;
    let start = this.#starts[0];
    while (start !== undefined && start.round <= confirmed) {
      this.#leaseStart = start.tick;
      this.#starts.shift();
      start = this.#starts[0];
    }
    let count = 0;
    while ((this.#waiting[count]?.round ?? Infinity) <= confirmed) count++;
    if (count === 0) return [];
    const taken = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return taken;
  }

  /** Contexts of all requests of one member, which are now lost. */
  contextsOf(member: MemberId): bigint[] {
    const contexts: bigint[] = [];
    for (const read of this.#waiting) if (read.from === member) contexts.push(read.context);
    for (const read of this.#early) if (read.from === member) contexts.push(read.context);
    return contexts;
  }

  /** Forgets requests of members that `isMember` does not know. */
  forgetMembers(isMember: (member: MemberId) => boolean): void {
    for (const member of [...this.#answered.keys()]) {
      if (!isMember(member)) this.#answered.delete(member);
    }
  }
}

/** Reads that a follower has passed on to its leader and that are not answered. */
export class ForwardedReads {
  /** In order of age, with the tick at which each was sent. */
  #sent = new Map<bigint, number>();

  get size(): number {
    return this.#sent.size;
  }

  add(context: bigint, tick: number): void {
    this.#sent.set(context, tick);
  }

  /** Whether the answer was waited for. A late answer to a dropped read is not. */
  remove(context: bigint): boolean {
    return this.#sent.delete(context);
  }

  takeAll(): bigint[] {
    const contexts = [...this.#sent.keys()];
    this.#sent.clear();
    return contexts;
  }

  /** Takes those sent before `tick`: request or answer must have been lost. */
  takeOlderThan(tick: number): bigint[] {
    const contexts: bigint[] = [];
    for (const [context, sent] of this.#sent) {
      if (sent >= tick) break;
      contexts.push(context);
    }
    for (const context of contexts) this.#sent.delete(context);
    return contexts;
  }
}
