/**
 * Whether a member whose data directory is new may take part in its cluster: vote, stand for
 * election, acknowledge. It may not if the directory only replaces one that was lost. Then the
 * member has voted and acknowledged before, and has forgotten it: with others that lag it would
 * form a majority that knows less than was acknowledged, or elect a second leader of a term.
 *
 * Every new directory has a life, a random number. Members introduce themselves to each other, and
 * each notes durably the first life of a member that it hears of, and for ever. A member that does
 * not take part yet is silent but for that. It takes part, for ever, once its life was noted
 *
 * - early: by so many that they are a majority with it, each of which did not take part itself
 *   when it noted the life, while nobody who did is heard of. So clusters are founded. Where not
 *   all others have noted it, the member waits a while first: one who knows better may be about to
 *   say so, and one who is about to start is then not late. Or
 * - late: by a majority of all members, itself not counted, each of which takes part. So comes in
 *   who was not there at the founding.
 *
 * A member that was added to a cluster that works does not found. It takes part late, once its life
 * was noted by a majority of the voters that had been started by then, each of which takes part; or
 * by half of them, of which the rest may have been removed since, and by a majority of the voters
 * that had not been started by then, each of which takes part now.
 *
 * One who hears that another life of its own was noted, or that its announcement (`announce.ts`),
 * which only follows when it takes part, has been agreed on, is refused: it stops, in etcd's words.
 *
 * Safety. Let a member have taken part and then lost its disk. Its life was noted by others that
 * are a majority together with it, before it did anything.
 *
 * - Late: a majority of the others shares a member with those. That one takes part, so it was not
 *   itself emptied since, or this argument applies to it first. It has noted the old life, so it
 *   cannot note the new one.
 * - Early: cannot be where a majority took part besides the emptied member, because too few are
 *   left who did not. So a cluster that works without the member never takes it in again, whoever
 *   is heard first. Else more members than a cluster can miss were never up, or lost their disk;
 *   those who took part with the emptied one refuse it or are early no more, if they are heard. If
 *   not, nobody who is left can tell this from a founding at which they have not been up yet.
 * - Joined: as late. Two halves of the same voters may have nobody in common, but the majorities
 *   beside them have. The voters at two starts of a joiner differ by those that were added between
 *   them. They have the joiner's announcement in their state, and refuse it for that.
 *
 * If a majority or all were emptied, and nobody is there who knows, they found a new cluster, as in
 * etcd. Who comes back to it from the old one must be emptied too.
 *
 * Liveness. Any majority founds: among exactly so many members, each waits for all, and has noted
 * the lives of all by the time it takes part, early. Whoever is late counts as down until it hears
 * a cluster that works without it, once. A crash changes nothing, as all of this is durable: who
 * took part does so at once when it starts again, alone or not.
 *
 * Refused members are not repaired from the others, as those with a damaged log are
 * (`storage/repair.ts`). With the disk went the bound on the terms in which the member voted. To
 * abstain until the log has an entry of a new term (`raft/abstention.ts`) makes up for what it
 * acknowledged, not for its votes: a candidate of a later term that nobody else has heard of may
 * hold one, and win with it after the member has given another in the same term. Only a new member
 * id is without a past, so the operator removes the member and adds it again.
 *
 * Directories of versions before this have no life. Their owners take part, as they did, and note
 * those of others. A peer that speaks no protocol with introductions is not heard: it is no proof.
 */
import { majorityOf } from '../raft/index.ts';
import type { Acquaintance, FoundingRecord } from '../storage/founding-file.ts';
import { idToString } from './identity.ts';

/** What one member tells another of itself and of what it knows of the other. */
export interface Introduction {
  /** Of the sender's data directory; 0 if it has none. */
  readonly life: bigint;
  readonly takesPart: boolean;
  /** The other is to introduce itself too. */
  readonly asks: boolean;
  /** The other's life that the sender has noted; 0 if none. */
  readonly noted: bigint;
  /** The sender did not take part when it noted it. */
  readonly early: boolean;
  /** The other's announcement has been agreed on. */
  readonly announced: boolean;
}

/** The member has a past that its data directory does not know. */
export class BootstrappedError extends Error {
  override readonly name = 'BootstrappedError';

