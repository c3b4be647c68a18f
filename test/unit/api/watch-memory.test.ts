/** Watches whose events fill all memory for answers while they wait: they go on all the same. */
import { expect, test } from 'vitest';
import { MemoryBudget } from '../../../src/api/grpc/connection-memory.ts';
import { WatchService } from '../../../src/api/watch.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { WatchCreateRequest, WatchRequest, type WatchResponse } from '../../../src/gen/rpc.ts';
import { Watch } from '../../../src/gen/services.ts';
import { WatchableStore } from '../../../src/mvcc/watchable-store.ts';
import { serve } from '../../support/api-calls.ts';
import type { MessageStream } from '../../support/grpc.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { MapBackend, openStore } from '../mvcc/fakes.ts';

const mebibyte = 1024 * 1024;

test.each([
  ['the connection has', mebibyte, 100 * mebibyte],
  ['all have', 100 * mebibyte, mebibyte],
])('queues that hold all memory that %s', async (_what, connectionBytes, totalBytes) => {
  const answerLimits = { connectionBytes, totalBytes, stallMs: 60_000 };
  const store = openStore({ backend: new MapBackend(), clock: systemClock });
  const watchable = new WatchableStore({ store, clock: systemClock });
  const service = new WatchService({
    headerSource: { clusterId: 1n, memberId: 2n, term: 3, revision: 1 },
    clock: systemClock,
    random: new SeededRandom(1),
    hasLeader: true,
    progressIntervalMs: 60_000,
    fragmentBytes: 100 * mebibyte,
    openWatchStream: (options) => watchable.openStream(options),
    onLeaderLost: () => () => false,
  });
  const { client } = await serve(
    {},
    { grpc: { answerLimits } },
    { watch: (requests, context) => service.watch(requests, context) },
  );
  const streams: MessageStream<WatchRequest, WatchResponse>[] = [];
  for (let i = 0; i < 3; i++) {
    const stream = client.bidirectional(Watch.methods.watch);
    const create = WatchCreateRequest.create({ key: utf8('key') });
    stream.send(WatchRequest.create({ requestUnion: { case: 'createRequest', value: create } }));
    expect(await stream.next()).toMatchObject({ created: true });
    streams.push(stream);
  }
  const put = (bytes: number): void => {
    const txn = store.begin();
    txn.put('key', new Uint8Array(bytes), 0n);
    txn.end();
  };
  // Within one turn: whoever sends the first one finds all memory taken by the second.
  put(10);
  put(1.5 * mebibyte);
  for (const stream of streams) {
    const sizes: (number | undefined)[] = [];
    while (sizes.length < 2) {
      const { events = [] } = (await stream.next()) ?? {};
      sizes.push(...events.map(({ kv }) => kv?.value.length));
    }
    expect(sizes).toEqual([10, 1.5 * mebibyte]);
    stream.cancel();
  }
});

test('who waits is told when there is room of the kind that it waits for', () => {
  const clock = new VirtualClock();
  const limits = { connectionBytes: 100, totalBytes: 150, stallMs: 1_000 };
  const budget = new MemoryBudget({ limits, clock, closing: () => undefined });
  const [one, other] = [budget.open(() => undefined), budget.open(() => undefined)];
  const told: string[] = [];
  one.queue.add(120);
  expect([one.queue.isFull, one.isFullOfUnsent, other.queue.isFull]).toEqual([true, false, false]);
  one.add(100);
  expect([one.isFullOfUnsent, other.isFullOfUnsent, other.queue.isFull]).toEqual([
    true,
    false,
    true,
  ]);
  one.onRoomToSend(() => told.push('send'));
  one.queue.onRoom(() => told.push('queue'));
  other.queue.onRoom(() => told.push('other queue'));
  one.queue.release(60);
  expect(told).toEqual([]);
  one.release(10);
  expect(told).toEqual(['send']);
  one.queue.release(10);
  expect(told).toEqual(['send', 'other queue']);
  one.release(90);
  expect(told).toEqual(['send', 'other queue', 'queue']);
  expect([one.heldBytes, budget.heldBytes]).toEqual([50, 50]);
});
