/**
 * Who the log says belongs to the cluster, index by index: worked out beside the server, from the
 * committed entries alone. What members hold and what clients are told is compared with it.
 */
import { decodeCommand } from '../../src/apply/request.ts';
import {
  decodeMemberChange,
  type LoggedMemberChange,
  type MemberChange,
} from '../../src/cluster/member-change.ts';
import type { Member as ClusterMember } from '../../src/cluster/membership.ts';
import { type ConfState, decodeConfChange, type Entry, EntryKind } from '../../src/raft/index.ts';
import { OracleFailure } from './oracle.ts';

/** The members from one entry on, up to the next that changes them. */
export interface Configuration {
  readonly index: number;
  readonly members: ReadonlyMap<bigint, ClusterMember>;
  readonly removed: ReadonlySet<bigint>;
  readonly text: string;
}

/** What a member holds at an index. */
export interface Held {
  readonly list: readonly ClusterMember[];
  readonly removed: readonly bigint[];
  /** The quorum that goes with the index. */
  readonly quorum: ConfState;
}

/** A member in a client's answer. */
export type Listed = Omit<ClusterMember, 'peerUrls' | 'clientUrls'> & {
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
};

export class MemberLedger {
  readonly #configurations: Configuration[];
  /** What everybody must see from now on: somebody was told of it. */
  #told = 0;
  /** Told of each change when the first member applies it; before the member does. */
  onChange: ((change: MemberChange) => void) | undefined;
  /** Changes of the quorum, by what they are. */
  readonly changes: Record<MemberChange['kind'], number> = {
    add: 0,
    remove: 0,
    update: 0,
    promote: 0,
  };
  /** Changes that were refused where they were applied. */
  refused = 0;

  constructor(founders: readonly ClusterMember[]) {
    const members = new Map(founders.map((each) => [each.id, each]));
    this.#configurations = [configuration(0, members, new Set())];
  }

  get latest(): Configuration {
    return this.#configurations.at(-1) as Configuration;
  }

  /** What is to be seen by who asks now. */
  get told(): number {
    return this.#told;
  }

  isRemoved(id: bigint): boolean {
    return this.latest.removed.has(id);
  }

  at(index: number): Configuration {
    return this.#configurations.findLast((each) => each.index <= index) as Configuration;
  }

  /** Takes each entry of the log in order. */
  applied({ index, kind, data }: Entry): void {
    if (data.length === 0) return;
    if (kind === EntryKind.normal) {
      this.#announced(index, data);
      return;
    }
    const logged = decodeMemberChange(decodeConfChange(data));
    if (logged === undefined) return;
    this.#changed(index, logged);
  }

  #announced(index: number, data: Uint8Array): void {
    const { command } = decodeCommand(data);
    if (command.case !== 'clusterMemberAttrSet') return;
    const { memberId, memberAttributes } = command.value;
    const { members, removed } = this.latest;
    const before = members.get(memberId);
    if (before === undefined || memberAttributes === undefined) return;
    const { name, clientUrls } = memberAttributes;
    const after = new Map(members).set(memberId, { ...before, name, clientUrls });
    this.#configurations.push(configuration(index, after, removed));
  }

  #changed(index: number, { change }: LoggedMemberChange): void {
    if (!isPossible(change, this.latest)) {
      this.refused++;
      return;
    }
    const members = new Map(this.latest.members);
    const removed = new Set(this.latest.removed);
    const before = members.get(change.member);
    if (change.kind === 'remove') {
      members.delete(change.member);
      removed.add(change.member);
    } else if (change.kind === 'add') {
      const { member: id, peerUrls, isLearner } = change;
      members.set(id, { id, name: '', peerUrls, clientUrls: [], isLearner });
    } else if (before !== undefined) {
      const { peerUrls, isLearner } = before;
      members.set(change.member, {
        ...before,
        peerUrls: change.kind === 'update' ? change.peerUrls : peerUrls,
        isLearner: change.kind === 'promote' ? false : isLearner,
      });
    }
    this.changes[change.kind]++;
    this.#configurations.push(configuration(index, members, removed));
    this.onChange?.(change);
  }

  /** The members of a state, and the quorum of the same member, are what the log says. */
  holds(member: string, index: number, { list, removed, quorum }: Held): void {
    const expected = this.at(index);
    const wrong = (what: string, is: string, should: string): void => {
      if (is === should) return;
      throw new OracleFailure(
        'membership',
        `${member} has ${what} ${is} at index ${index}, where the log says ${should}`,
      );
    };
    wrong('members', textOf(list), expected.text);
    wrong('removed members', idsOf(removed), idsOf(expected.removed));
    const all = [...expected.members.values()];
    const voters = all.filter(({ isLearner }) => !isLearner).map(({ id }) => id);
    const learners = all.filter(({ isLearner }) => isLearner).map(({ id }) => id);
    wrong('voters', idsOf(quorum.voters), idsOf(voters));
    wrong('learners', idsOf([...quorum.learners, ...quorum.learnersNext]), idsOf(learners));
  }

  /**
   * Somebody was told these members by an answer that must be up to date.
   * @param since what {@link told} was when it was asked for
   * @returns undefined if that was right, or what is wrong
   */
  listed(members: readonly Listed[], since: number): string | undefined {
    const text = textOf(members);
    const from = this.at(since).index;
    const seen = this.#configurations.find((each) => each.index >= from && each.text === text);
    if (seen === undefined) {
      return `a client was told of ${text} when the members were ${this.at(since).text} or newer`;
    }
    this.#told = Math.max(this.#told, seen.index);
    return undefined;
  }
}

/** Whether an entry changes anything: what its proposer saw may be out of date. */
function isPossible(change: MemberChange, { members, removed }: Configuration): boolean {
  const all = [...members.values()];
  const known = members.get(change.member);
  const taken = (urls: readonly string[]): boolean =>
    all.some(({ id, peerUrls }) => id !== change.member && peerUrls.some((u) => urls.includes(u)));
  if (removed.has(change.member)) return false;
  switch (change.kind) {
    case 'add': {
      const learners = all.filter(({ isLearner }) => isLearner).length;
      const full = change.isLearner && learners >= change.learnersMax;
      return known === undefined && !taken(change.peerUrls) && !full;
    }
    case 'update':
      return known !== undefined && !taken(change.peerUrls);
    case 'promote':
      return known?.isLearner === true;
    case 'remove': {
      const voters = all.filter(({ isLearner }) => !isLearner).length;
      return known !== undefined && (known.isLearner || voters > 1);
    }
  }
}

function configuration(
  index: number,
  members: ReadonlyMap<bigint, ClusterMember>,
  removed: ReadonlySet<bigint>,
): Configuration {
  return { index, members, removed, text: textOf([...members.values()]) };
}

function textOf(members: readonly Listed[]): string {
  const texts = members.map(({ id, name, peerUrls, clientUrls, isLearner }) => {
    const urls = `${peerUrls.join('+')} ${clientUrls.join('+')}`;
    return `${id.toString(16)} ${name} ${urls}${isLearner ? ' learns' : ''}`;
  });
  return `[${texts.sort().join('; ')}]`;
}

function idsOf(ids: Iterable<bigint>): string {
  return `[${[...ids]
    .map((id) => id.toString(16))
    .sort()
    .join(' ')}]`;
}
