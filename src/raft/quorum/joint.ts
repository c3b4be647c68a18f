/** Decisions of a joint configuration: both majorities must agree (dissertation 4.3). */
import type { MemberId } from '../types.ts';
import * as majority from './majority.ts';
import type { AckedIndex, VoteResult } from './majority.ts';

/** `outgoing` is empty unless a change between two configurations is under way. */
export interface JointConfig {
  readonly incoming: ReadonlySet<MemberId>;
  readonly outgoing: ReadonlySet<MemberId>;
}

export function isJoint(voters: JointConfig): boolean {
  return voters.outgoing.size > 0;
}

export function isVoter(voters: JointConfig, member: MemberId): boolean {
  return voters.incoming.has(member) || voters.outgoing.has(member);
}

/** The voters of both halves, each once. */
export function allVoters(voters: JointConfig): ReadonlySet<MemberId> {
  return new Set([...voters.incoming, ...voters.outgoing]);
}

/** The largest index that both majorities have acknowledged; Infinity without any voter. */
export function committedIndex(voters: JointConfig, acked: AckedIndex): number {
  const incoming = majority.committedIndex(voters.incoming, acked);
  if (voters.outgoing.size === 0) return incoming;
  return Math.min(incoming, majority.committedIndex(voters.outgoing, acked));
}

/** Won only if both halves are won; lost as soon as either is lost. */
export function voteResult(voters: JointConfig, votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  const incoming = majority.voteResult(voters.incoming, votes);
  const outgoing = majority.voteResult(voters.outgoing, votes);
  if (incoming === outgoing) return incoming;
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending';
}

/** Prints both halves, e.g. `(1 2 3)&&(1 2)`, or only the first if there is no second. */
export function formatVoters(voters: JointConfig): string {
  const incoming = majority.formatMembers(voters.incoming);
  return isJoint(voters) ? `${incoming}&&${majority.formatMembers(voters.outgoing)}` : incoming;
}

export function describe(voters: JointConfig, acked: AckedIndex): string {
  return majority.describe(allVoters(voters), acked);
}
