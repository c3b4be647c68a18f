import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Expiring, ExpiryQueue, notQueued } from '../../../src/lease/expiry-queue.ts';

interface Item extends Expiring {
  readonly name: number;
}

const itemOf = (name: number, expiryMs: number): Item => ({ name, expiryMs, queuedMs: notQueued });

test('gives out what has run out, first what ran out first, up to a limit', () => {
  const queue = new ExpiryQueue<Item>();
  for (const ms of [5, 3, 9, 1, 7]) queue.update(itemOf(ms, ms));
  expect([queue.hasExpired(0), queue.hasExpired(1)]).toEqual([false, true]);
  const names = (nowMs: number, limit: number): number[] =>
    queue.takeExpired(nowMs, limit).map(({ name }) => name);
  expect(names(0, 10)).toEqual([]);
  expect(names(7, 2)).toEqual([1, 3]);
  expect(names(7, 10)).toEqual([5, 7]);
  expect(names(8, 10)).toEqual([]);
  expect(names(9, 10)).toEqual([9]);
  expect(queue.hasExpired(1_000)).toBe(false);
});

test('a renewal costs nothing until the old time comes', () => {
  const queue = new ExpiryQueue<Item>();
  const item = itemOf(1, 10);
  queue.update(item);
  for (let ms = 11; ms < 1000; ms++) {
    item.expiryMs = ms;
    queue.update(item);
  }
  expect(queue.size).toBe(1);
  expect(queue.hasExpired(998)).toBe(false);
  expect(queue.takeExpired(998, 10)).toEqual([]);
  expect(queue.takeExpired(999, 10)).toEqual([item]);
});

test('items that come and go leave nothing behind', () => {
  const queue = new ExpiryQueue<Item>();
  const staying = itemOf(0, 5);
  queue.update(staying);
  for (let name = 1; name < 20_000; name++) {
    const item = itemOf(name, 1_000_000 - name);
    queue.update(item);
    queue.remove(item);
  }
  expect(queue.size).toBeLessThan(2_000);
  expect(queue.takeExpired(2_000_000, 10)).toEqual([staying]);
});

test('is what a list would be, whatever happens to the items', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ set: fc.nat(7), ms: fc.nat(50) }) },
    { weight: 1, arbitrary: fc.record({ remove: fc.nat(7) }) },
    {
      weight: 2,
      arbitrary: fc.record({ take: fc.nat(60), limit: fc.integer({ min: 1, max: 9 }) }),
    },
    { weight: 1, arbitrary: fc.constant({ clear: true as const }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const queue = new ExpiryQueue<Item>();
      const items = Array.from({ length: 8 }, (_, name) => itemOf(name, 0));
      const queued = new Set<Item>();
      for (const each of steps) {
        if ('set' in each) {
          const item = items[each.set] as Item;
          item.expiryMs = each.ms;
          queue.update(item);
          queued.add(item);
        } else if ('remove' in each) {
          queue.remove(items[each.remove] as Item);
          queued.delete(items[each.remove] as Item);
        } else if ('take' in each) {
          expect(queue.hasExpired(each.take)).toBe(
            [...queued].some(({ expiryMs }) => expiryMs <= each.take),
          );
          const due = [...queued].filter(({ expiryMs }) => expiryMs <= each.take);
          const taken = queue.takeExpired(each.take, each.limit);
          const times = (these: readonly Item[]): number[] => these.map(({ expiryMs }) => expiryMs);
          const first = times(due).toSorted((a, b) => a - b);
          expect(times(taken)).toEqual(first.slice(0, each.limit));
          for (const item of taken) {
            expect(due).toContain(item);
            queued.delete(item);
          }
        } else {
          queue.clear();
          queued.clear();
        }
      }
    }),
  );
});
