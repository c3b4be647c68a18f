import { describe, expect, test } from 'vitest';
import { allSteps, type Steps, takeSlice } from '../../../src/base/steps.ts';

function* work(...amounts: readonly number[]): Steps<string> {
  for (const amount of amounts) yield amount;
  return 'done';
}

describe('work in steps', () => {
  test('is done at once', () => {
    expect(allSteps(work(1, 2, 3))).toBe('done');
    expect(allSteps(work())).toBe('done');
  });

  test('is done slice by slice, each of at least what was asked for until the end', () => {
    const steps = work(3, 3, 3, 1);
    expect(takeSlice(steps, 4)).toEqual({ amount: 6, end: undefined });
    expect(takeSlice(steps, 4)).toEqual({ amount: 4, end: undefined });
    expect(takeSlice(steps, 4)).toEqual({ amount: 0, end: { result: 'done' } });
  });

  test('fails where a step does', () => {
    const failing = function* (): Steps<string> {
      yield 1;
      throw new Error('no');
    };
    const steps = failing();
    expect(takeSlice(steps, 1).end).toBeUndefined();
    expect(() => takeSlice(steps, 1)).toThrow('no');
    expect(() => allSteps(failing())).toThrow('no');
  });
});
