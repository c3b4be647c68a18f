/** Decisions of one majority: what is committed and who is elected (Raft 5.2, 5.3). */
import type { MemberId } from '../types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/** Tells the last index a member has acknowledged, undefined if it has not reported. */
export type AckedIndex = (member: MemberId) => number | undefined;

/** Sets up to this size are counted without allocating; larger clusters are rare. */
const scratchSize = 9;
const scratch = new Float64Array(scratchSize);

/** Members needed for a decision among `size` voters. */
export function majorityOf(size: number): number {
  return Math.floor(size / 2) + 1;
}

/**
 * The largest index acknowledged by a majority of the voters. Without voters it is Infinity, so
 * that the empty half of a joint configuration never holds back the other half.
 */
export function committedIndex(voters: ReadonlySet<MemberId>, acked: AckedIndex): number {
  const size = voters.size;
  if (size === 0) return Infinity;
  const sorted = size <= scratchSize ? scratch : new Float64Array(size);
  let filled = 0;
  for (const voter of voters) {
    const index = acked(voter) ?? 0;
    let position = filled;
    // Insertion sort, largest first: the sets are so small that nothing is faster.
    for (; position > 0 && at(sorted, position - 1) < index; position--) {
      sorted[position] = at(sorted, position - 1);
    }
    sorted[position] = index;
    filled++;
  }
  return at(sorted, majorityOf(size) - 1);
}

function at(numbers: Float64Array, position: number): number {
  return numbers[position] ?? 0;
}

/** Counts votes; members without a vote may still decide either way. An empty set always wins. */
export function voteResult(
  voters: ReadonlySet<MemberId>,
  votes: ReadonlyMap<MemberId, boolean>,
): VoteResult {
  if (voters.size === 0) return 'won';
  let granted = 0;
  let missing = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = majorityOf(voters.size);
  if (granted >= needed) return 'won';
  return granted + missing >= needed ? 'pending' : 'lost';
}

export function compareMembers(left: MemberId, right: MemberId): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

export function sortedMembers(members: Iterable<MemberId>): MemberId[] {
  return [...members].sort(compareMembers);
}

/** Prints a set of members in ascending order, e.g. `(1 2 a)`. */
export function formatMembers(members: Iterable<MemberId>): string {
  return `(${sortedMembers(members)
    .map((member) => member.toString(16))
    .join(' ')})`;
}

/** Draws each voter's acknowledged index as a bar; for transcripts and debugging. */
export function describe(voters: ReadonlySet<MemberId>, acked: AckedIndex): string {
  if (voters.size === 0) return '<empty majority quorum>';
  const rows = sortedMembers(voters).map((member) => ({ member, index: acked(member) }));
  const lines = rows.map(({ member, index }) => {
    // Equal indexes get equal bars: the number of voters that are strictly behind.
    const bar = rows.filter((other) => (other.index ?? 0) < (index ?? 0)).length;
    const drawn = index === undefined ? '?' : `${'x'.repeat(bar)}>`;
    const column = String(index ?? 0).padStart(5);
    return `${drawn.padEnd(voters.size + 1)} ${column}    (id=${member.toString(16)})\n`;
  });
  return `${' '.repeat(voters.size)}    idx\n${lines.join('')}`;
}
