/** How a change of membership is to be carried out (dissertation 4.3). */
import { ConfChangeTransition, type ConfChange } from '../types.ts';

export type TransitionKind = 'simple' | 'enterJoint' | 'leaveJoint';

/** The empty change leaves a joint configuration, and more than one change at once enters one. */
export function transitionKind(change: ConfChange): TransitionKind {
  if (change.transition !== ConfChangeTransition.auto) return 'enterJoint';
  if (change.changes.length === 0) return 'leaveJoint';
  return change.changes.length > 1 ? 'enterJoint' : 'simple';
}

/** Whether the leader itself leaves the joint configuration that this change enters. */
export function leavesByItself(change: ConfChange): boolean {
  return change.transition !== ConfChangeTransition.jointExplicit;
}
