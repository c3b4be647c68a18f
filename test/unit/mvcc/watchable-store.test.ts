import { describe, expect, test, vi } from 'vitest';
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { WatchableStore } from '../../../src/mvcc/watchable-store.ts';
import {
  type WatchDelivery,
  Watcher,
  type WatchOptions,
  type WatchOutput,
  type WatchStream,
} from '../../../src/mvcc/watch-stream.ts';
import { ManualClock, MapBackend, openStore } from './fakes.ts';

const plain: WatchOptions = {
  id: 0,
  key: 'a',
  end: undefined,
  startRevision: 0,
  noPut: false,
  noDelete: false,
  prevKv: false,
  progressNotify: false,
  fragment: false,
};

function setUp(): { store: Store; watchable: WatchableStore; clock: ManualClock } {
  const clock = new ManualClock();
  const store = openStore({ backend: new MapBackend(), clock });
  return { store, watchable: new WatchableStore({ store, clock }), clock };
}

function open(
  watchable: WatchableStore,
  limits: { unsentDeliveries?: number; unsentBytes?: number } = {},
): WatchStream {
  return watchable.openStream({ onReadable: () => undefined, ...limits });
}

function put(store: Store, ...pairs: (readonly [string, string])[]): number {
  const txn = store.begin();
  for (const [key, value] of pairs) txn.put(key, utf8(value), 0n);
  txn.end();
  return store.revision;
}

function remove(store: Store, key: string, end?: string): void {
  const txn = store.begin();
  txn.deleteRange(key, end);
  txn.end();
}

function takeAll(stream: WatchStream): WatchOutput[] {
  const outputs: WatchOutput[] = [];
  for (let next = stream.take(); next !== undefined; next = stream.take()) outputs.push(next);
  return outputs;
}

/** An event as text, e.g. `3 put a=1 (was 0)`. */
function textsOf({ events }: WatchDelivery): string[] {
  return events.map((event) => {
    const value = event.isDelete ? '' : `=${fromUtf8(event.kv.value)}`;
    const previous = event.prevKv ? ` (was ${fromUtf8(event.prevKv.value)})` : '';
    const type = event.isDelete ? 'delete' : 'put';
    return `${event.modRevision} ${type} ${event.keyText}${value}${previous}`;
  });
}

function brief(outputs: readonly WatchOutput[]): unknown[] {
  return outputs.map((output) => {
    switch (output.kind) {
      case 'events':
        return [output.watchId, output.revision, ...textsOf(output)];
      case 'refused':
        return [output.kind, output.reason];
      case 'compacted':
        return [output.kind, output.watchId, output.compactRevision];
      default:
        return [output.kind, output.watchId, output.revision];
    }
  });
}

