import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { revisionKey } from '../../../src/mvcc/revision.ts';
import { type ReclaimedBackend, SpaceReclaim } from '../../../src/server/space-reclaim.ts';
import type { Completion } from '../../../src/storage/engine.ts';
import type { StringRange } from '../../../src/storage/keyspace.ts';

const mebibyte = 1024 * 1024;

/** A database in which each revision takes a mebibyte on disk, whose answers wait for the test. */
class FakeBackend implements ReclaimedBackend {
  readonly steps: string[] = [];
  /** Revisions on disk. */
  readonly present = new Set<number>();
  readonly waiting: (() => void)[] = [];
  failure: Error | undefined;

  constructor(revisions: number) {
    for (let revision = 0; revision < revisions; revision++) this.present.add(revision);
  }

  flush(done: Completion): void {
    this.steps.push('flush');
    this.waiting.push(() => done(this.failure));
  }

  sizeOnDisk(range: StringRange, done: (error: Error | undefined, bytes: number) => void): void {
    this.waiting.push(() => done(this.failure, this.within(range).length * mebibyte));
  }

  compact(range: StringRange, done: Completion): void {
    const within = this.within(range);
    this.steps.push(`${within.at(0)} to ${within.at(-1)}`);
    for (const revision of within) this.present.delete(revision);
    this.waiting.push(() => done(this.failure));
  }

  within({ low = '', high }: StringRange): number[] {
    return [...this.present].filter((revision) => {
      const key = revisionKey(revision, 0);
      return key >= low && (high === undefined || key < high);
    });
  }

  /** Answers everything that is asked, and what comes of it. */
  run(): void {
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) next();
  }
}

function reclaiming(revisions: number, neededMebibytes = 0) {
  const backend = new FakeBackend(revisions);
  const warnings: unknown[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) };
  const reclaim = new SpaceReclaim({
    logger,
    backend,
    neededBytes: () => neededMebibytes * mebibyte,
    range: (from, to) => ({ low: revisionKey(from, 0), high: revisionKey(to, 0) }),
  });
  return { backend, warnings, reclaim };
}

test.each([
  [128, 0, 'little'],
  [728, 300, 'not as much as what is needed'],
])('%i MiB on disk, of which %i are needed, are left alone: %s', (onDisk, needed) => {
  const { backend, reclaim } = reclaiming(onDisk, needed);
  reclaim.compacted(onDisk);
  backend.run();
  expect(backend.steps).toEqual([]);
});

test.each([
  [129, 0, 100, ['flush', '0 to 99']],
  [729, 300, 200, ['flush', '0 to 199']],
])('of %i MiB with %i needed what was compacted is given back', (onDisk, needed, to, steps) => {
  const { backend, reclaim } = reclaiming(onDisk, needed);
  reclaim.compacted(to);
  backend.run();
  expect(backend.steps).toEqual(steps);
  expect(backend.present.size).toBe(onDisk - to);
});

test('it goes in slices that a stop can wait for', () => {
  const { backend, reclaim } = reclaiming(1_000);
  reclaim.compacted(1_000);
  backend.run();
  expect(backend.steps).toEqual(['flush', '0 to 249', '250 to 499', '500 to 749', '750 to 999']);
  expect(backend.present.size).toBe(0);
});

test('nothing is begun after a stop', () => {
  const { backend, warnings, reclaim } = reclaiming(1_000);
  reclaim.compacted(1_000);
  while (backend.steps.length < 2) backend.waiting.shift()?.();
  reclaim.stop();
  backend.failure = new Error('the database is closed');
  backend.run();
  expect(backend.steps).toEqual(['flush', '0 to 249']);
  expect(warnings).toEqual([]);
  reclaim.compacted(2_000);
  expect(backend.waiting).toEqual([]);
});

test('compactions that end meanwhile begin no other run, and a later one only if it is worth it', () => {
  const { backend, reclaim } = reclaiming(400);
  reclaim.compacted(100);
  reclaim.compacted(400);
  backend.run();
  expect(backend.steps).toEqual(['flush', '0 to 99']);
  // What is left takes 300 MiB: it is of no use to look at it again.
  reclaim.compacted(400);
  backend.run();
  expect(backend.steps).toHaveLength(2);
  for (let revision = 400; revision < 530; revision++) backend.present.add(revision);
  reclaim.compacted(530);
  backend.run();
  expect(backend.steps.slice(2)).toEqual(['flush', '100 to 264', '265 to 397', '398 to 529']);
});

test('a failure is told and does no harm', () => {
  const { backend, warnings, reclaim } = reclaiming(400);
  backend.failure = new Error('no space left on device');
  reclaim.compacted(400);
  backend.run();
  expect(warnings).toEqual([{ error: 'no space left on device' }]);
  backend.failure = undefined;
  reclaim.compacted(400);
  backend.run();
  expect(backend.present.size).toBe(0);
});
