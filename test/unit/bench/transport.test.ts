/** Messages between two members, counted. */
import { expect, test } from 'vitest';
import { exchange, type Exchange } from '../../bench/transport.ts';

test('messages go to and fro, more in a batch the more are under way', async () => {
  const all: Exchange[] = [];
  await exchange(0.1, (each) => all.push(each));
  expect(all.map(({ window }) => window)).toEqual([1, 10, 100, 1_000]);
  for (const each of all) {
    expect(each.roundTripsPerSecond).toBeGreaterThan(0);
    expect(each.cpuMicrosPerRoundTrip).toBeGreaterThan(0);
  }
  expect(all[0]?.messagesPerBatch).toBe(1);
  expect(all[3]?.messagesPerBatch).toBeGreaterThan(10);
});
