import { expect, test } from 'vitest';
import { WaitList } from '../../../src/server/wait.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

function list(): {
  clock: VirtualClock;
  waits: WaitList<string>;
  seen: string[];
} {
  const clock = new VirtualClock();
  return { clock, waits: new WaitList<string>(clock, 1000), seen: [] };
}

test('an outcome reaches the waiter of its id, once', () => {
  const { waits, seen } = list();
  waits.register(1n, (outcome) => seen.push(`1 ${String(outcome)}`));
  waits.register(2n, (outcome) => seen.push(`2 ${String(outcome)}`));
  waits.trigger(2n, 'done');
  waits.trigger(2n, 'again');
  waits.trigger(3n, 'of another member');
  expect(seen).toEqual(['2 done']);
  expect(waits.size).toBe(1);
});

test('each waiter expires after its own full timeout', () => {
  const { clock, waits, seen } = list();
  waits.register(1n, (outcome, startedMs) => seen.push(`1 ${String(outcome)} ${startedMs}`));
  clock.advance(600);
  waits.register(2n, (outcome, startedMs) => seen.push(`2 ${String(outcome)} ${startedMs}`));
  clock.advance(399);
  expect(seen).toEqual([]);
  clock.advance(1);
  expect(seen).toEqual(['1 undefined 0']);
  clock.advance(599);
  expect(seen).toHaveLength(1);
  clock.advance(1);
  expect(seen).toEqual(['1 undefined 0', '2 undefined 600']);
  expect(clock.pending).toBe(0);
});

test('an outcome that came in time leaves no timer that fires wrongly', () => {
  const { clock, waits, seen } = list();
  waits.register(1n, () => seen.push('1'));
  waits.trigger(1n, 'done');
  clock.advance(500);
  waits.register(2n, (outcome) => seen.push(`2 ${String(outcome)}`));
  clock.advance(999);
  expect(seen).toEqual(['1']);
  clock.advance(1);
  expect(seen).toEqual(['1', '2 undefined']);
});

test('stopping settles everyone', () => {
  const { clock, waits, seen } = list();
  waits.register(1n, (outcome) => seen.push(`1 ${String(outcome)}`));
  waits.register(2n, (outcome) => seen.push(`2 ${String(outcome)}`));
  waits.triggerAll('stopped');
  expect(seen).toEqual(['1 stopped', '2 stopped']);
  expect(clock.pending).toBe(0);
});
