/** Handing leadership to a chosen member (dissertation 3.10). */
import type { Core } from './core.ts';
import type { Progress } from './tracker/progress.ts';
import { noMember, type MemberId } from './types.ts';

/** Host: asks the leader, which may be this member, to hand over. Without a leader: no effect. */
export function transferLeader(core: Core, transferee: MemberId): void {
  if (core.role === 'leader') {
    handleTransferLeader(core, transferee);
  } else if (core.leader !== noMember) {
    core.send({
      type: 'transferLeader',
      from: core.id,
      to: core.leader,
      term: core.term,
      transferee,
    });
  }
}

/**
 * Leader: stops taking proposals, lets the transferee catch up, and tells it to campaign. It has
 * one election timeout for that.
 */
export function handleTransferLeader(core: Core, transferee: MemberId): void {
  const progress = core.tracker.progress.get(transferee);
  if (progress === undefined || !core.tracker.config.voters.incoming.has(transferee)) return;
  if (core.transferee === transferee) return;
  core.transferee = noMember;
  if (transferee === core.id) return;
  core.config.trace('transferStarted', { transferee });
  core.electionElapsed = 0;
  core.transferee = transferee;
  if (progress.match === core.log.lastIndex) {
    sendTimeoutNow(core);
  } else {
    core.appendsDue = true;
    core.transfereeProbeDue = true;
  }
}

/** Leader: tells the transferee to campaign as soon as it has everything. */
export function continueTransfer(core: Core, member: MemberId, progress: Progress): void {
  if (core.transferee === member && progress.match === core.log.lastIndex) sendTimeoutNow(core);
}

function sendTimeoutNow(core: Core): void {
  // From here on voters may elect the transferee in spite of the lease, however late it acts.
  core.leaseBroken = true;
  core.send({ type: 'timeoutNow', from: core.id, to: core.transferee, term: core.term });
}

/** Follower: forgets whom it follows, so that it votes without waiting for a timeout. */
export function forgetLeader(core: Core): void {
  // The lease rests on this very memory.
  if (core.config.leaseReads || core.role !== 'follower') return;
  core.setLeader(noMember);
}
