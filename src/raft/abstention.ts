/**
 * Members that lost part of their log, and what they may not do until it is whole again.
 *
 * Raft counts on a log that keeps what was acknowledged: an entry is committed because a majority
 * holds it, and a leader has it because a majority, which shares a member with the first, found its
 * log complete enough (Raft 5.4.3). A member whose disk lost entries breaks this silently: it would
 * vote for a candidate that lacks them, and two such elections may lose what was committed.
 *
 * So such a member starts anew, in a term above all that it was ever in, with what is left of its
 * log, and abstains until its last entry is of that term or a later one. Why that is enough:
 *
 * - While it abstains, every leader is elected by a majority without it. Of the majority that made
 *   an entry committed, that one shares a member other than this one, so the leader has the entry.
 *   That the member acknowledged the entry, and was counted, is then of no consequence.
 * - A last entry of term T at least that of its start came from a leader of term T, whose log it
 *   shares up to there. That leader has everything committed in earlier terms, and has it below its
 *   own first entry, because terms do not fall along a log. What this member acknowledged before
 *   the loss is of earlier terms. What it acknowledged since, it holds. So it lacks nothing.
 * - It cannot vote twice in a term, because it never was in the term that it starts with. For the
 *   same reason nobody counts on what it said there: a leader of the old term that believes in the
 *   lost entries hears of the new term, steps down, and the next one asks afresh.
 *
 * It follows, acknowledges what is durable, and confirms heartbeats like any other member: that
 * rests only on what it holds now.
 */
import type { RaftLog } from './log/raft-log.ts';

/** Whether a member whose log must reach `abstainBelowTerm` does not reach it yet. */
export function abstains(log: RaftLog, abstainBelowTerm: number | undefined): boolean {
  return abstainBelowTerm !== undefined && log.lastPosition().term < abstainBelowTerm;
}
