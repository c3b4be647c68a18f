/** All planted bugs, and the classic mistakes that cannot be made yet. */
import type { LaterBug, PlantedBug } from './bug.ts';
import { alarmBugs } from './alarms.ts';
import { consensusBugs } from './consensus.ts';
import { foundingBugs } from './founding.ts';
import { leaseBugs } from './leases.ts';
import { lockBugs } from './locks.ts';
import { membershipBugs } from './membership.ts';
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
  ...membershipBugs,
];

/** None: all that the classic mistakes are about exists by now. */
export const laterBugs: readonly LaterBug[] = [];
