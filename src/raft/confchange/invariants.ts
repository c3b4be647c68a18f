/** What must hold of every configuration, before and after each change. */
import { allVoters, isJoint, isVoter } from '../quorum/joint.ts';
import type { TrackedConfig } from '../tracker/tracker.ts';
import type { MemberId } from '../types.ts';
import { ConfChangeError } from './error.ts';

/** Throws if the configuration contradicts itself or the progress of its members. */
export function checkInvariants({ config, progress }: TrackedConfig): void {
  const { voters, learners, learnersNext } = config;
  for (const member of [...allVoters(voters), ...learners, ...learnersNext]) {
    if (!progress.has(member)) fail(member, 'is a member without progress');
  }
  for (const member of progress.keys()) {
    if (!isVoter(voters, member) && !learners.has(member)) fail(member, 'is not a member');
  }
  for (const member of learnersNext) {
    // Only a conflict with the outgoing half is a reason to wait.
    if (!voters.outgoing.has(member))
      fail(member, 'waits to be a learner but is no outgoing voter');
    if (voters.incoming.has(member)) fail(member, 'waits to be a learner but is an incoming voter');
    if (progress.get(member)?.isLearner) fail(member, 'waits to be a learner but is one');
  }
  for (const member of learners) {
    if (isVoter(voters, member)) fail(member, 'is voter and learner');
    if (!progress.get(member)?.isLearner) fail(member, 'is a learner but not marked as one');
  }
  if (progress.size > 0 && voters.incoming.size === 0) {
    throw new ConfChangeError('a configuration with members has no voters');
  }
  if (!isJoint(voters) && config.autoLeave) {
    throw new ConfChangeError('a configuration that is not joint cannot be left');
  }
}

function fail(member: MemberId, claim: string): never {
  throw new ConfChangeError(`member ${member.toString(16)} ${claim}`);
}