describe('a watcher', () => {
  test('gets the changes of its key from the next revision on', () => {
    const { store, watchable } = setUp();
    put(store, ['a', '0']);
    const stream = open(watchable);
    expect(stream.create(plain)).toBe(0);
    put(store, ['a', '1']);
    put(store, ['b', '1']);
    remove(store, 'a');
    expect(brief(takeAll(stream))).toEqual([
      ['created', 0, 2],
      [0, 3, '3 put a=1'],
      [0, 5, '5 delete a'],
    ]);
  });

  test('of a range gets one revision whole, in order', () => {
    const { store, watchable } = setUp();
    const stream = open(watchable);
    stream.create({ ...plain, key: 'b', end: 'd' });
    stream.create({ ...plain, key: 'c', end: '\0' });
    put(store, ['a', '1'], ['d', '2'], ['c', '3'], ['b', '4']);
    expect(brief(takeAll(stream)).slice(2)).toEqual([
      [1, 2, '2 put d=2', '2 put c=3'],
      [0, 2, '2 put c=3', '2 put b=4'],
    ]);
  });

  test('replays the past, then goes on', () => {
    const { store, watchable, clock } = setUp();
    put(store, ['a', '1']);
    put(store, ['b', '1']);
    remove(store, 'a', 'c');
    put(store, ['a', '2']);
    const stream = open(watchable);
    stream.create({ ...plain, end: '\0', startRevision: 3, prevKv: true });
    expect(watchable.slowWatcherCount).toBe(1);
    clock.settle();
    expect(watchable.slowWatcherCount).toBe(0);
    put(store, ['a', '3']);
    expect(brief(takeAll(stream))).toEqual([
      ['created', 0, 5],
      [0, 5, '3 put b=1', '4 delete a (was 1)', '4 delete b (was 1)', '5 put a=2'],
      [0, 6, '6 put a=3 (was 2)'],
    ]);
  });

  test.each([
    [true, [2, 2, 2]],
    [false, [6]],
  ])('that wants what was before (%s) is given so much of the past at a time', (prevKv, sizes) => {
    const { store, watchable, clock } = setUp();
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const key of keys) put(store, [key, 'x'.repeat(300 * 1024)]);
    for (const key of keys) remove(store, key);
    const stream = open(watchable);
    stream.create({ ...plain, end: '\0', startRevision: 8, prevKv });
    clock.settle();
    const deliveries = takeAll(stream).slice(1) as WatchDelivery[];
    expect(deliveries.map(({ events }) => events.length)).toEqual(sizes);
  });

  test('waits for a future revision', () => {
    const { store, watchable } = setUp();
    const stream = open(watchable);
    stream.create({ ...plain, startRevision: 4 });
    for (const value of ['1', '2', '3', '4']) put(store, ['a', value]);
    expect(brief(takeAll(stream)).slice(1)).toEqual([
      [0, 4, '4 put a=3'],
      [0, 5, '5 put a=4'],
    ]);
  });

  test('does not see what its filters drop', () => {
    const { store, watchable, clock } = setUp();
    const stream = open(watchable);
    stream.create({ ...plain, noPut: true });
    stream.create({ ...plain, noDelete: true });
    put(store, ['a', '1']);
    remove(store, 'a');
    expect(brief(takeAll(stream)).slice(2)).toEqual([
      [1, 2, '2 put a=1'],
      [0, 3, '3 delete a'],
    ]);
    stream.create({ ...plain, noPut: true, startRevision: 1 });
    clock.settle();
    expect(brief(takeAll(stream)).slice(1)).toEqual([[2, 3, '3 delete a']]);
  });

  test('is cancelled if its revision was compacted, but not at the compacted one', () => {
    const { store, watchable, clock } = setUp();
    for (const value of ['1', '2', '3']) put(store, ['a', value]);
    store.compact(3);
    const stream = open(watchable);
    stream.create({ ...plain, startRevision: 2 });
    stream.create({ ...plain, startRevision: 3 });
    clock.settle();
    expect(brief(takeAll(stream)).slice(2)).toEqual([
      ['compacted', 0, 3],
      [1, 4, '3 put a=2', '4 put a=3'],
    ]);
    expect(watchable.watcherCount).toBe(1);
    // The id stays taken until the client, too, has ended it.
    stream.create({ ...plain, id: 1 });
    stream.create({ ...plain, id: 2 });
    stream.cancel(0);
    stream.cancel(0);
    expect(brief(takeAll(stream))).toEqual([
      ['refused', 'mvcc: duplicate watch ID provided on the WatchStream'],
      ['created', 2, 4],
      ['cancelled', 0, 4],
    ]);
  });

  test('at the compacted revision gets what is left of it', () => {
    const { store, watchable, clock } = setUp();
    put(store, ['b', '1'], ['c', '1']);
    // One revision that deletes from a key on and puts one of the deleted keys again: the
    // compaction at it removes the deletion of that key alone.
    const txn = store.begin();
    txn.deleteRange('a', '\0');
    txn.put('b', utf8('2'), 0n);
    txn.put('z', utf8('2'), 0n);
    txn.end();
    put(store, ['b', '3']);
    store.compact(3);
    while (store.compactionStep() === 'more');
    const stream = open(watchable);
    stream.create({ ...plain, end: '\0', startRevision: 3 });
    clock.settle();
    expect(takeAll(stream).flatMap((out) => (out.kind === 'events' ? textsOf(out) : []))).toEqual([
      '3 delete c',
      '3 put b=2',
      '3 put z=2',
      '4 put b=3',
    ]);
  });

  test('gets no previous value from before the compaction, whether it is removed yet or not', () => {
    const { store, watchable, clock } = setUp();
    put(store, ['a', '1']);
    put(store, ['a', '2']);
    put(store, ['a', '3']);
    store.compact(3);
    const seen = (): unknown[] => {
      const stream = open(watchable);
      stream.create({ ...plain, prevKv: true, startRevision: 3 });
      clock.settle();
      return takeAll(stream).flatMap((out) => (out.kind === 'events' ? textsOf(out) : []));
    };
    const expected = ['3 put a=2', '4 put a=3 (was 2)'];
    expect(seen()).toEqual(expected);
    while (store.compactionStep() === 'more');
    expect(seen()).toEqual(expected);
  });

  test('that falls behind a compaction is cancelled, others are not', () => {
    const { store, watchable, clock } = setUp();
    const stuck = open(watchable, { unsentDeliveries: 1 });
    const quick = open(watchable);
    stuck.create(plain);
    quick.create(plain);
    for (const value of ['1', '2', '3']) put(store, ['a', value]);
    clock.settle();
    store.compact(4);
    expect(brief(takeAll(stuck))).toEqual([
      ['created', 0, 1],
      [0, 2, '2 put a=1'],
      ['compacted', 0, 4],
    ]);
    expect(brief(takeAll(quick))).toHaveLength(4);
  });
});

