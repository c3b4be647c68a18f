import { expect, test } from 'vitest';
import { hashOfTraces, rangesOf } from '../../sim/summary.ts';

test('ranges hold the seeds and nothing else, in order, each seed once', () => {
  expect(rangesOf([])).toEqual([]);
  expect(rangesOf([7, 3, 1, 2, 2, 8])).toEqual([
    { first: 1, last: 3 },
    { first: 7, last: 8 },
  ]);
});

test('the hash of many traces depends on seeds and traces, not on which came first', () => {
  const hash = hashOfTraces(
    new Map([
      [1, 'a'],
      [2, 'b'],
    ]),
  );
  expect(
    hashOfTraces(
      new Map([
        [2, 'b'],
        [1, 'a'],
      ]),
    ),
  ).toBe(hash);
  expect(hashOfTraces(new Map([[1, 'a']]))).not.toBe(hash);
  expect(
    hashOfTraces(
      new Map([
        [1, 'b'],
        [2, 'a'],
      ]),
    ),
  ).not.toBe(hash);
});
