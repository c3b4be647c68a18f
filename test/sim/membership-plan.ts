/** Changes of membership in a run: what an operator asks for, and when. */
import type { ReconfigurationSettings } from '../../src/server/member-changes.ts';
import type { Chance } from './chance.ts';
import type { PlannedFault, Target } from './fault-plan.ts';

/** What is wrong with the member that is to go. */
export type Prelude = 'nothing' | 'crash' | 'isolate' | 'pause';

export type MembershipFault =
  /** Several are asked for at once: the cluster takes one at a time. */
  | { readonly kind: 'add-members'; readonly learner: boolean; readonly count: number }
  | { readonly kind: 'remove-member'; readonly target: Target; readonly first: Prelude }
  /** A member's machine is gone: it is removed, and another one with an empty disk is added. */
  | { readonly kind: 'replace-member'; readonly target: Target; readonly learner: boolean }
  /** A member is reached at another address from now on; `newest`: the one that came last. */
  | { readonly kind: 'update-member'; readonly target: Target | 'newest' };

export interface MembershipPlan {
  readonly settings: ReconfigurationSettings;
  /** The longest that the operator takes to start what was added, or to ask for the next thing. */
  readonly restMs: number;
}

export interface MembershipDraw {
  readonly membership: MembershipPlan;
  readonly faults: readonly PlannedFault[];
}

interface Frame {
  readonly members: number;
  readonly chaosMs: number;
}

/** Time before the first change: a cluster is there to be changed. */
const calmMs = 1_500;
/** Voters and learners that an operator has at most. */
export const membersMax = 7;

/** Undefined for the runs in which the members stay as they are. */
export function drawMembership(chance: Chance, frame: Frame): MembershipDraw | undefined {
  if (!chance.chance(0.4)) return undefined;
  const membership: MembershipPlan = {
    settings: {
      strictReconfigCheck: chance.chance(0.6),
      learnersMax: chance.pick([1, 1, 3]),
      learnerAutoPromote: chance.chance(0.2),
    },
    restMs: chance.octaves(50, 3_200),
  };
  const count = 3 + chance.below(8);
  const faults = Array.from({ length: count }, (): PlannedFault => {
    const atMs = chance.between(calmMs, frame.chaosMs);
    return { atMs, forMs: chance.octaves(200, 6_400), fault: drawChange(chance, frame) };
  });
  return { membership, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

function drawChange(chance: Chance, { members }: Frame): MembershipFault {
  const target = chance.pick<Target>(['leader', 'follower', chance.below(members + 2)]);
  switch (chance.pick(['add', 'add', 'remove', 'remove', 'replace', 'update'] as const)) {
    case 'add': {
      const learner = chance.chance(0.6);
      return { kind: 'add-members', learner, count: chance.pick([1, 1, 1, 2, 3]) };
    }
    case 'remove': {
      const first = chance.pick<Prelude>(['nothing', 'nothing', 'crash', 'isolate', 'pause']);
      return { kind: 'remove-member', target, first };
    }
    case 'replace':
      return { kind: 'replace-member', target, learner: chance.chance(0.5) };
    case 'update':
      return { kind: 'update-member', target: chance.chance(0.6) ? 'newest' : target };
  }
}
