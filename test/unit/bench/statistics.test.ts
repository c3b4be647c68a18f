import { expect, test } from 'vitest';
import { joined, latenciesOf, median, percentile, Samples } from '../../bench/statistics.ts';

test('the median is in the middle, or between the two there', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([10, 9, 1, 2])).toBe(5.5);
  expect(median([7])).toBe(7);
  expect(median([])).toBeNaN();
});

test('a percentile is the least value that so many do not exceed', () => {
  const hundred = Uint32Array.from({ length: 100 }, (_, i) => i + 1);
  expect([0.5, 0.9, 0.99, 1].map((part) => percentile(hundred, part))).toEqual([50, 90, 99, 100]);
  expect(percentile(Uint32Array.of(5), 0.5)).toBe(5);
  expect(percentile(Uint32Array.of(1, 2, 3), 0.001)).toBe(1);
});

test('latencies are in milliseconds, whatever the order of the samples', () => {
  const thousand = Uint32Array.from({ length: 1000 }, (_, i) => (1000 - i) * 1000);
  expect(latenciesOf(thousand)).toEqual({ p50: 500, p90: 900, p99: 990, p999: 999, max: 1000 });
  expect(latenciesOf(new Uint32Array(0))).toBeUndefined();
});

test('samples are kept however many come, and put together from processes', () => {
  const samples = new Samples();
  for (let i = 0; i < 3000; i++) samples.add(i);
  expect(samples.values).toEqual(Uint32Array.from({ length: 3000 }, (_, i) => i));
  expect([...joined([Uint32Array.of(1, 2), new Uint32Array(0), Uint32Array.of(3)])]).toEqual([
    1, 2, 3,
  ]);
});
