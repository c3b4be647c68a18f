/**
 * What the leader finds out when a member's state differs from its own: who is wrong, by the
 * majority of voters, and from which entry on, by narrowing the range down.
 */
import { majorityOf, type MemberId } from '../raft/index.ts';
import { hashNoteItemsMax, type DigestUpTo, type HashNote } from '../transport/hash-notes.ts';
import { equalDigests, type StateHashes } from './state-hashes.ts';

/** How long it is waited for answers before it is decided without them. */
const patienceMs = 5_000;

export interface InquiryOptions {
  readonly self: MemberId;
  readonly hashes: StateHashes;
  readonly algorithm: number;
  /** Whose majority is believed. */
  readonly voters: readonly MemberId[];
  /** The member that differs, and its digest. */
  readonly suspect: MemberId;
  readonly from: number;
  readonly digest: DigestUpTo;
  readonly startedMs: number;
  readonly send: (to: MemberId, note: HashNote) => void;
}

export interface Finding {
  readonly from: number;
  /** Undefined: there is no majority. */
  readonly accused: MemberId | undefined;
  /** The digest of the accused, or of the suspect. */
  readonly digest: DigestUpTo;
  /** A member of the majority other than this one. */
  readonly trusted: MemberId | undefined;
  /** The first entry after which the states differ is none before this one. */
  readonly first: number;
  /** It is this one, or one after it up to this. */
  readonly firstAtMost: number;
}

interface Verdict {
  readonly accused: MemberId | undefined;
  readonly digest: DigestUpTo;
  readonly trusted: MemberId | undefined;
  /** With whom the range is narrowed down. */
  readonly pair: MemberId;
}

export class StateInquiry {
  readonly #options: InquiryOptions;
  #own: DigestUpTo;
  readonly #answers = new Map<MemberId, DigestUpTo | undefined>();
  /** Where the ranges begin whose digests are compared. */
  #from: number;
  #startedMs: number;
  #verdict: Verdict | undefined;
  #decidedMs = 0;
  /** Up to here both have the same. */
  #equalTo: number;
  /** The digests up to here differ. */
  #differsAt: number;

  /** @param own this member's digest of the same range */
  constructor(options: InquiryOptions, own: DigestUpTo) {
    const { self, suspect, digest, from } = options;
    this.#options = options;
    this.#own = own;
    this.#from = from;
    this.#startedMs = options.startedMs;
    this.#answers.set(self, own);
    this.#answers.set(suspect, digest);
    this.#equalTo = from - 1;
    this.#differsAt = digest.to;
  }

  /** Asks once more for what is missing. Returns what was found out, once it was. */
  tick(nowMs: number): Finding | undefined {
    if (this.#verdict === undefined) this.#decide(nowMs);
    const finding = this.#finding(nowMs);
    if (finding === undefined) this.#ask();
    return finding;
  }

  answered(member: MemberId, from: number, digests: readonly DigestUpTo[]): void {
    if (from !== this.#from) return;
    if (this.#verdict === undefined) {
      const [digest] = digests;
      if (digest === undefined || digest.to === this.#own.to) this.#answers.set(member, digest);
    } else if (member === this.#verdict.pair) {
      this.#narrow(digests);
    }
  }

  #decide(nowMs: number): void {
    const { voters, self, suspect } = this.#options;
    const digest = this.#answers.get(suspect);
    const quorum = majorityOf(voters.length);
    const right = voters
      .map((voter) => this.#answers.get(voter))
      .find((each) => each !== undefined && this.#voting(each).length >= quorum);
    const leads = right !== undefined && equalDigests(right, this.#own);
    // What was asked for later may be equal again.
    const shows = digest !== undefined && right !== undefined && !equalDigests(digest, right);
    if (right !== undefined && (!leads || shows)) {
      const trusted = this.#voting(right).find((voter) => voter !== self);
      const pair = leads ? suspect : (trusted ?? suspect);
      // The suspect is right if this member is wrong; all others are found by their own reports.
      this.#verdict =
        shows && leads
          ? { accused: suspect, digest, trusted, pair }
          : { accused: self, digest: this.#own, trusted, pair };
      this.#decidedMs = nowMs;
      return;
    }
    const isWaiting = [...voters, suspect].some((each) => !this.#answers.has(each));
    if (isWaiting && nowMs - this.#startedMs < patienceMs) return;
    if (this.#asksLater(nowMs)) return;
    this.#begin(this.#options.from);
    const reported = this.#options.digest;
    this.#verdict = { accused: undefined, digest: reported, trusted: undefined, pair: suspect };
    this.#decidedMs = nowMs;
  }

  /**
   * Where voters know no hashes from the beginning of the range on, as they were started after it,
   * the newest may still tell.
   */
  #asksLater(nowMs: number): boolean {
    const { self, hashes, digest } = this.#options;
    const own = hashes.digest(digest.to, digest.to);
    const isUnknown = [...this.#answers.values()].includes(undefined);
    if (this.#from === digest.to || !isUnknown || own === undefined) return false;
    this.#begin(digest.to);
    this.#own = own;
    this.#answers.clear();
    this.#answers.set(self, own);
    this.#startedMs = nowMs;
    return true;
  }

  #begin(from: number): void {
    this.#from = from;
    this.#equalTo = from - 1;
  }

  #voting(digest: DigestUpTo): MemberId[] {
    return this.#options.voters.filter((voter) => {
      const answer = this.#answers.get(voter);
      return answer !== undefined && equalDigests(answer, digest);
    });
  }

  #finding(nowMs: number): Finding | undefined {
    const verdict = this.#verdict;
    if (verdict === undefined) return undefined;
    const isNarrow = this.#differsAt === this.#equalTo + 1;
    if (!isNarrow && nowMs - this.#decidedMs < patienceMs) return undefined;
    const { accused, digest, trusted } = verdict;
    const [first, firstAtMost] = [this.#equalTo + 1, this.#differsAt];
    return { from: this.#from, accused, digest, trusted, first, firstAtMost };
  }

  /** Digests grow entry by entry and never become equal again: the first difference is found. */
  #narrow(digests: readonly DigestUpTo[]): void {
    const { hashes } = this.#options;
    const from = this.#from;
    for (const digest of digests) {
      if (digest.to <= this.#equalTo || digest.to >= this.#differsAt) continue;
      const own = hashes.digest(from, digest.to);
      if (own === undefined) return;
      if (equalDigests(own, digest)) this.#equalTo = digest.to;
      else this.#differsAt = digest.to;
    }
  }

  #ask(): void {
    const { voters, suspect, algorithm, send } = this.#options;
    const from = this.#from;
    if (this.#verdict === undefined) {
      const tos = [this.#own.to];
      for (const each of new Set([...voters, suspect])) {
        if (!this.#answers.has(each)) send(each, { kind: 'hashAsks', algorithm, from, tos });
      }
      return;
    }
    const tos = spread(this.#equalTo, this.#differsAt);
    send(this.#verdict.pair, { kind: 'hashAsks', algorithm, from, tos });
  }
}

/** Indexes between two others that divide the range evenly, as many as a note holds. */
function spread(after: number, before: number): number[] {
  const between = before - after - 1;
  const count = Math.min(between, hashNoteItemsMax);
  return Array.from(
    { length: count },
    (_, i) => after + Math.floor(((i + 1) * (between + 1)) / (count + 1)),
  );
}
