/** Mistakes with locks. */
import type { PlantedBug } from './bug.ts';

export const lockBugs: readonly PlantedBug[] = [
  {
    id: 'lock-after-lease-died',
    mistake: 12,
    title: 'a lock is given out after its lease has died',
    caughtBy: 'lock-owner',
    edits: [
      {
        file: 'src/api/ownership.ts',
        find: "if (!isThere) return { kind: 'lost' };",
        replace: '',
      },
      {
        file: 'src/api/ownership.ts',
        find: 'const isThere = kvs[0]?.createRevision === revision;',
        replace: 'const isThere = kvs.length < revision;',
      },
    ],
  },
  {
    id: 'lock-by-key',
    mistake: 12,
    title: 'the lock goes by the order of keys, not of their creation',
    caughtBy: 'lock-owner',
    edits: [
      {
        file: 'src/api/ownership.ts',
        find: 'if (kv.createRevision < place.revision) {',
        replace: 'if (latin1(kv.key) < place.key) {',
      },
    ],
  },
];
