import { expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { ExpectedWait } from '../../../src/base/expected-wait.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const limitMs = 0.6;

function setUp(): {
  clock: VirtualClock;
  wait: ExpectedWait;
  /** Has something taken `ms`, so many times. */
  take: (ms: number, times: number) => void;
} {
  const clock = new VirtualClock();
  const wait = new ExpectedWait(clock, limitMs);
  const take = (ms: number, times: number): void => {
    for (let count = 0; count < times; count++) {
      wait.begin();
      clock.advance(ms);
      wait.end();
    }
  };
  return { clock, wait, take };
}

test('nothing is known at first, so the clock may sleep', () => {
  const { clock, wait } = setUp();
  wait.begin();
  expect(clock.awakeMs).toEqual([]);
});

test('what has come soon a few times is awaited awake, for about as long as it takes', () => {
  const { clock, wait, take } = setUp();
  take(0.1, 60);
  const before = clock.awakeMs.length;
  expect(before).toBeGreaterThan(30);
  wait.begin();
  expect(clock.awakeMs).toHaveLength(before + 1);
  expect(clock.awakeMs.at(-1)).toBeCloseTo(0.2, 2);
});

test('the clock stays awake no longer than the limit', () => {
  const { clock, take } = setUp();
  take(0.5, 60);
  expect(clock.awakeMs.at(-1)).toBe(limitMs);
});

test('what takes longer than the limit on average is slept through', () => {
  const { clock, take } = setUp();
  take(0.7, 60);
  expect(clock.awakeMs).toEqual([]);
});

test('one pause, however long, does not end staying awake', () => {
  const { clock, wait, take } = setUp();
  take(0.1, 60);
  take(3_600_000, 1);
  const before = clock.awakeMs.length;
  wait.begin();
  expect(clock.awakeMs).toHaveLength(before + 1);
});

test('what has become slow is slept through soon', () => {
  const { clock, take } = setUp();
  take(0.1, 60);
  const before = clock.awakeMs.length;
  take(5, 100);
  expect(clock.awakeMs.length - before).toBeLessThan(5);
});

test('a wait begins once, ends once, and may be abandoned', () => {
  const { clock, wait, take } = setUp();
  take(0.1, 60);
  const before = clock.awakeMs.length;
  wait.begin();
  wait.begin();
  expect(wait.isPending).toBe(true);
  expect(clock.awakeMs).toHaveLength(before + 1);
  wait.abandon();
  expect(wait.isPending).toBe(false);
  clock.advance(1_000);
  // Neither counts: the average is still short.
  wait.end();
  wait.begin();
  expect(clock.awakeMs.at(-1)).toBeCloseTo(0.2, 2);
});

test('a clock that cannot stay awake is not asked to', () => {
  const virtual = new VirtualClock();
  const clock: Clock = {
    monotonicMs: () => virtual.monotonicMs(),
    wallMs: () => virtual.wallMs(),
    after: (delayMs, callback) => virtual.after(delayMs, callback),
    defer: (callback) => virtual.defer(callback),
  };
  const wait = new ExpectedWait(clock, limitMs);
  for (let count = 0; count < 60; count++) {
    wait.begin();
    wait.end();
  }
  expect(virtual.awakeMs).toEqual([]);
});
