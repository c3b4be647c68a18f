/**
 * The power goes during each of the writes of a script of 500 operations. Whatever survives of the
 * writes under way, what is found is a prefix of the script that holds all that was acknowledged.
 *
 * `CRASH_SEED` chooses another script, `CRASH_REPORT` names a file for the figures as JSON.
 */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { present } from '../../src/base/assert.ts';
import type { SnapshotMetadata } from '../../src/raft/index.ts';
import type { Completion } from '../../src/storage/engine.ts';
import { MemoryDirectory } from '../../src/storage/memory-directory.ts';
import type { StateSink, StateSource } from '../../src/storage/snapshot-stream.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { StepClock } from '../support/step-clock.ts';
import {
  contentsOf,
  drawScript,
  openStorage,
  operationCount,
  reload,
  termAt,
  type Opened,
  type Script,
} from './crash-script.ts';

const seed = Number(process.env['CRASH_SEED'] ?? 1);
/** The member falls behind at the first index of each and receives a snapshot of the second. */
const jumps = new Map([
  [250, 300],
  [400, 430],
]);
/** Entries of one append. */
const batchLimit = 3;
const compactEvery = 40;
const keptEntries = 10;
const callbacksLimit = 1_000_000;

interface Snapshot {
  readonly metadata: SnapshotMetadata;
  readonly chunks: readonly Uint8Array[];
}

/** What another member, which did all, has to show and to send. */
interface Reference {
  readonly hashes: readonly bigint[];
  readonly snapshots: ReadonlyMap<number, Snapshot>;
}

interface Acknowledged {
  index: number;
  term: number;
}

function check(error: Error | undefined): void {
  if (error !== undefined) throw error;
}

function append(script: Script, { directory }: Opened, to: number, done: () => void): void {
  const first = directory.raftLog.lastIndex() + 1;
  const entries = Array.from({ length: to - first + 1 }, (_, i) => {
    const index = first + i;
    return {
      index,
      term: termAt(index),
      kind: 0 as const,
      data: script.datas[index] as Uint8Array,
    };
  });
  const hardState = { term: termAt(to), vote: BigInt(1 + (termAt(to) % 3)), commit: first - 1 };
  directory.raftLog.append({ hardState, entries }, true, (error) => {
    check(error);
    done();
  });
}

function apply(script: Script, opened: Opened, index: number): void {
  opened.applier.apply(script.datas[index] as Uint8Array);
  opened.directory.backend.applied(index, termAt(index));
}

function chunksOf(source: StateSource, done: (chunks: readonly Uint8Array[]) => void): void {
  const chunks: Uint8Array[] = [];
  const next = (): void => {
    source.next((error, chunk) => {
      check(error);
      if (chunk === undefined) {
        source.close();
        done(chunks);
        return;
      }
      chunks.push(chunk);
      next();
    });
  };
  next();
}

function runReference(script: Script): Reference {
  const clock = new StepClock();
  const hashes: bigint[] = [];
  const snapshots = new Map<number, Snapshot>();
  openStorage(
    clock,
    new MemoryDirectory(),
    () => {},
    (opened) => {
      const { directory, state } = opened;
      hashes.push(state.store.stateHash);
      const next = (index: number): void => {
        if (index > operationCount) return;
        append(script, opened, index, () => {
          apply(script, opened, index);
          hashes.push(state.store.stateHash);
          if (![...jumps.values()].includes(index)) {
            next(index + 1);
            return;
          }
          directory.backend.flush((error) => {
            check(error);
            const source = present(directory.openSnapshot(), 'a snapshot');
            const { metadata } = source;
            chunksOf(source, (chunks) => {
              snapshots.set(index, { metadata, chunks });
              next(index + 1);
            });
          });
        });
      };
      next(1);
    },
  );
  clock.run(callbacksLimit);
  expect(hashes).toHaveLength(operationCount + 1);
  return { hashes, snapshots };
}

function fill(sink: StateSink, chunks: readonly Uint8Array[], done: Completion): void {
  const [chunk, ...rest] = chunks;
  if (chunk === undefined) sink.finish(done);
  else {
    sink.write(chunk, (error) => {
      check(error);
      fill(sink, rest, done);
    });
  }
}

