/** Rebuilds the active configuration from its durable form, at start and from a snapshot. */
import { Inflights, type InflightsLimits } from '../tracker/inflights.ts';
import { Progress } from '../tracker/progress.ts';
import type { TrackedConfig } from '../tracker/tracker.ts';
import type { ConfState, MemberId } from '../types.ts';
import { checkInvariants } from './invariants.ts';

/** Throws a `ConfChangeError` if the state is not one that changes could have led to. */
export function restore(
  state: ConfState,
  lastIndex: number,
  limits: InflightsLimits,
): TrackedConfig {
  const learners = new Set(state.learners);
  const progress = new Map<MemberId, Progress>();
  for (const member of [...state.voters, ...state.votersOutgoing, ...state.learners]) {
    if (progress.has(member)) continue;
    const inflights = new Inflights(limits);
    const isLearner = learners.has(member);
    const next = Math.max(lastIndex, 1);
    progress.set(
      member,
      new Progress({ match: 0, next, inflights, isLearner, recentActive: true }),
    );
  }
  const tracked: TrackedConfig = {
    config: {
      voters: { incoming: new Set(state.voters), outgoing: new Set(state.votersOutgoing) },
      learners,
      learnersNext: new Set(state.learnersNext),
      autoLeave: state.autoLeave,
    },
    progress,
  };
  checkInvariants(tracked);
  return tracked;
}
