import fc from 'fast-check';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { ChurnMap, ChurnSet } from '../../../src/base/churn.ts';

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('set' as const), key: fc.nat(20) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('delete' as const), key: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), key: fc.nat(20) }) },
);

describe('a map for what comes and goes', () => {
  test('is as a Map', () => {
    const steps = fc.array(step, { minLength: 100, maxLength: 1000 });
    fc.assert(
      fc.property(steps, (all) => {
        const [map, model] = [new ChurnMap<number, number>(), new Map<number, number>()];
        const [set, setModel] = [new ChurnSet<number>(), new Set<number>()];
        for (const [i, { kind, key }] of all.entries()) {
          if (kind === 'set') {
            expect(map.set(key, i)).toBe(map);
            model.set(key, i);
            expect(set.add(key)).toBe(set);
            setModel.add(key);
          } else if (kind === 'delete') {
            expect([map.delete(key), set.delete(key)]).toEqual([
              model.delete(key),
              setModel.delete(key),
            ]);
          } else {
            for (const each of [map, model, set, setModel]) each.clear();
          }
          expect([map.size, map.has(key), map.get(key)]).toEqual([
            model.size,
            model.has(key),
            model.get(key),
          ]);
          expect([set.size, set.has(key)]).toEqual([setModel.size, setModel.has(key)]);
        }
        expect([...map]).toEqual([...model]);
        expect([...map.keys()]).toEqual([...model.keys()]);
        expect([...map.values()]).toEqual([...model.values()]);
        expect([...set]).toEqual([...setModel]);
        expect([...set.keys()]).toEqual([...setModel]);
        expect([...set.entries()]).toEqual([...setModel.entries()]);
        const visited: unknown[] = [];
        map.forEach((...args) => visited.push(args));
        expect(visited).toEqual([...model].map(([key, value]) => [value, key, map]));
        visited.length = 0;
        set.forEach((...args) => visited.push(args));
        expect(visited).toEqual([...setModel].map((value) => [value, value, set]));
      }),
      { numRuns: 50 },
    );
  });

  test('shows nobody what is removed while it is read, even if it begins anew', () => {
    const map = new ChurnMap<number, string>();
    for (let i = 0; i < 1000; i++) map.set(i, `${i}`);
    const seen: number[] = [];
    for (const [key] of map) {
      seen.push(key);
      if (key === 10) for (let i = 0; i < 1000; i++) if (i !== 500 && i !== 700) map.delete(i);
      if (key === 500) map.set(700, 'again');
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 500, 700]);
    expect([...map]).toEqual([
      [500, '500'],
      [700, 'again'],
    ]);
  });
});

describe('young collections', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;

  /** Bytes that they have not found to be unused, of 16 MB that were in the map for a while. */
  function left(map: Map<number, unknown>): number {
    let next = 0;
    const churn = (times: number): void => {
      for (let i = 0; i < times; i++, next++) {
        map.set(
          next,
          Array.from({ length: 200 }, () => next),
        );
        map.delete(next - 10);
        if (next % 500 === 0) collect({ type: 'minor' });
      }
    };
    // So that its table is old.
    churn(20);
    for (let i = 0; i < 5; i++) collect({ type: 'minor' });
    collect();
    const { heapUsed } = process.memoryUsage();
    churn(10_000);
    return process.memoryUsage().heapUsed - heapUsed;
  }

  test('find what was in it: of a Map they would leave it all', () => {
    expect(left(new ChurnMap())).toBeLessThan(3_000_000);
  });
});
