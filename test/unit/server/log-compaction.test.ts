import { expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { noConfState } from '../../../src/raft/index.ts';
import { LogCompaction } from '../../../src/server/log-compaction.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

function setUp(): {
  clock: VirtualClock;
  compaction: LogCompaction;
  flushed: (index: number) => number;
} {
  const clock = new VirtualClock();
  const log = {
    anchor: { index: 0 },
    available: 0,
    compact: (index: number) => {
      // Whoever needs what goes now must be able to get the state in its place.
      expect(log.available).toBeGreaterThanOrEqual(index);
      log.anchor = { index };
    },
    setSnapshotAvailable: ({ index }: { readonly index: number }) => {
      log.available = index;
    },
  };
  const options = { log, clock, logger: silentLogger, snapshotCount: 100, catchUpEntries: 20 };
  const compaction = new LogCompaction(options);
  const flushed = (index: number): number => {
    compaction.flushed({ index, term: 1, confState: noConfState });
    return log.anchor.index;
  };
  return { clock, compaction, flushed };
}

test('every so many entries the log is cut behind those that followers may still need', () => {
  const { flushed } = setUp();
  expect([99, 100, 150, 199, 205].map(flushed)).toEqual([0, 80, 80, 80, 185]);
});

test('nothing goes while a snapshot is sent, nor while its receiver loads it', () => {
  const { clock, compaction, flushed } = setUp();
  const ends = [compaction.sendingBegins(), compaction.sendingBegins()];
  expect(flushed(500)).toBe(0);
  ends[0]?.(true);
  clock.advance(9_000);
  expect(flushed(600)).toBe(0);
  ends[1]?.(true);
  expect(flushed(700)).toBe(0);
  clock.advance(29_000);
  expect(flushed(800)).toBe(0);
  clock.advance(1000);
  expect(flushed(801)).toBe(781);
});

test('what takes long to be sent may take longer to be loaded', () => {
  const { clock, compaction, flushed } = setUp();
  const [long, short] = [compaction.sendingBegins(), compaction.sendingBegins()];
  clock.advance(100_000);
  long(true);
  short(true);
  compaction.sendingBegins()(true);
  clock.advance(299_000);
  expect(flushed(800)).toBe(0);
  clock.advance(1000);
  expect(flushed(801)).toBe(781);
});

test('a receiver that did not get all of it needs no entries', () => {
  const { compaction, flushed } = setUp();
  const end = compaction.sendingBegins();
  expect(flushed(500)).toBe(0);
  end(false);
  expect(flushed(501)).toBe(481);
});

test('a receiver that never comes back does not hold the log for ever', () => {
  const { compaction, flushed } = setUp();
  compaction.sendingBegins();
  expect(flushed(999_999)).toBe(0);
  expect(flushed(1_000_000)).toBe(999_980);
});