describe('a stream', () => {
  test('numbers its watchers and takes numbers that clients choose', () => {
    const { watchable } = setUp();
    const stream = open(watchable);
    expect(stream.create({ ...plain, id: 1 })).toBe(1);
    expect(stream.create(plain)).toBe(0);
    expect(stream.create(plain)).toBe(2);
    expect(stream.create({ ...plain, id: 2 })).toBe(-1);
    expect(stream.create({ ...plain, key: 'b', end: 'a' })).toBe(-1);
    expect(stream.create({ ...plain, key: 'b', end: 'b' })).toBe(-1);
    stream.cancel(0);
    stream.cancel(0);
    expect(stream.create(plain)).toBe(3);
    expect(brief(takeAll(stream))).toEqual([
      ['created', 1, 1],
      ['created', 0, 1],
      ['created', 2, 1],
      ['refused', 'mvcc: duplicate watch ID provided on the WatchStream'],
      ['refused', 'mvcc: watcher range is empty'],
      ['refused', 'mvcc: watcher range is empty'],
      ['cancelled', 0, 1],
      ['created', 3, 1],
    ]);
  });

  test('says nothing after a cancellation', () => {
    const { store, watchable, clock } = setUp();
    const stream = open(watchable);
    stream.create(plain);
    put(store, ['a', '1']);
    stream.create({ ...plain, startRevision: 1 });
    stream.cancel(1);
    stream.cancel(0);
    put(store, ['a', '2']);
    clock.settle();
    expect(brief(takeAll(stream)).slice(-2)).toEqual([
      ['cancelled', 1, 2],
      ['cancelled', 0, 2],
    ]);
    expect(watchable.watcherCount).toBe(0);
  });

  test('answers for its progress only when all its watchers are up to date', () => {
    const { store, watchable, clock } = setUp();
    const stream = open(watchable);
    stream.requestProgress();
    expect(takeAll(stream)).toEqual([]);
    stream.create(plain);
    put(store, ['b', '1']);
    stream.requestProgress();
    expect(brief(takeAll(stream)).slice(1)).toEqual([['progress', -1, 2]]);
    stream.create({ ...plain, startRevision: 1 });
    stream.requestProgress();
    expect(brief(takeAll(stream))).toEqual([['created', 1, 2]]);
    clock.settle();
    stream.create({ ...plain, startRevision: 9 });
    stream.requestProgress();
    expect(brief(takeAll(stream))).toEqual([['created', 2, 2]]);
    stream.cancel(2);
    stream.requestProgress();
    expect(brief(takeAll(stream)).slice(1)).toEqual([['progress', -1, 2]]);
  });

  test('tells quiet watchers of their progress at each tick', () => {
    const { store, watchable } = setUp();
    const stream = open(watchable);
    stream.create({ ...plain, progressNotify: true });
    stream.create(plain);
    stream.tick();
    expect(brief(takeAll(stream)).slice(2)).toEqual([['progress', 0, 1]]);
    put(store, ['a', '1']);
    stream.tick();
    expect(brief(takeAll(stream))).toHaveLength(2);
    stream.tick();
    expect(brief(takeAll(stream))).toEqual([['progress', 0, 2]]);
  });

  test('without room catches up later and misses nothing', () => {
    const { store, watchable, clock } = setUp();
    const stream = open(watchable, { unsentDeliveries: 4 });
    stream.create({ ...plain, end: '\0' });
    const seen: string[] = [];
    const drain = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const output = stream.take();
        if (output?.kind === 'events') seen.push(...textsOf(output));
      }
    };
    for (let i = 0; i < 5000; i++) put(store, [`k${i % 7}`, String(i)]);
    expect(stream.unsent).toBe(5);
    drain(2);
    put(store, ['z', 'z']);
    drain(2);
    clock.settle();
    for (let i = 0; i < 20; i++) {
      drain(10);
      clock.settle();
    }
    put(store, ['z', 'last']);
    drain(1);
    expect(seen).toHaveLength(5002);
    expect(seen.map((text) => Number(text.split(' ')[0]))).toEqual(
      Array.from({ length: 5002 }, (_, i) => i + 2),
    );
  });

  test('created full of room later gets the past of a new watcher', () => {
    const { store, watchable, clock } = setUp();
    const stream = open(watchable, { unsentDeliveries: 1 });
    stream.create(plain);
    put(store, ['a', '1']);
    stream.create({ ...plain, startRevision: 1 });
    clock.settle();
    expect(brief(takeAll(stream)).slice(-2)).toEqual([
      [0, 2, '2 put a=1'],
      ['created', 1, 2],
    ]);
    clock.settle();
    expect(brief(takeAll(stream))).toEqual([[1, 2, '2 put a=1']]);
  });

  test('that is closed leaves nothing behind', () => {
    const { store, watchable } = setUp();
    const stream = open(watchable);
    stream.create(plain);
    stream.create({ ...plain, end: 'z' });
    stream.close();
    put(store, ['a', '1']);
    expect(stream.take()).toBeUndefined();
    expect([watchable.watcherCount, watchable.streamCount]).toEqual([0, 0]);
  });
});

