import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntervalMap, noEnd } from '../../../src/mvcc/interval-map.ts';

const letter = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k');
const range = fc.tuple(letter, fc.oneof(letter, fc.constant(noEnd)));
const action = fc.record({ add: fc.boolean(), range, value: fc.nat(3) });

test('a key finds the values of all ranges that hold it, and no other', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200, size: 'max' }), letter, (actions, key) => {
      const map = new IntervalMap<string>();
      const model = new Map<string, readonly [string, string]>();
      for (const { add, range: bounds, value } of actions) {
        const [low, high] = bounds;
        const name = `${low}-${high}-${value}`;
        if (add) {
          map.add(low, high, name);
          model.set(name, bounds);
        } else {
          map.delete(low, high, name);
          model.delete(name);
        }
      }
      const found: string[] = [];
      map.match(key, (name) => found.push(name));
      const expected = [...model].filter(([, [low, high]]) => key >= low && key < high);
      expect(found.sort()).toEqual(expected.map(([name]) => name).sort());
    }),
    { numRuns: 300 },
  );
});

test('ranges added in order do not make a list of the tree', () => {
  const map = new IntervalMap<number>();
  const key = (i: number): string => String(i).padStart(6, '0');
  // A tree that is a list would exhaust the stack here.
  for (let i = 0; i < 50_000; i++) map.add(key(i), key(i + 2), i);
  const found: number[] = [];
  map.match(key(40_000), (value) => found.push(value));
  expect(found).toEqual([39_999, 40_000]);
  for (let i = 0; i < 50_000; i++) map.delete(key(i), key(i + 2), i);
  map.match(key(5), (value) => found.push(value));
  expect(found).toHaveLength(2);
});
