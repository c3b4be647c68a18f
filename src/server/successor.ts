/** Who is to lead after a leader that stops. */
import type { MemberId, RaftStatus } from '../raft/index.ts';

/** The connected voter whose log is longest, those heard of lately first. */
export function bestSuccessor(
  { id, progress }: Pick<RaftStatus, 'id' | 'progress'>,
  connected: (member: MemberId) => boolean,
): MemberId | undefined {
  const [best] = progress
    .filter(({ member, learner }) => member !== id && !learner && connected(member))
    .sort((a, b) => Number(b.recentActive) - Number(a.recentActive) || b.match - a.match);
  return best?.member;
}
