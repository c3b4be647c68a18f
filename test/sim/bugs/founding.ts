/** Mistakes in who may take part. */
import type { PlantedBug } from './bug.ts';

export const foundingBugs: readonly PlantedBug[] = [
  {
    id: 'emptied-founder-votes',
    mistake: 'storage',
    title: 'a founder whose disk was emptied takes part as at the founding',
    caughtBy: 'founding',
    edits: [
      {
        file: 'src/server/open-member.ts',
        find: 'directory.saveFounding({ life, takesPart: false, acquaintances: [] });',
        replace: 'directory.saveFounding({ life, takesPart: true, acquaintances: [] });',
      },
    ],
  },
];
