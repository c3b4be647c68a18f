/** How a leader acts on messages of its own term and on time. */
import { fail } from './check.ts';
import type { Core } from './core.ts';
import { broadcastHeartbeat } from './heartbeat.ts';
import { maybeAutoLeave } from './membership.ts';
import type { Message } from './message.ts';
import { proposeAtLeader } from './proposal.ts';
import { answerReads, requestRead } from './read-index.ts';
import { handleAppendResponse, sendAppend } from './replication.ts';
import { handleTransferLeader } from './transfer.ts';
import { noMember } from './types.ts';

export function stepLeader(core: Core, message: Message): void {
  switch (message.type) {
    case 'propose':
      proposeAtLeader(core, message.entries);
      return;
    case 'readIndex':
      requestRead(core, message.from, message.context);
      return;
    case 'appendResponse':
      handleAppendResponse(core, message);
      return;
    case 'heartbeatResponse': {
      const progress = core.tracker.progress.get(message.from);
      if (progress === undefined) return;
      progress.recentActive = true;
      progress.msgAppFlowPaused = false;
      // An append, even an empty one, finds out what got lost and moves a probe on.
      if (progress.match < core.log.lastIndex || progress.state === 'probe') {
        sendAppend(core, message.from, progress, true);
      }
      core.reads.answer(message.from, Number(message.context));
      answerReads(core);
      return;
    }
    case 'transferLeader':
      handleTransferLeader(core, message.transferee);
      return;
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      return fail(`two leaders in term ${core.term}: ${core.id} and ${message.from}`);
    default:
      return;
  }
}

export function tickLeader(core: Core): void {
  core.electionElapsed++;
  core.heartbeatElapsed++;
  if (core.electionElapsed >= core.config.electionTicks) {
    core.electionElapsed = 0;
    if (core.config.checkQuorum && !checkQuorum(core)) return;
    if (core.transferee !== noMember) {
      // It had its time. Proposals are taken again; should it still win, that is a normal election.
      core.config.trace('transferAborted', { transferee: core.transferee });
      core.transferee = noMember;
      maybeAutoLeave(core);
    }
  }
  if (core.heartbeatElapsed >= core.config.heartbeatTicks) broadcastHeartbeat(core);
}

/**
 * Steps down if no quorum was heard from: others may have elected a new leader (dissertation 6.2).
 */
function checkQuorum(core: Core): boolean {
  if (!core.tracker.quorumActive()) {
    core.config.trace('quorumLost', { term: core.term });
    core.becomeFollower(core.term, noMember);
    return false;
  }
  core.tracker.visit((member, progress) => {
    if (member !== core.id) progress.recentActive = false;
  });
  return true;
}