  constructor(self: bigint, witness: bigint) {
    super(
      `member ${idToString(self)} has already been bootstrapped: member ${idToString(witness)} ` +
        'knows it with another data directory. What it promised there is forgotten here, so it ' +
        'cannot take part. Give it that directory back, or remove this member from the cluster, ' +
        'add it again, and start it with an empty data directory. If the cluster has never ' +
        'worked, empty the data directories of all its members',
    );
  }
}

export interface FoundingOptions {
  readonly self: bigint;
  /** Who founds the cluster, this member included; or, if it joins one, its voters that work. */
  readonly founders: readonly bigint[];
  /** It was added to a cluster that works. */
  readonly joins?: boolean;
  /** The other voters of the cluster that it joins: they had not been started before. */
  readonly newcomers?: readonly bigint[];
  /** Undefined for a data directory of a version that had none. */
  readonly record: FoundingRecord | undefined;
  /** Makes the record durable, or throws. */
  readonly save: (record: FoundingRecord) => void;
  /** Whether a member's announcement has been agreed on, as far as this member knows. */
  readonly announced: (member: bigint) => boolean;
}

export class Founding {
  readonly #options: FoundingOptions;
  #record: FoundingRecord;
  /** Whoever is not heard yet may still object. */
  #waits = true;
  /** The newest introduction of each member that has noted this one's life. */
  readonly #answers = new Map<bigint, Introduction>();

  constructor(options: FoundingOptions) {
    this.#options = options;
    this.#record = options.record ?? { life: 0n, takesPart: true, acquaintances: [] };
  }

  get takesPart(): boolean {
    return this.#record.takesPart;
  }

  /** Whether `member` is known to have noted this member's life, or there is none to note. */
  isKnownTo(member: bigint): boolean {
    return this.#record.life === 0n || this.#answers.has(member);
  }

  introductionTo(member: bigint, asks: boolean): Introduction {
    const { life, takesPart } = this.#record;
    const known = this.#acquaintance(member);
    return {
      life,
      takesPart,
      asks,
      noted: known?.life ?? 0n,
      early: known?.early ?? false,
      announced: this.#options.announced(member),
    };
  }

  /**
   * Takes what `member` says of itself and of this one.
   * @throws BootstrappedError if this member must not take part, and the error of `save`
   */
  hear(member: bigint, introduction: Introduction): void {
    this.#note(member, introduction);
    const { life, takesPart } = this.#record;
    const { noted, announced } = introduction;
    if (!takesPart && (announced || (noted !== 0n && noted !== life))) {
      throw new BootstrappedError(this.#options.self, member);
    }
    if (noted !== life || life === 0n) return;
    this.#answers.set(member, introduction);
    this.#takePartIfProven();
  }

  /** Whoever has not been heard by now counts as not there. */
  waitNoLonger(): void {
    this.#waits = false;
    this.#takePartIfProven();
  }

  #note(member: bigint, { life, takesPart }: Introduction): void {
    if (life === 0n || this.#acquaintance(member) !== undefined) return;
    // It announced itself and now takes no part yet: its directory was made anew.
    if (!takesPart && this.#options.announced(member)) return;
    const acquaintance: Acquaintance = { member, life, early: !this.takesPart };
    this.#save({ acquaintances: [...this.#record.acquaintances, acquaintance] });
  }

  #takePartIfProven(): void {
    if (this.takesPart || !this.#isProven()) return;
    this.#save({ takesPart: true });
  }

  #isProven(): boolean {
    const { founders, joins = false, newcomers = [] } = this.#options;
    const majority = majorityOf(founders.length);
    const takingPart = this.#takingPart(founders);
    if (takingPart >= majority) return true;
    if (joins) {
      const isHalf = newcomers.length > 0 && 2 * takingPart >= founders.length;
      return isHalf && this.#takingPart(newcomers) >= majorityOf(newcomers.length);
    }
    const answers = founders.flatMap((each) => this.#answers.get(each) ?? []);
    const early = answers.filter((each) => each.early).length;
    const heard = !this.#waits || answers.length === founders.length - 1;
    return heard && early === answers.length && early + 1 >= majority;
  }

  #takingPart(members: readonly bigint[]): number {
    return members.filter((each) => this.#answers.get(each)?.takesPart === true).length;
  }

  #acquaintance(member: bigint): Acquaintance | undefined {
    return this.#record.acquaintances.find((each) => each.member === member);
  }

  #save(change: Partial<FoundingRecord>): void {
    const record = { ...this.#record, ...change };
    this.#options.save(record);
    this.#record = record;
  }
}
