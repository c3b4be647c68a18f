/**
 * When a member may ask for a change of membership, or stand for election beside one: what breaks
 * these rules comes to two majorities that miss each other only by the rarest luck.
 */
import { type Entry, EntryKind, type RawNode } from '../../src/raft/index.ts';

type Core = RawNode['core'];

/** Bytes of entries that are looked at together. */
const pageBytes = 1_000_000;

export interface BrokenRule {
  readonly rule: string;
  readonly text: string;
}

/** What one life of a member has been seen to do. */
export class ChangeRules {
  #ledTerm = 0;
  /** Leader: the last entry that has been looked at. */
  #seen = 0;
  #stoodAs = '';

  /** To be called after each step; undefined if all is well. */
  stepped(core: Core): BrokenRule | undefined {
    return this.#stands(core) ?? this.#proposed(core);
  }

  /** It may elect itself by a majority that is none any more (dissertation 4.1, etcd#7280). */
  #stands(core: Core): BrokenRule | undefined {
    const { role, term, log } = core;
    const stands = role === 'candidate' || role === 'preCandidate' ? `${role} of ${term}` : '';
    const before = this.#stoodAs;
    this.#stoodAs = stands;
    if (stands === '' || stands === before) return undefined;
    const change = changesIn(core, log.applied + 1, log.committed)[0];
    if (change === undefined) return undefined;
    const { index } = change;
    const text = `is ${stands} and has not applied the change at ${index}, which is committed`;
    return { rule: 'campaign-too-early', text };
  }

  /** One at a time, and none before an entry of the own term is committed (Ongaro 2015). */
  #proposed(core: Core): BrokenRule | undefined {
    const { role, term, log } = core;
    if (role !== 'leader') return undefined;
    const from = term === this.#ledTerm ? this.#seen + 1 : log.lastIndex + 1;
    this.#ledTerm = term;
    this.#seen = log.lastIndex;
    const rule = 'change-too-early';
    const proposed = changesIn(core, from, log.lastIndex);
    for (const { index } of proposed) {
      if (!core.hasCommittedInTerm()) {
        const text = `proposes a change at ${index} and has committed nothing in term ${term}`;
        return { rule, text };
      }
      const [other] = changesIn(core, log.applied + 1, index - 1);
      if (other === undefined) continue;
      return {
        rule,
        text: `proposes a change at ${index} before that at ${other.index} is applied`,
      };
    }
    return undefined;
  }
}

/** Changes of membership among the entries from `first` to `last`. */
function changesIn({ log }: Core, first: number, last: number): readonly Entry[] {
  const changes: Entry[] = [];
  for (let low = Math.max(first, log.firstIndex()); low <= last;) {
    const page = log.slice(low, last + 1, pageBytes);
    if (typeof page === 'symbol' || page.length === 0) break;
    changes.push(...page.filter(({ kind }) => kind === EntryKind.confChange));
    low += page.length;
  }
  return changes;
}
