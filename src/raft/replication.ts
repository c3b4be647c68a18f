/** Moving the log from the leader to its followers (Raft 5.3). */
import { fail } from './check.ts';
import { tellCommitted } from './committed.ts';
import type { Core } from './core.ts';
import { entriesSizeBytes } from './log/entry-size.ts';
import { acknowledge } from './acknowledge.ts';
import type { AppendMessage, AppendResponseMessage } from './message.ts';
import { releaseEarlyReads } from './read-index.ts';
import { sendSnapshot } from './snapshot.ts';
import type { Progress } from './tracker/progress.ts';
import { continueTransfer } from './transfer.ts';
import type { Entry, MemberId } from './types.ts';

/** Follower: takes entries of the leader, or says where the logs may meet. */
export function handleAppend(core: Core, message: AppendMessage): void {
  const { log } = core;
  const { from, index, logTerm, entries, commit } = message;
  if (index < log.committed) {
    acknowledge(core, from, log.committed);
    return;
  }
  const awaitsSnapshot = core.awaitsSnapshot();
  const last = awaitsSnapshot ? undefined : log.tryAppend(index, logTerm, entries, commit);
  if (last !== undefined) {
    acknowledge(core, from, last);
    return;
  }
  const hint = awaitsSnapshot ? { index: 0, term: 0 } : log.findMatchCandidate(index, logTerm);
  core.sendAfterPersist({
    type: 'appendResponse',
    from: core.id,
    to: from,
    term: core.term,
    index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

/** Leader: a follower took entries or refused them. */
export function handleAppendResponse(core: Core, message: AppendResponseMessage): void {
  const progress = core.tracker.progress.get(message.from);
  if (progress === undefined) return;
  progress.recentActive = true;
  if (message.reject) handleRejection(core, progress, message);
  else handleAcknowledgement(core, progress, message);
}

function handleRejection(core: Core, progress: Progress, message: AppendResponseMessage): void {
  // Every log has the same beginning. Who refuses it lacks the state that the log begins with.
  if (message.index === 0) {
    const isNews = progress.match === 0 && progress.state !== 'snapshot';
    if (isNews) sendSnapshot(core, message.from, progress);
    return;
  }
  // The follower's term at the hint rules out every own entry of a larger term: each such probe
  // would be refused too. One probe per term of the log is enough.
  const hint =
    message.logTerm > 0
      ? core.log.findMatchCandidate(message.rejectHint, message.logTerm).index
      : message.rejectHint;
  if (!progress.maybeDecrTo(message.index, hint)) return;
  if (progress.state === 'replicate') progress.becomeProbe();
  sendAppend(core, message.from, progress, true);
}

function handleAcknowledgement(
  core: Core,
  progress: Progress,
  message: AppendResponseMessage,
): void {
  if (message.index > core.log.lastIndex) {
    fail(`member ${message.from} acknowledged ${message.index}, past the log's end`);
  }
  const news = progress.maybeUpdate(message.index);
  if (!news) {
    if (progress.state !== 'probe' || progress.match !== message.index) return;
    // It did not take the snapshot that it needs. To send it again at once would never end.
    if (progress.match + 1 < core.log.firstIndex()) return;
  }
  if (progress.state === 'probe') {
    progress.becomeReplicate();
  } else if (progress.state === 'replicate') {
    progress.inflights.freeTo(message.index);
  } else if (progress.match + 1 >= core.log.firstIndex()) {
    // Whatever snapshot it installed, the log can serve it from here on.
    progress.becomeProbe();
    progress.becomeReplicate();
  }
  if (news) advanceCommit(core);
  core.appendsDue = true;
  continueTransfer(core, message.from, progress);
}

/** Leader: its own log is durable up to here. */
export function acknowledgeOwn(core: Core): void {
  const self = core.tracker.progress.get(core.id);
  if (self?.maybeUpdate(core.log.durable) === true) advanceCommit(core);
}

/** Leader: commits what a quorum holds. */
export function advanceCommit(core: Core): boolean {
  const index = core.tracker.committed();
  if (index === Infinity || !core.log.tryCommit(index, core.term)) return false;
  core.appendsDue = true;
  releaseEarlyReads(core);
  return true;
}

/**
 * Leader: sends each follower what it lacks, as far as its window allows. Called once per Ready,
 * so that entries and commit indexes gathered since the last one travel together.
 */
export function settleAppends(core: Core): void {
  if (!core.appendsDue) return;
  core.appendsDue = false;
  if (core.role !== 'leader') return;
  const { committed, lastIndex } = core.log;
  for (const [member, progress] of core.tracker.progress) {
    if (member === core.id) continue;
    const probed = core.transfereeProbeDue && member === core.transferee;
    const evenEmpty = probed || progress.canBumpCommit(committed);
    if (!evenEmpty && progress.next > lastIndex) continue;
    if (!probed && progress.hasAll(lastIndex)) {
      // There is nothing to find out, so no answer is needed.
      tellCommitted(core, member, committed);
      progress.sentCommit = committed;
      continue;
    }
    if (!sendAppend(core, member, progress, evenEmpty)) continue;
    while (progress.next <= lastIndex && sendAppend(core, member, progress, false)) {
      // Until the window is full or everything is on its way.
    }
  }
  core.transfereeProbeDue = false;
}

const nothing: readonly Entry[] = [];

/** Leader: sends one append, or a snapshot in its place. Returns whether something was sent. */
export function sendAppend(
  core: Core,
  to: MemberId,
  progress: Progress,
  evenEmpty: boolean,
): boolean {
  if (progress.isPaused()) return false;
  const { log } = core;
  const index = progress.next - 1;
  const logTerm = log.term(index);
  if (typeof logTerm !== 'number') return sendSnapshot(core, to, progress);
  // A full window lets only empty appends through: their answers show whether the full ones got
  // lost.
  const full = progress.state === 'replicate' && progress.inflights.isFull();
  const entries = full
    ? nothing
    : log.slice(progress.next, log.lastIndex + 1, core.config.appendSizeLimitBytes);
  if (typeof entries === 'symbol') return sendSnapshot(core, to, progress);
  if (entries.length === 0 && !evenEmpty) return false;
  core.send({
    type: 'append',
    from: core.id,
    to,
    term: core.term,
    index,
    logTerm,
    entries,
    commit: log.committed,
  });
  progress.sentEntries(entries.length, entriesSizeBytes(entries));
  progress.sentCommit = log.committed;
  return true;
}
