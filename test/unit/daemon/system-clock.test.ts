import { performance } from 'node:perf_hooks';
import { afterEach, expect, test, vi } from 'vitest';
import { busyPollingClock, systemClock } from '../../../src/daemon/system-clock.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('a callback never comes early', () => {
  vi.useFakeTimers();
  const callback = vi.fn();
  systemClock.after(10.2, callback);
  vi.advanceTimersByTime(10);
  expect(callback).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(callback).toHaveBeenCalledTimes(1);
});

test('a cancelled callback does not come', () => {
  vi.useFakeTimers();
  const callback = vi.fn();
  const timer = systemClock.after(10, callback);
  timer.cancel();
  timer.cancel();
  vi.advanceTimersByTime(100);
  expect(callback).not.toHaveBeenCalled();
});

test('delays longer than Node can count are waited for', () => {
  vi.useFakeTimers();
  const callback = vi.fn();
  const delayMs = 3 * 2 ** 31;
  systemClock.after(delayMs, callback);
  const cancelled = systemClock.after(delayMs, callback);
  vi.advanceTimersByTime(delayMs - 2);
  expect(callback).not.toHaveBeenCalled();
  cancelled.cancel();
  vi.advanceTimersByTime(2);
  expect(callback).toHaveBeenCalledTimes(1);
});

test('deferred callbacks come later, in order', async () => {
  const order: number[] = [];
  systemClock.defer(() => order.push(1));
  systemClock.defer(() => order.push(2));
  expect(order).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual([1, 2]);
});

test('time goes on', () => {
  const before = systemClock.monotonicMs();
  expect(systemClock.monotonicMs()).toBeGreaterThanOrEqual(before);
  expect(Math.abs(systemClock.wallMs() - Date.now())).toBeLessThan(1000);
});

/** The part of a time in which the event loop did not sleep. */
async function wakefulness(forMs: number): Promise<number> {
  const before = performance.eventLoopUtilization();
  await new Promise((resolve) => setTimeout(resolve, forMs));
  return performance.eventLoopUtilization(before).utilization;
}

test('the event loop stays awake for what it is asked to, and no longer', async () => {
  const clock = busyPollingClock();
  const short = { isPending: true };
  const long = { isPending: true };
  const over = { isPending: true };
  clock.keepAwake?.(short, 1);
  clock.keepAwake?.(long, 300);
  clock.keepAwake?.(over, 60_000);
  over.isPending = false;
  expect(await wakefulness(200)).toBeGreaterThan(0.9);
  await wakefulness(200);
  expect(await wakefulness(200)).toBeLessThan(0.8);
});

test('what has come is not awaited any more, and may be awaited again', async () => {
  const clock = busyPollingClock();
  const awaited = { isPending: true };
  clock.keepAwake?.(awaited, 60_000);
  await wakefulness(20);
  awaited.isPending = false;
  await wakefulness(20);
  expect(await wakefulness(200)).toBeLessThan(0.8);
  awaited.isPending = true;
  clock.keepAwake?.(awaited, 60_000);
  expect(await wakefulness(100)).toBeGreaterThan(0.9);
  awaited.isPending = false;
});

test('the plain clock lets the event loop sleep', () => {
  expect(systemClock.keepAwake).toBeUndefined();
});
