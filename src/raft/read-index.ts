/** Linearizable reads without log entries (dissertation 6.4). */
import type { Core } from './core.ts';
import { broadcastHeartbeat } from './heartbeat.ts';
import { waitingReadsLimit } from './read-rounds.ts';
import { noMember, type MemberId } from './types.ts';

/**
 * Ticks that a lease is shorter than the election timeout: members tick at different moments, so
 * a tick counted here and one counted there may lie almost two ticks apart.
 */
const leaseMarginTicks = 2;

/** Host: asks for an index at which a read started now is linearizable. */
export function readIndex(core: Core, context: bigint): void {
  if (core.role === 'leader') {
    requestRead(core, core.id, context);
    return;
  }
  if (core.leader === noMember || core.forwardedReads.size >= waitingReadsLimit) {
    core.droppedReads.push(context);
    return;
  }
  core.forwardedReads.add(context, core.now);
  core.send({ type: 'readIndex', from: core.id, to: core.leader, term: 0, context });
}

/** Leader: takes a request of its own host or of a follower. */
export function requestRead(core: Core, from: MemberId, context: bigint): void {
  if (core.reads.waitingCount >= waitingReadsLimit) {
    // A follower notices by itself that no answer comes.
    if (from === core.id) core.droppedReads.push(context);
    return;
  }
  // Until an entry of its own term is committed a leader does not know all that is.
  if (!core.hasCommittedInTerm()) core.reads.addEarly(from, context);
  else if (holdsLease(core)) answerRead(core, from, context, core.log.committed);
  else core.reads.add(from, context, core.log.committed);
}

/** Leader: this term has committed an entry, so requests that came before can be taken up. */
export function releaseEarlyReads(core: Core): void {
  for (const { from, context } of core.reads.takeEarly()) requestRead(core, from, context);
}

/** Leader: begins a round of heartbeats if reads wait for one. Called once per Ready. */
export function settleReads(core: Core): void {
  if (core.role !== 'leader' || !core.reads.needsRound()) return;
  broadcastHeartbeat(core);
  answerReads(core);
}

/** Leader: answers the reads that the latest heartbeat responses confirmed. */
export function answerReads(core: Core): void {
  for (const read of core.reads.takeConfirmed(core.tracker.config.voters)) {
    answerRead(core, read.from, read.context, read.index);
  }
}

function answerRead(core: Core, to: MemberId, context: bigint, index: number): void {
  if (to === core.id) {
    core.readStates.push({ index, context });
    return;
  }
  core.send({ type: 'readIndexResponse', from: core.id, to, term: core.term, index, context });
}

/** Whether no other leader can have been elected yet, if clocks run at about the same speed. */
function holdsLease(core: Core): boolean {
  const start = core.reads.leaseStart;
  return (
    core.config.leaseReads &&
    !core.leaseBroken &&
    start !== undefined &&
    core.now - start < core.config.electionTicks - leaseMarginTicks
  );
}
