import { expect, test } from 'vitest';
import { type Entry, EntryKind } from '../../../src/raft/index.ts';
import { CommitWait } from '../../../src/server/commit-wait.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

function entry(index: number): Entry {
  return { index, term: 1, kind: EntryKind.normal, data: new Uint8Array() };
}

/** A leader whose writes have been committed soon so far. */
function setUp(): { clock: VirtualClock; commits: CommitWait } {
  const clock = new VirtualClock();
  const commits = new CommitWait(clock);
  for (let index = 1; index <= 60; index++) {
    commits.writes([entry(index)]);
    clock.advance(0.1);
    commits.committed([entry(index)]);
  }
  expect(clock.awakeMs.length).toBeGreaterThan(0);
  clock.awakeMs.length = 0;
  return { clock, commits };
}

test('a leader stays awake for what it writes, and not for a write without entries', () => {
  const { clock, commits } = setUp();
  commits.writes([]);
  expect(clock.awakeMs).toEqual([]);
  commits.writes([entry(61)]);
  expect(clock.awakeMs).toHaveLength(1);
});

test('the commit of earlier entries does not end the wait', () => {
  const { clock, commits } = setUp();
  commits.writes([entry(61), entry(62)]);
  commits.committed([entry(61)]);
  commits.writes([entry(63)]);
  expect(clock.awakeMs).toHaveLength(1);
  commits.committed([entry(62)]);
  commits.writes([entry(64)]);
  expect(clock.awakeMs).toHaveLength(2);
});

test('a new leader does not wait for what the old one wrote', () => {
  const { clock, commits } = setUp();
  commits.writes([entry(100)]);
  commits.leadershipChanged();
  commits.writes([entry(61)]);
  expect(clock.awakeMs).toHaveLength(2);
});
