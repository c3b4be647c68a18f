/** Mistakes in what watchers are told. */
import type { PlantedBug } from './bug.ts';

const store = 'src/mvcc/watchable-store.ts';
const stream = 'src/mvcc/watch-stream.ts';

export const watchBugs: readonly PlantedBug[] = [
  {
    id: 'watch-progress-ahead',
    mistake: 14,
    title: 'progress is told to watchers that are owed events',
    caughtBy: 'watch-bookmarkable',
    edits: [{ file: stream, find: 'this.#host.isSynced(watcher) && ', replace: '' }],
  },
  {
    id: 'watch-progress-overtakes',
    mistake: 14,
    title: 'progress overtakes events that wait to be sent',
    caughtBy: 'watch-bookmarkable or watch-ordered',
    edits: [
      {
        file: stream,
        find: 'this.#output.push(output);',
        replace:
          "if (output.kind === 'progress') this.#output.splice(this.#first, 0, output);\n" +
          'else this.#output.push(output);',
      },
    ],
  },
  {
    id: 'watch-loses-when-slow',
    mistake: 14,
    title: 'the revision for which a slow stream had no room is lost',
    caughtBy: 'watch-reliable',
    edits: [
      { file: store, find: 'watcher.next = revision;', replace: 'watcher.next = revision + 1;' },
    ],
  },
  {
    id: 'watch-loses-when-catching-up',
    mistake: 14,
    title: 'a slice of the past for which there was no room is lost',
    caughtBy: 'watch-reliable',
    edits: [
      {
        file: store,
        find: '!watcher.stream.offer(watcher, batch, current)) continue;',
        replace: '!watcher.stream.offer(watcher, batch, current)) void 0;',
      },
    ],
  },
  {
    id: 'watch-repeats-when-slow',
    mistake: 14,
    title: 'the revision before the one for which there was no room is told again',
    caughtBy: 'watch-unique or watch-ordered',
    edits: [
      {
        file: store,
        find: 'watcher.next = revision;',
        replace: 'watcher.next = Math.max(this.#store.compactedRevision, revision - 1);',
      },
    ],
  },
  {
    id: 'watch-repeats-for-others',
    mistake: 14,
    title: 'a slice read for one watcher goes to those who have seen part of it',
    caughtBy: 'watch-unique or watch-ordered',
    edits: [
      {
        file: store,
        find: 'if (revision < watcher.next || !watcher.wants(event)) return;',
        replace: 'if (!watcher.wants(event)) return;',
      },
    ],
  },
  {
    id: 'watch-starts-late',
    mistake: 14,
    title: 'a watch that begins at the current revision misses it',
    caughtBy: 'watch-reliable',
    edits: [
      {
        file: store,
        find: 'if (watcher.next === 0 || watcher.next > revision) {',
        replace: 'if (watcher.next === 0 || watcher.next >= revision) {',
      },
    ],
  },
  {
    id: 'watch-synced-after-restore',
    mistake: 13,
    title: 'watchers count as up to date with a state that a snapshot brought',
    caughtBy: 'watch-reliable',
    edits: [
      { file: store, find: 'if (watcher.next > store.revision) continue;', replace: 'continue;' },
    ],
  },
  {
    id: 'watch-skips-after-restore',
    mistake: 13,
    title: 'watchers go on after the snapshot instead of where they were',
    caughtBy: 'watch-reliable',
    edits: [
      {
        file: store,
        find: 'watcher.next = Math.max(watcher.next, seen + 1);',
        replace: 'watcher.next = Math.max(watcher.next, store.revision);',
      },
    ],
  },
  {
    id: 'watch-repeats-after-restore',
    mistake: 14,
    title: 'after a snapshot watchers are told again what they were told at the start',
    caughtBy: 'watch-unique or watch-ordered',
    edits: [{ file: store, find: 'watcher.next = Math.max(watcher.next, seen + 1);', replace: '' }],
  },
  {
    id: 'watch-loses-compacted-delete',
    mistake: 14,
    title: 'a deletion at the compacted revision is gone for those who watch from it',
    caughtBy: 'watch-reliable or crashed',
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
        file: 'src/mvcc/store.ts',
        find: 'if (found === undefined && gaps-- > 0) continue;',
        replace: 'if (found === undefined && gaps > 0) return events;',
      },
    ],
  },
  {
    id: 'watch-skips-compacted-past',
    mistake: 14,
    title: 'a watch from a compacted revision begins at the oldest one without a word',
    caughtBy: 'watch-reliable',
    edits: [
      {
        file: store,
        find: 'if (watcher.next < revision) this.#cancelCompacted(watcher);',
        replace: 'watcher.next = Math.max(watcher.next, revision);',
      },
      {
        file: store,
        find: 'this.#cancelCompacted(first);\n      return true;',
        replace: 'first.next = compactedRevision;\n      return true;',
      },
    ],
  },
  {
    id: 'watch-filter-ignored',
    mistake: 'watch',
    title: 'watchers are told events that they asked not to be told',
    caughtBy: 'watch-filter',
    edits: [
      {
        file: stream,
        find: 'return event.isDelete ? !this.noDelete : !this.noPut;',
        replace: 'return event !== undefined;',
      },
    ],
  },
  {
    id: 'watch-create-wrong',
    mistake: 'watch',
    title: 'a put after a deletion keeps the create revision of the deleted key',
    caughtBy: 'watch-is-create or linearizability',
    edits: [
      {
        file: 'src/mvcc/write-transaction.ts',
        find: 'index.advance(this.#main, this.#events.length, 0, 0);',
        replace: 'index.advance(this.#main, this.#events.length, index.createRevision, 0);',
      },
      {
        file: 'src/mvcc/write-transaction.ts',
        find: 'const createRevision = live ? index.createRevision : this.#main;',
        replace: 'const createRevision = index?.createRevision || this.#main;',
      },
    ],
  },
  {
    id: 'watch-prev-kv-newest',
    mistake: 'watch',
    title: 'the previous key value of an old event is looked up in the newest state',
    caughtBy: 'watch-prev-kv',
    edits: [
      {
        file: 'src/mvcc/store-state.ts',
        find: 'const place = index.placeAt(before);',
        replace: 'const place = index.placeAt(Math.max(before, this.revision - 1));',
      },
    ],
  },
  {
    id: 'watch-fragment-ends-early',
    mistake: 'watch',
    title: 'every piece of an answer says that it is the last',
    caughtBy: 'watch-atomic',
    edits: [{ file: 'src/api/watch.ts', find: 'piece, i < last)', replace: 'piece, false)' }],
  },
  {
    id: 'watch-ready-answer-lost',
    mistake: 'watch',
    title: 'of the answers that are there at once, every other one is lost',
    caughtBy: 'watch-reliable',
    edits: [
      {
        file: 'src/api/session-answers.ts',
        find: 'return this.#session?.next();',
        replace: 'this.#session?.next();\n    return this.#session?.next();',
      },
    ],
  },
  {
    id: 'watch-pieces-overtaken',
    mistake: 'watch',
    title: 'a new answer overtakes the pieces that are left of the one before',
    caughtBy: 'watch-atomic or watch-ordered',
    edits: [
      {
        file: 'src/api/watch.ts',
        find: 'if (this.#pieces.length > 0) return',
        replace: 'if (this.#pieces.length > 0 && this.#stream.unsent === 0) return',
      },
    ],
  },
  {
    id: 'watch-fragment-loses-event',
    mistake: 'watch',
    title: 'the event at which an answer is cut is in neither piece',
    caughtBy: 'watch-reliable',
    edits: [
      {
        file: 'src/api/watch.ts',
        find: 'pieces.push(piece);\n      piece = [];\n      bytes = 0;',
        replace: 'pieces.push(piece);\n      piece = [];\n      bytes = 0;\n      continue;',
      },
    ],
  },
];
