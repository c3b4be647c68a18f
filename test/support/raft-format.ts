/** Prints what the Raft core says and asks for, one fact a line, for transcripts. */
import {
  ConfChangeTransition,
  ConfChangeType,
  decodeConfChange,
  EntryKind,
  type ConfChange,
  type ConfState,
  type Entry,
  type Message,
  type Persist,
  type Ready,
  type SnapshotMetadata,
} from '../../src/raft/index.ts';

const changeLetters = new Map<ConfChangeType, string>([
  [ConfChangeType.addVoter, 'v'],
  [ConfChangeType.addLearner, 'l'],
  [ConfChangeType.remove, 'r'],
  [ConfChangeType.update, 'u'],
]);
const transitionWords = new Map<ConfChangeTransition, string>([
  [ConfChangeTransition.auto, ''],
  [ConfChangeTransition.jointImplicit, ' (joint)'],
  [ConfChangeTransition.jointExplicit, ' (joint until left)'],
]);

/** `v1 l2 r3`, or `leave` for the empty change. */
export function formatChange(change: ConfChange): string {
  const changes = change.changes.map(
    ({ type, member }) => `${changeLetters.get(type) ?? '?'}${member}`,
  );
  const words = changes.length === 0 ? 'leave' : changes.join(' ');
  return `${words}${transitionWords.get(change.transition) ?? ''}`;
}

/** `index@term "data"`. */
export function formatEntry(entry: Entry): string {
  const content =
    entry.kind === EntryKind.confChange
      ? `change ${formatChange(decodeConfChange(entry.data))}`
      : JSON.stringify(Buffer.from(entry.data).toString());
  return `${entry.index}@${entry.term} ${content}`;
}

export function formatConfState(state: ConfState): string {
  const list = (members: readonly bigint[]): string => `(${members.join(' ')})`;
  const parts = [`voters=${list(state.voters)}`];
  if (state.votersOutgoing.length > 0) parts.push(`outgoing=${list(state.votersOutgoing)}`);
  if (state.learners.length > 0) parts.push(`learners=${list(state.learners)}`);
  if (state.learnersNext.length > 0) parts.push(`learners-next=${list(state.learnersNext)}`);
  if (state.autoLeave) parts.push('leaves-by-itself');
  return parts.join(' ');
}

export function formatSnapshot(snapshot: SnapshotMetadata): string {
  return `${snapshot.index}@${snapshot.term} ${formatConfState(snapshot.confState)}`;
}

export function formatMessage(message: Message): string {
  const head = `${message.from}->${message.to} ${message.type} term=${message.term}`;
  const details = formatDetails(message);
  return details === '' ? head : `${head} ${details}`;
}

function formatDetails(message: Message): string {
  switch (message.type) {
    case 'propose':
      return formatEntries(message.entries);
    case 'append': {
      const entries = message.entries.length > 0 ? ` ${formatEntries(message.entries)}` : '';
      return `after=${message.index}@${message.logTerm} commit=${message.commit}${entries}`;
    }
    case 'appendResponse':
      return message.reject
        ? `REFUSED after=${message.index} hint=${message.rejectHint}@${message.logTerm}`
        : `match=${message.index}`;
    case 'vote':
    case 'preVote':
      return `last=${message.index}@${message.logTerm}${message.transfer ? ' transfer' : ''}`;
    case 'voteResponse':
    case 'preVoteResponse':
      return message.reject ? 'REFUSED' : 'granted';
    case 'committed':
      return `at=${message.index}@${message.logTerm}`;
    case 'snapshot':
      return formatSnapshot(message.snapshot);
    case 'heartbeat':
      return `commit=${message.commit}${formatRound(message.context)}`;
    case 'heartbeatResponse':
      return formatRound(message.context).trim();
    case 'timeoutNow':
      return '';
    case 'transferLeader':
      return `transferee=${message.transferee}`;
    case 'readIndex':
      return `read=${message.context}`;
    case 'readIndexResponse':
      return `index=${message.index} read=${message.context}`;
  }
}

/** Heartbeats are numbered where a round of them may confirm reads. */
function formatRound(context: bigint): string {
  return context === 0n ? '' : ` round=${context}`;
}

function formatEntries(entries: readonly Entry[]): string {
  return `[${entries.map(formatEntry).join(', ')}]`;
}

/** All that a batch makes durable, but not the messages that wait for it. */
export function formatWrite(persist: Persist): string[] {
  const lines: string[] = [];
  if (persist.hardState !== undefined) {
    const { term, vote, commit } = persist.hardState;
    const sync = persist.mustSync ? '' : ' (no sync needed)';
    lines.push(`write state term=${term} vote=${vote} commit=${commit}${sync}`);
  }
  if (persist.snapshot !== undefined) {
    lines.push(`write snapshot ${formatSnapshot(persist.snapshot)}`);
  }
  for (const entry of persist.entries) lines.push(`write ${formatEntry(entry)}`);
  return lines;
}

/** `send` goes out at once, `send once written` waits for the batch to be durable. */
export function formatReady(ready: Ready): string[] {
  const lines: string[] = [];
  if (ready.softState !== undefined) {
    const { role, leader } = ready.softState;
    lines.push(`now ${role}, leader ${leader === 0n ? 'unknown' : leader}`);
  }
  if (ready.persist !== undefined) lines.push(...formatWrite(ready.persist));
  for (const entry of ready.committedEntries) lines.push(`apply ${formatEntry(entry)}`);
  for (const { context, index } of ready.readStates) lines.push(`read ${context} at ${index}`);
  for (const context of ready.droppedReads) lines.push(`read ${context} dropped`);
  for (const message of ready.messages) lines.push(`send ${formatMessage(message)}`);
  for (const message of ready.persist?.messages ?? []) {
    lines.push(`send once written ${formatMessage(message)}`);
  }
  return lines.length === 0 ? ['(nothing to do)'] : lines;
}
