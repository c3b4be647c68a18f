/** Signs of life of a leader (Raft 5.2). */
import type { Core } from './core.ts';

/** Leader: begins a round of heartbeats, which also confirms reads. */
export function broadcastHeartbeat(core: Core): void {
  core.heartbeatElapsed = 0;
  const round = core.reads.begin(core.id, core.now, core.config.leaseReads);
  const context = BigInt(round);
  core.tracker.visit((member, progress) => {
    if (member === core.id) return;
    core.send({
      type: 'heartbeat',
      from: core.id,
      to: member,
      term: core.term,
      // Past its match the follower may hold other entries than the committed ones.
      commit: Math.min(progress.match, core.log.committed),
      context,
    });
  });
}
