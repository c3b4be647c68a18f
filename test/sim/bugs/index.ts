/** All planted bugs, and the classic mistakes that cannot be made yet. */
import type { LaterBug, PlantedBug } from './bug.ts';
import { alarmBugs } from './alarms.ts';
import { consensusBugs } from './consensus.ts';
import { foundingBugs } from './founding.ts';
import { leaseBugs } from './leases.ts';
import { lockBugs } from './locks.ts';
import { readBugs } from './reads.ts';
import { stateBugs } from './state.ts';
import { storageBugs } from './storage.ts';
import { watchBugs } from './watch.ts';

export const plantedBugs: readonly PlantedBug[] = [
  ...consensusBugs,
  ...storageBugs,
  ...readBugs,
  ...stateBugs,
  ...watchBugs,
  ...foundingBugs,
  ...leaseBugs,
  ...alarmBugs,
  ...lockBugs,
];

export const laterBugs: readonly LaterBug[] = [
  {
    mistake: 2,
    title: 'a change of membership before an entry of the own term is committed',
    comesWith: 'membership changes',
  },
  {
    mistake: 3,
    title: 'a campaign with a committed change of membership that is not applied',
    comesWith: 'membership changes',
  },
  {
    mistake: 16,
    title: 'membership is kept in two stores that come to differ',
    comesWith: 'membership changes',
  },
  {
    mistake: 19,
    title: 'an update promotes a learner; an addition is refused while a member is down',
    comesWith: 'membership changes',
  },
  {
    mistake: 23,
    title: 'a voter that became a learner refuses the snapshot that it needs',
    comesWith: 'membership changes',
  },
];
