import { expect, test } from 'vitest';
import { LinearizableReads } from '../../../src/server/linearizable-reads.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

function setUp(): {
  clock: VirtualClock;
  reads: LinearizableReads;
  asked: bigint[];
  seen: string[];
  state: { applied: number; slow: number };
  wait: (name: string) => void;
  /** A read whose round is answered after a time. */
  answered: (tookMs: number) => void;
} {
  const clock = new VirtualClock();
  const asked: bigint[] = [];
  const seen: string[] = [];
  const state = { applied: 10, slow: 0 };
  let context = 0n;
  const reads = new LinearizableReads({
    clock,
    timeoutMs: 7000,
    waitingLimit: 3,
    ask: (each) => asked.push(each),
    nextContext: () => ++context,
    appliedIndex: () => state.applied,
    slow: () => state.slow++,
  });
  const wait = (name: string): void => {
    reads.wait((refusal) => seen.push(`${name} ${refusal ?? 'ok'}`));
  };
  const answered = (tookMs: number): void => {
    wait('earlier');
    reads.begin();
    clock.advance(tookMs);
    reads.confirmed(context, 10);
  };
  return { clock, reads, asked, seen, state, wait, answered };
}

test('reads that wait together share a round; later ones get the next', () => {
  const { reads, asked, seen, wait } = setUp();
  wait('a');
  wait('b');
  reads.begin();
  wait('c');
  reads.begin();
  expect(asked).toEqual([1n]);
  reads.confirmed(1n, 10);
  expect(seen).toEqual(['a ok', 'b ok']);
  reads.begin();
  reads.confirmed(1n, 10);
  expect(seen).toHaveLength(2);
  reads.confirmed(2n, 10);
  expect(seen).toEqual(['a ok', 'b ok', 'c ok']);
});

test('a confirmed read waits until its index is applied', () => {
  const { reads, seen, state, wait } = setUp();
  wait('a');
  reads.begin();
  reads.confirmed(1n, 12);
  reads.applied(11);
  expect(seen).toEqual([]);
  state.applied = 12;
  reads.applied(12);
  expect(seen).toEqual(['a ok']);
});

test('an unanswered round is asked again under a new context and ends at the timeout', () => {
  const { clock, reads, asked, seen, wait } = setUp();
  wait('a');
  reads.begin();
  clock.advance(500);
  expect(asked).toEqual([1n, 2n]);
  clock.advance(6499);
  expect(seen).toEqual([]);
  clock.advance(500);
  expect(seen).toEqual(['a timeout']);
  expect(clock.pending).toBe(0);
});

test('an answer to an earlier try counts', () => {
  const { clock, reads, seen, wait } = setUp();
  wait('a');
  reads.begin();
  clock.advance(600);
  reads.confirmed(1n, 3);
  expect(seen).toEqual(['a ok']);
});

test('a round asked of the old leader fails when there is a new one', () => {
  const { reads, seen, wait } = setUp();
  wait('a');
  reads.begin();
  wait('b');
  reads.leaderChanged();
  expect(seen).toEqual(['a leaderChanged']);
  reads.begin();
  reads.confirmed(2n, 1);
  expect(seen).toEqual(['a leaderChanged', 'b ok']);
});

test('a dropped round is asked soon again and outlives a new leader', () => {
  const { clock, reads, asked, seen, wait } = setUp();
  wait('a');
  reads.begin();
  reads.dropped(1n);
  reads.leaderChanged();
  expect(seen).toEqual([]);
  clock.advance(10);
  expect(asked).toEqual([1n, 2n]);
  reads.confirmed(2n, 1);
  expect(seen).toEqual(['a ok']);
});

test('waiting reads are bounded, and stopping refuses all', () => {
  const { clock, reads, seen, wait } = setUp();
  for (const name of ['a', 'b', 'c', 'd']) wait(name);
  expect(seen).toEqual(['d tooManyRequests']);
  reads.begin();
  wait('e');
  reads.stop('stopped');
  expect(seen.slice(1).sort()).toEqual(['a stopped', 'b stopped', 'c stopped', 'e stopped']);
  expect(clock.pending).toBe(0);
});

test('reads that wait for a member that does not apply are bounded too', () => {
  const { reads, asked, seen, wait } = setUp();
  for (const name of ['a', 'b', 'c']) {
    wait(name);
    reads.begin();
    reads.confirmed(asked.at(-1) ?? 0n, 20);
  }
  wait('d');
  expect(seen).toEqual(['d tooManyRequests']);
  reads.applied(20);
  wait('e');
  expect(seen).toEqual(['d tooManyRequests', 'a ok', 'b ok', 'c ok']);
});

test('a round that ends at its timeout is slow, and so is each answer that comes after a round', () => {
  const { clock, reads, state, wait } = setUp();
  wait('a');
  reads.begin();
  clock.advance(600);
  reads.confirmed(1n, 3);
  expect(state.slow).toBe(0);
  reads.confirmed(2n, 3);
  expect(state.slow).toBe(1);
  wait('b');
  reads.begin();
  clock.advance(7000);
  expect(state.slow).toBe(2);
});

test('the member stays awake for rounds that are usually answered soon', () => {
  const { clock, answered } = setUp();
  for (let count = 0; count < 60; count++) answered(0.1);
  expect(clock.awakeMs.length).toBeGreaterThan(30);
  for (let count = 0; count < 100; count++) answered(20);
  clock.awakeMs.length = 0;
  answered(20);
  expect(clock.awakeMs).toEqual([]);
});

test('rounds that are answered leave at most one timer', () => {
  const { clock, answered } = setUp();
  for (let count = 0; count < 50; count++) {
    answered(0);
    expect(clock.pending).toBeLessThanOrEqual(1);
  }
  clock.advance(10_000);
  expect(clock.pending).toBe(0);
});

test('a round is asked again after its own time, whatever was asked before', () => {
  const { clock, reads, asked, wait, answered } = setUp();
  answered(0);
  clock.advance(300);
  wait('a');
  reads.begin();
  clock.advance(499);
  expect(asked).toEqual([1n, 2n]);
  clock.advance(1);
  expect(asked).toEqual([1n, 2n, 3n]);
});

test('a dropped round is asked again soon, however late others are looked after', () => {
  const { clock, reads, asked, wait } = setUp();
  wait('a');
  reads.begin();
  reads.dropped(1n);
  expect(clock.pending).toBe(1);
  clock.advance(9);
  expect(asked).toEqual([1n]);
  clock.advance(1);
  expect(asked).toEqual([1n, 2n]);
});

test('a dropped round waits its pause when an older round is looked after before that', () => {
  const { clock, reads, asked, wait, answered } = setUp();
  answered(0);
  clock.advance(495);
  wait('a');
  reads.begin();
  reads.dropped(2n);
  clock.advance(9);
  expect(asked).toEqual([1n, 2n]);
  clock.advance(1);
  expect(asked).toEqual([1n, 2n, 3n]);
});
