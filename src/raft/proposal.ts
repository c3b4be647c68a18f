/** Taking commands into the log. */
import { decodeConfChange } from './confchange/codec.ts';
import { ConfChangeError } from './confchange/error.ts';
import { Changer } from './confchange/changer.ts';
import type { Core, Draft } from './core.ts';
import type { ProposalRefusal } from './ready.ts';
import { EntryKind, noMember } from './types.ts';

const emptyData = new Uint8Array(0);

/** Host: appends all of the entries, in order and side by side, or passes them on, or none. */
export function propose(core: Core, drafts: readonly Draft[]): ProposalRefusal | undefined {
  if (drafts.length === 0) return undefined;
  if (core.role === 'leader') return proposeAtLeader(core, drafts);
  if (core.leader === noMember) return 'noLeader';
  if (core.config.disableProposalForwarding) return 'forwardingDisabled';
  const entries = drafts.map(({ kind, data }) => ({ index: 0, term: 0, kind, data }));
  core.send({ type: 'propose', from: core.id, to: core.leader, term: 0, entries });
  return undefined;
}

/** Leader: takes all of the entries or none. */
export function proposeAtLeader(core: Core, drafts: readonly Draft[]): ProposalRefusal | undefined {
  if (!core.tracker.progress.has(core.id)) return 'removed';
  if (core.transferee !== noMember) return 'transferring';
  let payload = 0;
  let confChanges = 0;
  for (const draft of drafts) {
    payload += draft.data.length;
    if (draft.kind === EntryKind.confChange) confChanges++;
  }
  // An empty tail takes an entry of any size, and empty entries are always taken: a leader must be
  // able to begin its term and to leave a joint configuration.
  const { uncommittedBytes, config } = core;
  if (
    uncommittedBytes > 0 &&
    payload > 0 &&
    uncommittedBytes + payload > config.uncommittedSizeLimitBytes
  ) {
    return 'uncommittedLimit';
  }
  if (confChanges > 0) return proposeWithConfChanges(core, drafts);
  core.appendOwn(drafts);
  return undefined;
}

/** A change that is refused at its only proposal is refused; among others it becomes empty. */
function proposeWithConfChanges(core: Core, drafts: readonly Draft[]): ProposalRefusal | undefined {
  const accepted: Draft[] = [];
  let pendingIndex = core.pendingConfIndex;
  for (const draft of drafts) {
    if (draft.kind !== EntryKind.confChange) {
      accepted.push(draft);
      continue;
    }
    const refusal = confChangeRefusal(core, draft.data, pendingIndex);
    if (refusal !== undefined) {
      core.config.trace('confChangeRefused', { refusal });
      if (drafts.length === 1) return refusal;
      accepted.push({ kind: EntryKind.normal, data: emptyData });
      continue;
    }
    accepted.push(draft);
    pendingIndex = core.log.lastIndex + accepted.length;
  }
  core.pendingConfIndex = pendingIndex;
  core.appendOwn(accepted);
  return undefined;
}

/** One change at a time: the next may be proposed once the one before is applied here. */
function confChangeRefusal(
  core: Core,
  data: Uint8Array,
  pendingIndex: number,
): ProposalRefusal | undefined {
  if (pendingIndex > core.log.applied) return 'confChangePending';
  try {
    new Changer(core.tracker, core.log.lastIndex).apply(decodeConfChange(data));
    return undefined;
  } catch (error) {
    if (error instanceof ConfChangeError) return 'confChangeInvalid';
    throw error;
  }
}
