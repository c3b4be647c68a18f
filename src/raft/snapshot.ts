/** Followers that need more than the log still holds (Raft 7). The host moves the contents. */
import { acknowledge } from './acknowledge.ts';
import { restore } from './confchange/restore.ts';
import type { Core } from './core.ts';
import type { SnapshotMessage } from './message.ts';
import type { Progress } from './tracker/progress.ts';
import { Tracker } from './tracker/tracker.ts';
import type { MemberId, SnapshotMetadata } from './types.ts';

/** Leader: asks its host to send a snapshot. */
export function sendSnapshot(core: Core, to: MemberId, progress: Progress): boolean {
  // A member that is down would only tie up the snapshot.
  if (!progress.recentActive) return false;
  const snapshot = core.config.storage.snapshot();
  if (typeof snapshot === 'symbol') return false;
  core.config.trace('snapshotSent', { to, index: snapshot.index, match: progress.match });
  progress.becomeSnapshot(snapshot.index);
  core.send({ type: 'snapshot', from: core.id, to, term: core.term, snapshot });
  return true;
}

/** Leader: the host knows how the transfer of a snapshot ended. */
export function reportSnapshot(core: Core, member: MemberId, ok: boolean): void {
  const progress = core.tracker.progress.get(member);
  if (core.role !== 'leader' || progress?.state !== 'snapshot') return;
  if (!ok) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  // Wait for the follower to speak, after success, or for a heartbeat, after a failure.
  progress.msgAppFlowPaused = true;
}

/** Leader: a message could not be delivered, so pipelined appends are probably lost too. */
export function reportUnreachable(core: Core, member: MemberId): void {
  const progress = core.tracker.progress.get(member);
  if (core.role !== 'leader' || progress?.state !== 'replicate') return;
  progress.becomeProbe();
}

/** Follower: the contents of a snapshot have arrived whole. */
export function handleSnapshot(core: Core, message: SnapshotMessage): void {
  const restored = tryRestore(core, message.snapshot);
  acknowledge(core, message.from, restored ? core.log.lastIndex : core.log.committed);
}

function tryRestore(core: Core, snapshot: SnapshotMetadata): boolean {
  const { log } = core;
  if (snapshot.index <= log.committed) return false;
  // The configuration may lack this member, if it was added later: the entries that follow tell it.
  if (log.matches(snapshot)) {
    // The log holds all that the snapshot covers; only the commit index was behind.
    log.commitTo(snapshot.index);
    return false;
  }
  core.config.trace('snapshotAccepted', { index: snapshot.index, term: snapshot.term });
  log.restore(snapshot);
  if (core.supersededTracker === undefined) {
    core.supersededTracker = new Tracker(core.tracker.limits);
    core.supersededTracker.install(core.tracker);
  }
  core.tracker.install(restore(snapshot.confState, log.lastIndex, core.tracker.limits));
  return true;
}
