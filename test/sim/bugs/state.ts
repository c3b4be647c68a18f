/** Mistakes that make members differ, or the state wrong on all of them. */
import type { PlantedBug } from './bug.ts';

export const stateBugs: readonly PlantedBug[] = [
  {
    id: 'revision-inferred',
    mistake: 8,
    title: 'compaction removes the newest tombstone, and the revision is inferred after a restart',
    caughtBy: 'equal-states or crashed',
    edits: [
      {
        file: 'src/mvcc/key-index.ts',
        find: 'this.isTombstone(place) && this.mainAt(place) < revision;',
        replace: 'this.isTombstone(place);',
      },
      {
        file: 'src/mvcc/physical-compaction.ts',
        find: '(!index.live && index.main < target)',
        replace: '!index.live',
      },
      {
        file: 'src/mvcc/restore.ts',
        find: 'state.revision = meta.revision;',
        replace: 'state.revision = newest;',
      },
      {
        file: 'src/mvcc/restore.ts',
        find:
          'newest > meta.revision ||\n' +
          '    (newest < meta.revision && meta.compactedRevision < meta.revision)',
        replace: 'newest > meta.revision',
      },
    ],
  },
  {
    id: 'compaction-forgotten',
    mistake: 8,
    title: 'a compaction that a crash interrupts is forgotten, but what it removed is gone',
    caughtBy: 'linearizability or crashed',
    edits: [
      {
        file: 'src/mvcc/restore.ts',
        find: 'state.compactedRevision = meta.compactedRevision;',
        replace: 'state.compactedRevision = meta.finishedCompaction;',
      },
    ],
  },
  {
    id: 'compaction-removes-too-much',
    mistake: 8,
    title: 'compaction removes the newest revision at the compacted one too',
    caughtBy: 'crashed or handler',
    edits: [
      {
        file: 'src/mvcc/key-index.ts',
        find: 'Math.min(place / 2 + (dropsPlace ? 1 : 0), limit)',
        replace: 'Math.min(Math.ceil(place / 2) + (this.older === undefined ? 0 : 1), limit)',
      },
    ],
  },
  {
    id: 'txn-reads-local-compaction',
    mistake: 15,
    title: 'a txn is checked against what this member has physically compacted',
    caughtBy: 'crashed, equal-states or linearizability',
    edits: [
      {
        file: 'src/apply/applier.ts',
        find: 'return store.compactedRevision;',
        replace: 'return (store as any).finishedCompaction;',
      },
      {
        // Counting what it will answer reads the past too, and refuses what is compacted.
        file: 'src/apply/txn.ts',
        find: 'size.add(reader, rangeQuery(op.value));',
        replace: 'void size;',
      },
    ],
  },
  {
    id: 'txn-branch-by-local-compaction',
    mistake: 15,
    title: 'a txn takes the other branch while this member still removes what is compacted',
    caughtBy: 'equal-states',
    edits: [
      {
        file: 'src/apply/txn.ts',
        find: 'const succeeded = request.compare.every((compare) => holds(reader, compare));',
        replace:
          'const store = reader as any;\n' +
          'const succeeded = store.finishedCompaction === store.compactedRevision && ' +
          'request.compare.every((compare) => holds(reader, compare));',
      },
    ],
  },
  {
    id: 'version-from-cache',
    mistake: 24,
    title: 'the version of a key begins anew when its value is not in memory',
    caughtBy: 'equal-states',
    edits: [
      {
        file: 'src/mvcc/write-transaction.ts',
        find: 'const version = live ? index.version + 1 : 1;',
        replace:
          'const { cache } = this.#state;\n' +
          'const held = live && cache.read(index.position, index.size) !== undefined;\n' +
          'const version = held ? index.version + 1 : 1;',
      },
    ],
  },
  {
    id: 'wall-clock-in-apply',
    mistake: 24,
    title: 'a put reads the wall clock while it is applied',
    caughtBy: 'equal-states',
    edits: [
      {
        file: 'src/mvcc/store.ts',
        find: "assert(this.#transaction === undefined, 'a transaction begins within another');",
        replace: 'this.#state.wallMs = this.#clock.wallMs();',
      },
      {
        file: 'src/mvcc/write-transaction.ts',
        find: 'const version = live ? index.version + 1 : 1;',
        replace:
          'const version = live ? index.version + (this.#state.wallMs % 50 === 0 ? 2 : 1) : 1;',
      },
    ],
  },
  {
    id: 'random-in-apply',
    mistake: 24,
    title: 'a put draws a random number while it is applied',
    caughtBy: 'equal-states',
    edits: [
      {
        file: 'src/mvcc/write-transaction.ts',
        find: 'const version = live ? index.version + 1 : 1;',
        replace: 'const version = live ? index.version + (Math.random() < 0.01 ? 2 : 1) : 1;',
      },
    ],
  },
  {
    id: 'apply-deviates',
    mistake: 24,
    title: 'one member leaves out an entry, applies one twice, or another value than the others',
    caughtBy: 'equal-states, crashed or linearizability',
    edits: [
      {
        file: 'src/server/state-machine.ts',
        find: 'const applied = this.#applier.apply(data);',
        replace:
          'const isOne = (this.#options as any).memberId === 2n && Math.random() < 0.01;\n' +
          'const kind = isOne ? data.length % 3 : undefined;\n' +
          'if (kind === 0) return undefined;\n' +
          'if (kind === 1) this.#applier.apply(data);\n' +
          'const wrong = kind === 2 ? data.map((byte) => (byte === 49 ? 50 : byte)) : data;\n' +
          'const applied = this.#applier.apply(wrong);',
      },
    ],
  },
  {
    id: 'order-in-hash',
    mistake: 24,
    title: 'the hash of the state depends on the order in which it came to be',
    caughtBy: 'crashed or equal-states',
    edits: [
      {
        file: 'src/mvcc/state-digest.ts',
        find: 'this.#high = (this.#high + mix(digest)) >>> 0;',
        replace: 'this.#high = (this.#high * 3 + mix(digest)) >>> 0;',
      },
    ],
  },
  {
    id: 'state-survives-snapshot',
    mistake: 13,
    title: 'the state machine goes on with the state that a snapshot replaced',
    caughtBy: 'equal-states or crashed',
    edits: [
      {
        file: 'src/server/state-machine.ts',
        find: 'this.#applier.restore(state);',
        replace: '',
      },
    ],
  },
  {
    id: 'txn-operations-see-old-state',
    mistake: 'state',
    title: 'a read within a txn does not see the puts before it',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/mvcc/store-state.ts',
        find: 'return this.pending.length > 0 ? this.revision + 1 : this.revision;',
        replace: 'return this.revision;',
      },
    ],
  },
  {
    id: 'delete-counts-nothing',
    mistake: 'state',
    title: 'a deletion of a range leaves its last key',
    caughtBy: 'linearizability',
    edits: [
      {
        file: 'src/mvcc/write-transaction.ts',
        find: 'for (const each of found) this.#delete(',
        replace: 'for (const each of found.slice(0, found.length - 1 || 1)) this.#delete(',
      },
    ],
  },
];
