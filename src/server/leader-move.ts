/** Handing leadership over because somebody asked for it (etcd: EtcdServer.MoveLeader). */
import type { Clock } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import type { Membership } from '../cluster/membership.ts';
import type { MemberId } from '../raft/index.ts';

/** The member, as this file needs it. */
export interface MovingMember {
  readonly id: MemberId;
  readonly membership: Membership;
  /** Told to stop, or unable to go on. */
  readonly ended: boolean;
  readonly server: { readonly leader: MemberId; readonly requestTimeoutMs: number };
  transferLeader(to: MemberId): void;
}

export interface LeaderMoveOptions {
  readonly clock: Clock;
  /** How often it is looked whether the other one leads. */
  readonly heartbeatMs: number;
}

/**
 * Resolves once `target` leads, which it may do already.
 * @throws EtcdError `notLeader` if this member does not lead, `badLeaderTransferee` for a target
 * that cannot, `timeoutLeaderTransfer` if it does not within the time of a request, `stopped` if
 * this member ends before
 */
export async function moveLeader(
  member: MovingMember,
  target: MemberId,
  { clock, heartbeatMs }: LeaderMoveOptions,
): Promise<void> {
  const { server, membership, id } = member;
  if (server.leader !== id) throw new EtcdError('notLeader');
  const transferee = membership.get(target);
  if (transferee === undefined || transferee.isLearner) throw new EtcdError('badLeaderTransferee');
  const endMs = clock.monotonicMs() + server.requestTimeoutMs;
  member.transferLeader(target);
  while (server.leader !== target) {
    if (member.ended) throw new EtcdError('stopped');
    if (clock.monotonicMs() >= endMs) throw new EtcdError('timeoutLeaderTransfer');
    await new Promise<void>((resolve) => {
      clock.after(heartbeatMs, resolve);
    });
  }
}
