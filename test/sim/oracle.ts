/**
 * Sees what all members do and holds it to what must be true between them (Raft, figure 3): one
 * leader a term, one entry an index, a leader that has all that is committed, equal states.
 */
import { type Entry, InvariantChecker, type RawNode } from '../../src/raft/index.ts';
import { ChangeRules } from './change-rules.ts';

/** A promise between members is broken: the run has found a bug. */
export class OracleFailure extends Error {
  override readonly name = 'OracleFailure';
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(message);
    this.rule = rule;
  }
}

interface Committed {
  readonly term: number;
  /** Term of the first member that was seen to count it as committed. */
  readonly inTerm: number;
  entry: Entry | undefined;
}

/** What one life of a member has been seen to do. */
export class Witness {
  readonly member: string;
  readonly #oracle: Oracle;
  #checker: InvariantChecker | undefined;
  readonly #changes = new ChangeRules();
  #committed = 0;
  #ledTerm = 0;
  #lastApplied: number | undefined;
  #uncommittedBytes = 0;

  constructor(oracle: Oracle, member: string) {
    this.#oracle = oracle;
    this.member = member;
  }

  stepped(node: RawNode): void {
    this.#checker ??= new InvariantChecker(node);
    this.#checker.check();
    const { core } = node;
    if (core.role === 'leader' && core.term !== this.#ledTerm) {
      this.#ledTerm = core.term;
      this.#oracle.leads(this, node);
    }
    this.#checkUncommitted(node);
    const broken = this.#changes.stepped(core);
    if (broken !== undefined) {
      throw new OracleFailure(broken.rule, `${this.member} ${broken.text}`);
    }
    if (core.log.committed > this.#committed) {
      this.#oracle.commits(this.member, node, this.#committed);
      this.#committed = core.log.committed;
    }
  }

  /** Only what comes to an empty tail may exceed the limit: anything could be larger. */
  #checkUncommitted({ core }: RawNode): void {
    const { uncommittedBytes, config } = core;
    const grew = this.#uncommittedBytes > 0 && uncommittedBytes > this.#uncommittedBytes;
    this.#uncommittedBytes = uncommittedBytes;
    if (!grew || uncommittedBytes <= config.uncommittedSizeLimitBytes) return;
    throw new OracleFailure(
      'uncommitted-limit',
      `${this.member} holds ${uncommittedBytes} bytes that no quorum has`,
    );
  }

  applying(entry: Entry): void {
    const last = this.#lastApplied;
    if (last !== undefined && entry.index !== last + 1) {
      throw new OracleFailure('apply-order', `${this.member} applies ${entry.index} after ${last}`);
    }
    this.#lastApplied = entry.index;
    this.#oracle.applies(this.member, entry);
  }

  /** The state is that of `index`: after an entry, or after a snapshot was installed. */
  applied(index: number, hash: bigint): void {
    this.#lastApplied = index;
    this.#oracle.showsState(this.member, index, hash);
  }
}

export class Oracle {
  /** A life leads in its term: another one of the same member may not. */
  readonly #leaders = new Map<number, Witness>();
  /** By index, from 1 on. */
  readonly #committed: (Committed | undefined)[] = [];
  readonly #states = new Map<number, { readonly member: string; readonly hash: bigint }>();
  /** Terms in which somebody led. */
  elections = 0;
  maxTerm = 0;
  statesCompared = 0;
  /** Told of each new leader by its name, while it is within its step: defer what it leads to. */
  onElected: ((member: string) => void) | undefined;
  /** Told of each entry when the first member applies it. */
  onApplied: ((entry: Entry) => void) | undefined;

  get highestCommit(): number {
    return Math.max(0, this.#committed.length - 1);
  }

  /** What was applied, in order; ends before the first index that nobody was seen to apply. */
  get entries(): readonly Entry[] {
    const entries: Entry[] = [];
    for (let index = 1; index < this.#committed.length; index++) {
      const entry = this.#committed[index]?.entry;
      if (entry === undefined) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Election safety and leader completeness. */
  leads(witness: Witness, { core }: RawNode): void {
    const { member } = witness;
    const other = this.#leaders.get(core.term);
    if (other !== undefined && other !== witness) {
      throw new OracleFailure(
        'election-safety',
        `${member} leads in term ${core.term}, in which ${other.member} has led`,
      );
    }
    if (other === undefined) this.elections++;
    if (other === undefined) this.onElected?.(member);
    this.#leaders.set(core.term, witness);
    this.maxTerm = Math.max(this.maxTerm, core.term);
    for (let index = this.highestCommit; index >= core.log.firstIndex(); index--) {
      const known = this.#committed[index];
      // A leader elected late, by votes that were long under way, owes nothing to later terms.
      if (known === undefined || known.inTerm >= core.term) continue;
      const term = core.log.term(index);
      if (term === known.term) continue;
      throw new OracleFailure(
        'leader-completeness',
        `${member} leads in term ${core.term} and has ${String(term)} at index ${index}, ` +
          `where term ${known.term} is committed`,
      );
    }
  }

  commits(member: string, { core }: RawNode, after: number): void {
    for (let index = core.log.committed; index > after; index--) {
      const term = core.log.term(index);
      if (typeof term !== 'number') break;
      const known = this.#committed[index];
      if (known === undefined)
        this.#committed[index] = { term, inTerm: core.term, entry: undefined };
      else if (known.term !== term) {
        throw new OracleFailure(
          'state-machine-safety',
          `${member} commits term ${term} at index ${index}, where ${known.term} is committed`,
        );
      }
    }
  }

  /** State machine safety. */
  applies(member: string, entry: Entry): void {
    const known = this.#committed[entry.index];
    if (known === undefined) {
      throw new OracleFailure(
        'state-machine-safety',
        `${member} applies ${entry.index}, which nobody has committed`,
      );
    }
    if (known.entry === undefined) {
      known.entry = { ...entry, data: Uint8Array.from(entry.data) };
      this.onApplied?.(known.entry);
    }
    const same =
      known.entry.term === entry.term &&
      known.entry.kind === entry.kind &&
      Buffer.compare(known.entry.data, entry.data) === 0;
    if (same) return;
    throw new OracleFailure(
      'state-machine-safety',
      `${member} applies another entry at ${entry.index} than others (term ${entry.term})`,
    );
  }

  /** Members that applied the same index hold the same state. */
  showsState(member: string, index: number, hash: bigint): void {
    const known = this.#states.get(index);
    if (known === undefined) {
      this.#states.set(index, { member, hash });
      return;
    }
    this.statesCompared++;
    if (known.hash === hash) return;
    throw new OracleFailure(
      'equal-states',
      `${member} has state ${hash.toString(16)} at index ${index}, ` +
        `where ${known.member} has ${known.hash.toString(16)}`,
    );
  }
}