/** The member's life; `seen` grows with what is acknowledged. */
function live(
  clock: StepClock,
  opened: Opened,
  script: Script,
  reference: Reference,
  seen: Acknowledged,
): void {
  const { directory } = opened;
  const random = new SeededRandom(seed + 1);
  const receive = (to: number, done: () => void): void => {
    const { metadata, chunks } = present(reference.snapshots.get(to), 'a snapshot');
    const sink = present(directory.receiveSnapshot(metadata), 'a place for the snapshot');
    fill(sink, chunks, (error) => {
      check(error);
      const snapshot = present(directory.received(metadata), 'the snapshot');
      const hardState = { term: termAt(to), vote: 0n, commit: to };
      directory.raftLog.append({ hardState, entries: [], snapshot }, true, (appendError) => {
        check(appendError);
        seen.index = to;
        seen.term = termAt(to);
        directory.install(metadata, (installError) => {
          check(installError);
          reload(clock, opened, () => {
            directory.removeReplaced(check);
            done();
          });
        });
      });
    });
  };
  const next = (): void => {
    const first = directory.raftLog.lastIndex() + 1;
    if (first > operationCount) return;
    const jump = jumps.get(first - 1);
    if (jump !== undefined) {
      receive(jump, next);
      return;
    }
    let to = first;
    while (to < operationCount && !jumps.has(to) && to < first + random.below(batchLimit)) to++;
    append(script, opened, to, () => {
      seen.index = to;
      seen.term = termAt(to);
      for (let index = first; index <= to; index++) apply(script, opened, index);
      const compacted = directory.backend.flushedIndex - keptEntries;
      if (compacted > directory.raftLog.anchor.index + compactEvery) {
        directory.raftLog.compact(compacted, check);
      }
      next();
    });
  };
  next();
}

/** Opens what a crash left and holds it to the script. */
function recover(
  left: MemoryDirectory,
  script: Script,
  reference: Reference,
  seen: Acknowledged,
): void {
  const clock = new StepClock();
  let found: Opened | undefined;
  openStorage(
    clock,
    left,
    () => {},
    (opened) => {
      found = opened;
    },
  );
  clock.run(callbacksLimit);
  const opened = present(found, 'the directory');
  const { directory, state } = opened;
  const { raftLog, backend } = directory;
  const last = raftLog.lastIndex();
  expect(last).toBeGreaterThanOrEqual(seen.index);
  expect(raftLog.hardState.term).toBeGreaterThanOrEqual(seen.term);
  expect(raftLog.hardState.term).toBeGreaterThanOrEqual(last === 0 ? 0 : termAt(last));
  // Nothing was lost, so nothing may look as if it were.
  expect(raftLog.repairTerm).toBeUndefined();
  expect(contentsOf(state)).toBe(script.contents[backend.flushedIndex]);
  expect(state.store.stateHash).toBe(reference.hashes[backend.flushedIndex]);
  const entries = raftLog.entries(raftLog.firstIndex(), last + 1, Infinity);
  if (typeof entries === 'symbol') throw new Error('the log cannot be read');
  for (const { index, term, data } of entries) {
    expect([index, term]).toEqual([index, termAt(index)]);
    expect(Buffer.compare(data, script.datas[index] as Uint8Array)).toBe(0);
    if (index > backend.appliedIndex) apply(script, opened, index);
  }
  expect(contentsOf(state)).toBe(script.contents[last]);
  expect(state.store.stateHash).toBe(reference.hashes[last]);
}

const choices: readonly (readonly [string, (database: string) => boolean])[] = [
  ['all', () => true],
  ['none', () => false],
  ['only the log', (database) => database === 'log'],
  ['all but the log', (database) => database !== 'log'],
];

test(`a crash at every write, seed ${seed}`, { timeout: 300_000 }, () => {
  const script = drawScript(seed);
  const reference = runReference(script);
  const memory = new MemoryDirectory();
  const clock = new StepClock();
  const seen: Acknowledged = { index: 0, term: 0 };
  let writes = 0;
  let recoveries = 0;
  const onWrite = (bytes: number): void => {
    if (bytes === 0) return;
    writes += 1;
    for (const [name, survives] of choices) {
      const asked = new Set<string>();
      const left = memory.afterCrash((database) => {
        asked.add(database);
        return survives(database);
      });
      // With one write under way there are only two ways in which it can end.
      if (asked.size < 2 && name.includes('log')) continue;
      recoveries += 1;
      try {
        recover(left, script, reference, { ...seen });
      } catch (error) {
        throw new Error(`seed ${seed}, write ${writes}, surviving: ${name}`, { cause: error });
      }
    }
  };
  openStorage(clock, memory, onWrite, (opened) => {
    live(clock, opened, script, reference, seen);
  });
  clock.run(callbacksLimit);
  expect(seen.index).toBe(operationCount);
  expect(writes).toBeGreaterThan(operationCount / 2);
  const figures = { seed, operations: operationCount, writes, recoveries };
  console.log(JSON.stringify(figures));
  const path = process.env['CRASH_REPORT'];
  if (path !== undefined) writeFileSync(path, `${JSON.stringify(figures)}\n`);
});
