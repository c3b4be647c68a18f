/**
 * Whether a change of membership leaves a cluster that can go on, by what is known of its members:
 * one that was added and has never started is no help yet (etcd: membership.RaftCluster).
 */
import { majorityOf } from '../raft/index.ts';
import type { Member } from './membership.ts';

interface Count {
  readonly voters: number;
  readonly started: number;
}

function countVoters(members: readonly Member[]): Count {
  const voters = members.filter(({ isLearner }) => !isLearner);
  return { voters: voters.length, started: voters.filter(({ name }) => name !== '').length };
}

function isQuorum(started: number, voters: number): boolean {
  return started >= majorityOf(voters);
}

export function mayAddVoter(members: readonly Member[]): boolean {
  const { voters, started } = countVoters(members);
  // The only member may always be joined by a second, else a cluster of one could never grow.
  return (started === 1 && voters === 1) || isQuorum(started, voters + 1);
}

export function mayRemoveVoter(members: readonly Member[], id: bigint): boolean {
  const { voters, started } = countVoters(members.filter((member) => member.id !== id));
  return isQuorum(started, voters);
}

/** The learner counts as started: it must be, to be in sync. */
export function mayPromote(members: readonly Member[]): boolean {
  const { voters, started } = countVoters(members);
  return isQuorum(started + 1, voters + 1);
}

/**
 * Whether those who are up stay a quorum when a member is added that is not up yet (etcd:
 * isConnectedToQuorumAfterAddingNewMemberSince, which does not ask whether it is a learner).
 */
export function isQuorumWithOneMore(active: number, voters: number): boolean {
  return voters === 1 || isQuorum(active, voters + 1);
}
