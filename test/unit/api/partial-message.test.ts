import { expect, test } from 'vitest';
import { MemoryBudget } from '../../../src/api/grpc/connection-memory.ts';
import { PartialMessage } from '../../../src/api/grpc/partial-message.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';

const limits = { connectionBytes: 64 * 1024, totalBytes: 1024 * 1024, stallMs: 5_000 };

function budgetOf(): { budget: MemoryBudget; partial: PartialMessage } {
  const budget = new MemoryBudget({ limits, clock: systemClock, closing: () => undefined });
  return { budget, partial: new PartialMessage(budget.open(() => undefined)) };
}

/** So many bytes that go on counting from `from`. */
function piece(from: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (from + i) % 251));
}

test('pieces are joined, and what is dropped at the beginning makes room', () => {
  const { budget, partial } = budgetOf();
  let first = 0;
  let next = 0;
  for (let round = 0; round < 2000; round++) {
    const length = 1 + ((round * 37) % 400);
    expect(partial.append(piece(next, length))).toBe(true);
    next += length;
    const dropped = Math.min(next - first, (round * 53) % 420);
    partial.drop(dropped);
    first += dropped;
    expect(partial.length).toBe(next - first);
    expect(partial.bytes).toEqual(piece(first, next - first));
  }
  expect(budget.heldBytes).toBeLessThanOrEqual(limits.connectionBytes);
  partial.clear();
  expect([partial.length, budget.heldBytes]).toEqual([0, 0]);
});

test('what is all dropped holds no memory', () => {
  const { budget, partial } = budgetOf();
  partial.append(piece(0, 5000));
  expect(budget.heldBytes).toBeGreaterThanOrEqual(5000);
  partial.drop(5000);
  expect([partial.length, budget.heldBytes]).toEqual([0, 0]);
});

test('a piece for which there is no memory is refused, and changes nothing', () => {
  const { partial } = budgetOf();
  partial.append(piece(0, 1000));
  expect(partial.append(piece(0, limits.connectionBytes))).toBe(false);
  expect(partial.bytes).toEqual(piece(0, 1000));
});
