/**
 * Changing who the members are (dissertation chapter 4). A change takes effect when it is applied.
 */
import { Changer } from './confchange/changer.ts';
import { encodeConfChange } from './confchange/codec.ts';
import type { Core } from './core.ts';
import { propose, proposeAtLeader } from './proposal.ts';
import type { ProposalRefusal } from './ready.ts';
import { advanceCommit } from './replication.ts';
import {
  ConfChangeTransition,
  EntryKind,
  noMember,
  type ConfChange,
  type ConfState,
} from './types.ts';

const leaveJoint: ConfChange = {
  transition: ConfChangeTransition.auto,
  changes: [],
  context: new Uint8Array(0),
};

/** Host: proposes a change. */
export function proposeConfChange(core: Core, change: ConfChange): ProposalRefusal | undefined {
  return propose(core, [{ kind: EntryKind.confChange, data: encodeConfChange(change) }]);
}

/** Host: a committed change is being applied. Throws if the change is impossible here. */
export function applyConfChange(core: Core, change: ConfChange): ConfState {
  const superseded = core.supersededTracker;
  if (superseded !== undefined) {
    // The entry is older than the snapshot under way, whose configuration is in force already. But
    // the host may store what it applies, so it needs the configuration as of this entry.
    superseded.install(new Changer(superseded, core.log.lastIndex).apply(change));
    return superseded.confState();
  }
  core.tracker.install(new Changer(core.tracker, core.log.lastIndex).apply(change));
  core.config.trace('configChanged', { index: core.log.applied + 1 });
  const member = core.tracker.isVoter(core.id);
  if (core.role === 'preCandidate' || core.role === 'candidate') {
    // It may have been waiting for the votes of members that are gone.
    if (!member) core.becomeFollower(core.term, noMember);
  } else if (core.role === 'leader') {
    if (!member && core.config.stepDownOnRemoval) core.becomeFollower(core.term, noMember);
    else adaptLeader(core);
  }
  return core.tracker.confState();
}

/** A smaller quorum may commit more, new members need probing, gone ones are no transferees. */
function adaptLeader(core: Core): void {
  core.appendsDue = true;
  core.reads.forgetMembers((member) => core.tracker.progress.has(member));
  advanceCommit(core);
  if (core.transferee !== noMember && !core.tracker.isVoter(core.transferee)) {
    core.transferee = noMember;
  }
}

/** Leader: leaves a joint configuration that is to be left by itself, once it is applied. */
export function maybeAutoLeave(core: Core): void {
  if (core.role !== 'leader' || !core.tracker.config.autoLeave) return;
  if (core.log.applied < core.pendingConfIndex) return;
  // Refused while leadership is being handed over; asked again with the next entry or timeout.
  proposeAtLeader(core, [{ kind: EntryKind.confChange, data: encodeConfChange(leaveJoint) }]);
}
