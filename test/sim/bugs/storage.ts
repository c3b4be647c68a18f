/** Mistakes in what is written when, and in snapshots. */
import type { PlantedBug } from './bug.ts';

export const storageBugs: readonly PlantedBug[] = [
  {
    id: 'log-not-synced',
    mistake: 5,
    title: 'the log is written without a sync',
    caughtBy: 'leader-completeness or crashed',
    edits: [
      {
        file: 'src/storage/raft-log.ts',
        find: 'guardedWrite(this.#engine, operations, persistSteps, (error) => {',
        replace: 'this.#engine.write(operations, false, (error) => {',
      },
    ],
  },
  {
    id: 'state-not-synced',
    mistake: 7,
    title: 'the state is written without a sync, and the log cut off behind it',
    caughtBy: 'crashed',
    edits: [
      {
        file: 'src/storage/backend.ts',
        find: 'guardedWrite(this.#engine, operations, flushSteps, (error) =>',
        replace: 'this.#engine.write(operations, false, (error) =>',
      },
    ],
  },
  {
    id: 'failed-write-tried-again',
    mistake: 6,
    title: 'after a failed sync of the log the member goes on as if it had been written',
    caughtBy: 'leader-completeness or crashed',
    edits: [
      {
        file: 'src/server/raft-driver.ts',
        find: 'this.#fail(error);\n        return;\n      }\n      this.#written(batch);',
        replace: 'void error;\n      }\n      this.#written(batch);',
      },
    ],
  },
  {
    id: 'failed-flush-tried-again',
    mistake: 6,
    title: 'after a failed sync of the state the flush counts as done',
    caughtBy: 'crashed',
    edits: [
      {
        file: 'src/storage/backend.ts',
        find: 'this.#fail(error, waiting);\n      return;',
        replace: '',
      },
    ],
  },
  {
    id: 'applied-index-after-state',
    mistake: 7,
    title: 'the applied index is written in a batch after the state that it covers',
    caughtBy: 'equal-states or crashed',
    edits: [
      {
        file: 'src/storage/backend.ts',
        find:
          'operations.push(...recordsOf(target, logMark));\n' +
          '      guardedWrite(this.#engine, operations, flushSteps, (error) =>',
        replace:
          'this.#engine.write(operations, true, () => {});\n' +
          'this.#engine.write(recordsOf(target, logMark), true, (error) =>',
      },
    ],
  },
  {
    id: 'applied-index-before-state',
    mistake: 7,
    title: 'the applied index is written in a batch before the state that it covers',
    caughtBy: 'equal-states or crashed',
    edits: [
      {
        file: 'src/storage/backend.ts',
        find:
          'operations.push(...recordsOf(target, logMark));\n' +
          '      guardedWrite(this.#engine, operations, flushSteps, (error) =>',
        replace:
          'this.#engine.write(recordsOf(target, logMark), true, () => {});\n' +
          'this.#engine.write(operations, true, (error) =>',
      },
    ],
  },
  {
    id: 'log-compacted-beyond-flush',
    mistake: 7,
    title: 'the log is cut off at the applied index, not at the flushed one',
    caughtBy: 'crashed',
    edits: [
      {
        file: 'src/server/member.ts',
        find: '{ flushedIndex: index, flushedTerm: term, confState } = backend',
        replace: '{ appliedIndex: index, appliedTerm: term, confState } = backend',
      },
    ],
  },
  {
    id: 'state-ahead-of-log',
    mistake: 5,
    title: "entries are applied before they are in the member's own durable log",
    caughtBy: 'crashed',
    edits: [
      {
        file: 'src/raft/log/raft-log.ts',
        find: 'this.#applying < Math.min(this.#committed, this.#durable) &&',
        replace: 'this.#applying < this.#committed &&',
      },
      {
        file: 'src/raft/log/raft-log.ts',
        find: 'const high = Math.min(this.#committed, this.#durable) + 1;',
        replace: 'const high = this.#committed + 1;',
      },
      {
        file: 'src/raft/invariants.ts',
        find: 'check(applying <= durable, ',
        replace: 'check(true, ',
      },
    ],
  },
  {
    id: 'stored-conflict-not-truncated',
    mistake: 'storage',
    title: 'conflicting entries stay in the stored log',
    caughtBy: 'crashed',
    edits: [
      {
        file: 'src/storage/raft-log.ts',
        find: 'if (first.index <= this.lastIndex()) this.#truncate(',
        replace: 'if (first.index < 0) this.#truncate(',
      },
    ],
  },
  {
    id: 'snapshots-merged',
    mistake: 13,
    title: 'a second snapshot in a row is written along with the first and lost',
    caughtBy: 'crashed or apply-order',
    edits: [
      {
        file: 'src/server/raft-driver.ts',
        find: 'firstSnapshot < 0 ? this.#persists.length : Math.max(firstSnapshot, 1);',
        replace: 'this.#persists.length;',
      },
    ],
  },
  {
    id: 'applies-while-installing',
    mistake: 13,
    title: 'entries after a snapshot are applied before its contents are the state',
    caughtBy: 'apply-order or crashed',
    edits: [
      {
        file: 'src/server/raft-driver.ts',
        find: 'if (this.#installing || this.#nextToApply',
        replace: 'if (this.#nextToApply',
      },
      {
        file: 'src/raft/log/raft-log.ts',
        find: 'this.#applyingBytes < limitBytes &&\n      this.tail.snapshot === undefined',
        replace: 'this.#applyingBytes < limitBytes',
      },
    ],
  },
  {
    id: 'old-entries-after-snapshot',
    mistake: 13,
    title: 'entries that a snapshot covers are applied once more after it',
    caughtBy: 'apply-order',
    edits: [
      {
        file: 'src/server/raft-driver.ts',
        find: '.filter(({ index }) => index > snapshot.index)',
        replace: '',
      },
    ],
  },
  {
    id: 'snapshot-received-during-install',
    mistake: 13,
    title: 'another snapshot is received while one is being taken over',
    caughtBy: 'crashed',
    edits: [
      {
        file: 'src/server/snapshot-exchange.ts',
        find: 'return pending() === undefined ? directory.receiveSnapshot(metadata) : undefined;',
        replace: 'return directory.receiveSnapshot(metadata);',
      },
      {
        file: 'src/storage/open-directory.ts',
        find: 'if (this.#receiving !== undefined || this.#named !== undefined) return undefined;',
        replace: '',
      },
    ],
  },
  {
    id: 'snapshot-of-other-index',
    mistake: 13,
    title: 'a snapshot is announced at the applied index, and its contents are older',
    caughtBy: 'crashed or equal-states',
    edits: [
      {
        file: 'src/storage/backend.ts',
        find: 'stored === undefined ? emptyFlushRecord : decodeFlushRecord(stored);\n    this.#',
        replace:
          'stored === undefined ? emptyFlushRecord : ' +
          '{ ...decodeFlushRecord(stored), index: this.#appliedIndex, term: this.#appliedTerm };' +
          '\n    this.#',
      },
    ],
  },
];