test('a snapshot does not make watchers miss or see twice what they did not see', () => {
  const { store, watchable, clock } = setUp();
  const stream = open(watchable);
  stream.create({ ...plain, end: '\0' });
  stream.create({ ...plain, key: 'z', startRevision: 5 });
  put(store, ['a', '1']);
  const ahead = openStore({ backend: new MapBackend(), clock });
  put(ahead, ['a', '1']);
  put(ahead, ['a', '2']);
  put(ahead, ['z', '3']);
  watchable.restore(ahead);
  put(ahead, ['z', '4']);
  clock.settle();
  put(ahead, ['z', '5']);
  const outputs = brief(takeAll(stream)).slice(2) as unknown[][];
  expect(outputs.filter(([id]) => id === 0)).toEqual([
    [0, 2, '2 put a=1'],
    [0, 5, '3 put a=2', '4 put z=3', '5 put z=4'],
    [0, 6, '6 put z=5'],
  ]);
  expect(outputs.filter(([id]) => id === 1)).toEqual([
    [1, 5, '5 put z=4'],
    [1, 6, '6 put z=5'],
  ]);
});

test('a change is offered to the watchers that match, of ten thousand', () => {
  const { store, watchable } = setUp();
  const stream = open(watchable);
  for (let i = 0; i < 10_000; i++) {
    const key = `key-${String(i).padStart(5, '0')}`;
    stream.create(i % 2 === 0 ? { ...plain, key } : { ...plain, key, end: `${key}~` });
  }
  takeAll(stream);
  const asked = vi.spyOn(Watcher.prototype, 'wants');
  for (let i = 0; i < 1000; i++) put(store, [`other-${i}`, 'v']);
  expect(asked).not.toHaveBeenCalled();
  for (let i = 0; i < 1000; i++) put(store, [`key-${String(7 * i).padStart(5, '0')}`, 'v']);
  expect(asked).toHaveBeenCalledTimes(1000);
  expect(takeAll(stream)).toHaveLength(1000);
  asked.mockRestore();
});

test('events are pending until they are taken, or their stream is closed', () => {
  const { store, watchable } = setUp();
  const [read, closed] = [open(watchable), open(watchable)];
  for (const stream of [read, closed]) stream.create(plain);
  const counts = (): number[] => [watchable.sentEvents, watchable.pendingEvents];
  expect(counts()).toEqual([0, 0]);
  put(store, ['a', '1']);
  put(store, ['a', '2']);
  expect(counts()).toEqual([0, 4]);
  takeAll(read);
  expect(counts()).toEqual([2, 2]);
  closed.close();
  expect(counts()).toEqual([2, 0]);
});
