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
 * was noted by a majority of its witnesses, each of which takes part: the voters that had started
 * when it was added, but for one or two that may have been removed since, if they were more than
 * one (`Witnesses`). The others tell it who these are. If so many have been removed that nobody can
 * show it to be new, it is refused: the operator adds it anew.
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
 * - Joined: as late. The log settles who the witnesses are, and in which order they leave, so that
 *   any two of their majorities share a member. What another tells of them, and what the member
 *   itself heard at its start, each stands for a part of the log from its beginning on. Together
 *   they stand for the longer part.
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
import { areEnough, type KnownWitnesses } from './membership.ts';

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
  /** The other's, if it was added and has not announced itself; else nobody. */
  readonly witnesses: KnownWitnesses;
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

/** Of the voters that could show the member to be new, too few are left. */
export class WitnessesGoneError extends Error {
  override readonly name = 'WitnessesGoneError';

  constructor(self: bigint, gone: readonly bigint[]) {
    super(
      `member ${idToString(self)} cannot take part: too many of the members that were there ` +
        `when it was added have been removed since (${gone.map(idToString).join(', ')}), and ` +
        'those that are left cannot tell whether its data directory replaces one that was lost. ' +
        'Remove this member from the cluster, add it again, and start it with an empty data ' +
        'directory',
    );
  }
}

export interface FoundingOptions {
  readonly self: bigint;
  /** Who founds the cluster, this member included; nobody if it was added to one that works. */
  readonly founders: readonly bigint[];
  /** The other members, as far as this one knows. */
  readonly others: () => readonly bigint[];
  /** Undefined for a data directory of a version that had none. */
  readonly record: FoundingRecord | undefined;
  /** Makes the record durable, or throws. */
  readonly save: (record: FoundingRecord) => void;
  /** Whether a member's announcement has been agreed on, as far as this member knows. */
  readonly announced: (member: bigint) => boolean;
  /** Who shows that a member that was added is new, as far as this member knows. */
  readonly witnessesOf: (member: bigint) => KnownWitnesses;
}

export class Founding {
  readonly #options: FoundingOptions;
  #record: FoundingRecord;
  /** Whoever is not heard yet may still object. */
  #waits = true;
  /** The fewest that anybody has told of. */
  #witnesses: readonly bigint[] = [];
  /** The newest introduction of each member that has noted this one's life. */
  readonly #answers = new Map<bigint, Introduction>();

  constructor(options: FoundingOptions) {
    this.#options = options;
    this.#record = options.record ?? { life: 0n, takesPart: true, acquaintances: [] };
  }

  get takesPart(): boolean {
    return this.#record.takesPart;
  }

  /** Whom a member that was added waits for; nobody as long as it has not been told. */
  get witnesses(): readonly bigint[] {
    return this.#witnesses;
  }

  /** Whether `member` is known to have noted this member's life, or there is none to note. */
  isKnownTo(member: bigint): boolean {
    return this.#record.life === 0n || this.#answers.has(member);
  }

  introductionTo(member: bigint, asks: boolean): Introduction {
    const { life, takesPart } = this.#record;
    const { announced, witnessesOf } = this.#options;
    const known = this.#acquaintance(member);
    return {
      life,
      takesPart,
      asks,
      noted: known?.life ?? 0n,
      early: known?.early ?? false,
      announced: announced(member),
      witnesses: witnessesOf(member),
    };
  }

  /**
   * Takes what `member` says of itself and of this one.
   * @throws BootstrappedError if this member must not take part, WitnessesGoneError if nobody can
   * show that it may, and the error of `save`
   */
  hear(member: bigint, introduction: Introduction): void {
    this.#note(member, introduction);
    const { life, takesPart } = this.#record;
    const { noted, announced } = introduction;
    if (!takesPart && (announced || (noted !== 0n && noted !== life))) {
      throw new BootstrappedError(this.#options.self, member);
    }
    this.#hearOfWitnesses(introduction.witnesses);
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

  #hearOfWitnesses({ ids, spare, removed }: KnownWitnesses): void {
    if (this.takesPart || ids.length === 0) return;
    const { self, others } = this.#options;
    const present = others();
    // Whoever tells may know less of the log than this member did at its start, or more.
    const gone = ids.filter((each) => removed.includes(each) || !present.includes(each));
    if (!areEnough({ ids, spare, removed: gone })) throw new WitnessesGoneError(self, gone);
    const missed = gone.length <= spare ? ids.filter((each) => !gone.includes(each)) : ids;
    const known = this.#witnesses.length;
    if (known === 0 || missed.length < known) this.#witnesses = missed;
  }

  #takePartIfProven(): void {
    if (this.takesPart || !this.#isProven()) return;
    this.#save({ takesPart: true });
  }

  #isProven(): boolean {
    const { founders } = this.#options;
    const joins = founders.length === 0;
    const asked = joins ? this.#witnesses : founders;
    const majority = majorityOf(asked.length);
    const answers = asked.flatMap((each) => this.#answers.get(each) ?? []);
    if (answers.filter((each) => each.takesPart).length >= majority) return true;
    if (joins) return false;
    const early = answers.filter((each) => each.early).length;
    const heard = !this.#waits || answers.length === founders.length - 1;
    return heard && early === answers.length && early + 1 >= majority;
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
