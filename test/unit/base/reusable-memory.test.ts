import { expect, test } from 'vitest';
import { ReusableMemory } from '../../../src/base/reusable-memory.ts';

const kibibyte = 1024;

test('what was given back is taken again, by any that it fits', () => {
  const memory = new ReusableMemory(1000 * kibibyte);
  const first = memory.take(100 * kibibyte);
  expect(first.length).toBeGreaterThanOrEqual(100 * kibibyte);
  expect(memory.take(100 * kibibyte).buffer).not.toBe(first.buffer);
  memory.giveBack(first.subarray(3, 5));
  expect(memory.idleBytes).toBe(first.length);
  expect(memory.take(first.length + 1).buffer).not.toBe(first.buffer);
  expect(memory.take(50 * kibibyte).buffer).not.toBe(first.buffer);
  expect(memory.take(99 * kibibyte).buffer).toBe(first.buffer);
  expect(memory.idleBytes).toBe(0);
});

test('what was not taken here, or is not any more, is not kept', () => {
  const memory = new ReusableMemory(1000 * kibibyte);
  memory.giveBack(Buffer.alloc(10 * kibibyte));
  expect(memory.idleBytes).toBe(0);
  const taken = memory.take(10 * kibibyte);
  expect(memory.isLent(taken.subarray(1))).toBe(true);
  memory.giveBack(taken);
  expect(memory.isLent(taken)).toBe(false);
  memory.giveBack(taken);
  expect(memory.idleBytes).toBe(taken.length);
  expect([memory.take(10 * kibibyte).buffer, memory.take(10 * kibibyte).buffer]).toEqual([
    taken.buffer,
    expect.not.toSatisfy((other: unknown) => other === taken.buffer),
  ]);
});

test('no more is kept than it may be, the longest unused goes first', () => {
  const memory = new ReusableMemory(250 * kibibyte);
  const all = [1, 2, 3].map(() => memory.take(100 * kibibyte));
  for (const each of all) memory.giveBack(each);
  expect(memory.idleBytes).toBeLessThanOrEqual(250 * kibibyte);
  const again = [1, 2, 3].map(() => memory.take(100 * kibibyte).buffer);
  expect(again.includes(all[0]?.buffer ?? expect.unreachable())).toBe(false);
  expect(again.includes(all[1]?.buffer ?? expect.unreachable())).toBe(true);
  memory.giveBack(again[0] === undefined ? expect.unreachable() : Buffer.from(again[0]));
  const { idleBytes } = memory;
  memory.giveBack(memory.take(1000 * kibibyte));
  expect(memory.idleBytes).toBe(idleBytes);
});

test('not many pieces are kept, however small', () => {
  const memory = new ReusableMemory(1000 * kibibyte);
  for (const each of Array.from({ length: 1000 }, () => memory.take(32))) memory.giveBack(each);
  expect(memory.idleBytes).toBe(256 * 32);
});

test.each([1, 7, 8, 9, 1000, 8191, 65_541, 3_333_333])(
  '%d bytes fit, with little to spare',
  (n) => {
    const { length } = new ReusableMemory(0).take(n);
    expect(length).toBeGreaterThanOrEqual(n);
    expect(length).toBeLessThanOrEqual(Math.ceil(n * 1.125));
  },
);
