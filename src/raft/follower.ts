/** How followers and learners act on messages of their own term. */
import { fail } from './check.ts';
import type { Core } from './core.ts';
import { tryCampaign } from './election.ts';
import type { HeartbeatMessage, Message } from './message.ts';
import { handleAppend } from './replication.ts';
import { handleSnapshot } from './snapshot.ts';
import { noMember, type MemberId } from './types.ts';

export function stepFollower(core: Core, message: Message): void {
  switch (message.type) {
    case 'append':
      follow(core, message.from);
      handleAppend(core, message);
      return;
    case 'heartbeat':
      follow(core, message.from);
      handleHeartbeat(core, message);
      return;
    case 'snapshot':
      follow(core, message.from);
      handleSnapshot(core, message);
      return;
    case 'timeoutNow':
      // No pre-vote: the leader itself wants this election.
      tryCampaign(core, 'transfer');
      return;
    case 'propose':
      if (canForward(core, message.from) && !core.config.disableProposalForwarding) {
        core.send({ ...message, to: core.leader });
      }
      return;
    case 'readIndex':
      if (canForward(core, message.from)) core.send({ ...message, to: core.leader });
      return;
    case 'transferLeader':
      if (canForward(core, message.from)) {
        core.send({ ...message, to: core.leader, term: core.term });
      }
      return;
    case 'readIndexResponse':
      if (core.forwardedReads.remove(message.context)) {
        core.readStates.push({ index: message.index, context: message.context });
      }
      return;
    default:
      return;
  }
}

/** Passing a message back to where it came from would let it circle for ever. */
function canForward(core: Core, from: MemberId): boolean {
  return core.leader !== noMember && core.leader !== from;
}

function follow(core: Core, leader: MemberId): void {
  if (core.leader !== noMember && core.leader !== leader) {
    fail(`two leaders in term ${core.term}: ${core.leader} and ${leader}`);
  }
  core.electionElapsed = 0;
  core.setLeader(leader);
}

function handleHeartbeat(core: Core, message: HeartbeatMessage): void {
  core.log.commitTo(message.commit);
  core.send({
    type: 'heartbeatResponse',
    from: core.id,
    to: message.from,
    term: core.term,
    context: message.context,
  });
}
