import { describe, expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import { Event, KeyValue } from '../../../src/gen/kv.ts';
import { StoredKeyValue } from '../../../src/mvcc/key-value.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { noOperations } from '../../../src/mvcc/store-state.ts';
import { ManualClock, MapBackend, openStore } from './fakes.ts';

function newStore(): { store: Store; backend: MapBackend; clock: ManualClock } {
  const backend = new MapBackend();
  const clock = new ManualClock();
  return { store: openStore({ backend, clock }), backend, clock };
}

function put(store: Store, key: string, value: string, lease = 0n): number {
  const txn = store.begin();
  const revision = txn.put(key, utf8(value), lease);
  txn.end();
  return revision;
}

function remove(store: Store, key: string, end?: string): number {
  const txn = store.begin();
  const deleted = txn.deleteRange(key, end);
  txn.end();
  return deleted;
}

function get(store: Store, key: string, revision = 0): string | undefined {
  const { kvs } = store.range({ key, end: undefined, revision, limit: 0, countOnly: false });
  return kvs[0] && fromUtf8(kvs[0].value);
}

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof EtcdError) return error.reason;
    throw error;
  }
  return 'none';
}

describe('a store', () => {
  test('begins at revision 1, so that the first change makes 2', () => {
    const { store } = newStore();
    expect(store.revision).toBe(1);
    expect(store.compactedRevision).toBe(-1);
    expect(put(store, 'a', '1')).toBe(2);
    expect(store.revision).toBe(2);
  });

  test('keeps its revision when a transaction changes nothing', () => {
    const { store } = newStore();
    expect(remove(store, 'a')).toBe(0);
    store.begin().end();
    expect(store.revision).toBe(1);
  });

  test('counts versions from the last creation', () => {
    const { store } = newStore();
    put(store, 'a', '1');
    put(store, 'a', '2');
    remove(store, 'a');
    put(store, 'a', '3');
    put(store, 'a', '4', 7n);
    const { kvs } = store.range({
      key: 'a',
      end: undefined,
      revision: 0,
      limit: 0,
      countOnly: false,
    });
    expect(kvs).toHaveLength(1);
    const [kv] = kvs;
    expect(kv).toMatchObject({ createRevision: 5, modRevision: 6, version: 2, lease: 7n });
    expect(KeyValue.decode(KeyValue.encode(kv as KeyValue))).toMatchObject({
      createRevision: 5,
      modRevision: 6,
      version: 2,
      lease: 7n,
      key: Buffer.from('a'),
      value: Buffer.from('4'),
    });
  });

  test('reads the past until it is compacted, never the future', () => {
    const { store } = newStore();
    put(store, 'a', '1');
    put(store, 'a', '2');
    remove(store, 'a');
    put(store, 'a', '3');
    expect([1, 2, 3, 4, 5].map((revision) => get(store, 'a', revision))).toEqual([
      undefined,
      '1',
      '2',
      undefined,
      '3',
    ]);
    expect(refusal(() => get(store, 'a', 6))).toBe('futureRevision');
    store.compact(4);
    expect(refusal(() => get(store, 'a', 3))).toBe('compacted');
    expect(get(store, 'a', 4)).toBeUndefined();
    expect(refusal(() => store.compact(4))).toBe('compacted');
    expect(refusal(() => store.compact(6))).toBe('futureRevision');
  });

  test('limits what it returns but counts all', () => {
    const { store } = newStore();
    for (const key of ['a', 'b', 'c', 'd']) put(store, key, key);
    remove(store, 'b');
    const all = { key: 'a', end: '\0', revision: 0, limit: 2, countOnly: false };
    expect(store.range(all)).toMatchObject({ count: 3, revision: 6 });
    expect(store.range(all).kvs.map((kv) => kv.keyText)).toEqual(['a', 'c']);
    expect(store.range({ ...all, revision: 5 }).count).toBe(4);
    expect(store.range({ ...all, countOnly: true })).toMatchObject({ count: 3, kvs: [] });
    expect(store.range({ ...all, key: 'c', end: 'b' })).toMatchObject({ count: 0, kvs: [] });
    expect(store.range({ ...all, end: 'c', limit: 0 })).toMatchObject({ count: 1 });
  });

  test('shows a transaction its own changes, and others none before its end', () => {
    const { store } = newStore();
    put(store, 'a', '1');
    const txn = store.begin();
    expect(txn.revision).toBe(2);
    txn.put('b', utf8('2'), 0n);
    expect(txn.revision).toBe(3);
    expect(txn.deleteRange('a', 'b')).toBe(1);
    const all = { key: '\0', end: '\0', revision: 0, limit: 0, countOnly: false };
    expect(txn.range(all).kvs.map((kv) => kv.keyText)).toEqual(['b']);
    expect(txn.range({ ...all, revision: 2 }).kvs.map((kv) => kv.keyText)).toEqual(['a']);
    expect(store.revision).toBe(2);
    const events = txn.end();
    expect(store.revision).toBe(3);
    expect(events.map((event) => [event.type, event.keyText])).toEqual([
      [0, 'b'],
      [1, 'a'],
    ]);
    expect(Event.decode(Event.encode(events[1] as Event))).toMatchObject({
      type: 1,
      kv: { modRevision: 3, createRevision: 0, version: 0 },
    });
    expect(store.eventsAt(3).map((event) => Event.encode(event))).toEqual(
      events.map((event) => Event.encode(event)),
    );
  });

  test('holds bytes of any value and keys of any bytes', () => {
    const { store } = newStore();
    const key = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    const big = new Uint8Array(3 * 1024 * 1024).fill(7);
    const txn = store.begin();
    txn.put(key, big, -1n);
    txn.put('\xff', new Uint8Array(0), 2n ** 63n - 1n);
    txn.end();
    const range = { end: undefined, revision: 0, limit: 0, countOnly: false };
    const [first] = store.range({ ...range, key }).kvs;
    expect(Buffer.compare(first?.value ?? Buffer.alloc(0), big)).toBe(0);
    expect(first?.lease).toBe(-1n);
    expect(first?.keyText).toBe(key);
    const [second] = store.range({ ...range, key: '\xff' }).kvs;
    expect(second?.value).toHaveLength(0);
    expect(second?.lease).toBe(2n ** 63n - 1n);
  });
});

test('operations are counted, and changes of several of them', () => {
  const { store } = newStore();
  expect(store.operations).toEqual(noOperations());
  put(store, 'a', '1');
  remove(store, 'none');
  store.range({ key: 'a', end: undefined, revision: 0, limit: 0, countOnly: false });
  expect(store.operations).toMatchObject({ ranges: 1, puts: 1, deletes: 1, txns: 0 });
  const txn = store.begin();
  txn.put('a', utf8('2'), 0n);
  txn.range({ key: 'a', end: undefined, revision: 0, limit: 0, countOnly: false });
  txn.deleteRange('a', undefined);
  txn.end();
  expect(store.operations).toMatchObject({ ranges: 2, puts: 2, deletes: 2, txns: 1 });
});

test('the bytes that were put are counted, those of keys included', () => {
  const { store } = newStore();
  put(store, 'key', 'value');
  put(store, 'key', '');
  remove(store, 'key');
  expect(store.operations.putBytes).toBe(11);
});

test('the records that compactions have removed are counted', () => {
  const { store } = newStore();
  for (const value of ['1', '2', '3', '4']) put(store, 'a', value);
  store.compact(store.revision);
  while (store.compactionStep(1) === 'more');
  expect(store.operations.removals).toBe(3);
});

describe('a compaction', () => {
  test('removes what cannot be read any more, in steps, and sizes shrink at once', () => {
    const { store, backend } = newStore();
    for (let i = 0; i < 10; i++) put(store, 'a', String(i));
    put(store, 'b', 'b');
    remove(store, 'b');
    const before = store.logicalSizeBytes;
    store.compact(store.revision);
    expect(store.logicalSizeBytes).toBeLessThan(before);
    while (store.compactionStep() === 'more');
    expect(store.finishedCompaction).toBe(store.revision);
    // The newest 'a', the tombstone of 'b' at the compacted revision, the numbers.
    expect(backend.entries.size).toBe(3);
    put(store, 'c', 'c');
    store.compact(store.revision);
    while (store.compactionStep() === 'more');
    expect(backend.entries.size).toBe(3);
    expect(
      store.range({ key: '\0', end: '\0', revision: 0, limit: 0, countOnly: true }).count,
    ).toBe(2);
  });

  test('waits for readers of older revisions', () => {
    const { store } = newStore();
    put(store, 'a', '1');
    put(store, 'a', '2');
    const pin = store.pin(2);
    let announced = 0;
    store.onCompactionWork(() => announced++);
    store.compact(3);
    expect(store.compactionStep()).toBe('waiting');
    const { kvs } = pin.range({ key: 'a', end: undefined, limit: 0, countOnly: false });
    expect(kvs.map((kv) => fromUtf8(kv.value))).toEqual(['1']);
    expect(announced).toBe(1);
    pin.release();
    pin.release();
    expect(announced).toBe(2);
    expect(store.compactionStep()).toBe('idle');
    expect(refusal(() => store.pin(2))).toBe('compacted');
  });

  test('spares a pinned revision, which is read in slices without counting the rest', () => {
    const { store } = newStore();
    for (let i = 0; i < 9; i++) put(store, `k${i}`, String(i));
    const pin = store.pin();
    for (let i = 0; i < 9; i += 2) remove(store, `k${i}`);
    store.compact(store.revision);
    store.compactionStep();
    const query = { key: 'k', end: 'l', limit: 4, countOnly: false };
    const first = pin.range(query);
    expect(first.kvs.map((kv) => kv.keyText)).toEqual(['k0', 'k1', 'k2', 'k3']);
    expect(first.count).toBe(4);
    expect(pin.range({ ...query, key: 'k4', limit: 0 }).kvs).toHaveLength(5);
    expect(pin.range({ ...query, countOnly: true })).toMatchObject({ count: 9, kvs: [] });
    // Also of keys that were changed or deleted since, whose compaction waits.
    put(store, 'k1', 'newer');
    const copied: StoredKeyValue[] = [];
    const extent = pin.copyRange({ ...query, limit: 7 }, (source, start, end) => {
      copied.push(new StoredKeyValue(Uint8Array.from(source.subarray(start, end))));
    });
    expect(extent).toMatchObject({ taken: 7, lastKey: 'k6', count: 7, truncated: false });
    expect(copied.map((kv) => [kv.keyText, fromUtf8(kv.value)])).toEqual(
      Array.from({ length: 7 }, (_, i) => [`k${i}`, String(i)]),
    );
    pin.release();
    expect(() => pin.copyRange(query, () => undefined)).toThrow('released');
    while (store.compactionStep() === 'more');
    expect(store.range({ ...query, revision: 0 })).toMatchObject({ count: 4 });
  });

  test('goes on after a restart', () => {
    const { store, backend, clock } = newStore();
    for (let i = 0; i < 5; i++) put(store, 'a', String(i));
    store.compact(6);
    const again = openStore({ backend, clock });
    expect(again.compactedRevision).toBe(6);
    expect(again.finishedCompaction).toBe(-1);
    while (again.compactionStep() === 'more');
    expect(backend.entries.size).toBe(2);
  });

  test('removes no more in one step than it is told', () => {
    const { store, backend } = newStore();
    for (let i = 0; i < 10; i++) put(store, 'a', '');
    put(store, 'b', '');
    put(store, 'b', '');
    store.compact(store.revision);
    const sizes = [backend.entries.size];
    while (store.compactionStep(3) === 'more') sizes.push(backend.entries.size);
    const removed = sizes.slice(1).map((size, i) => (sizes[i] ?? 0) - size);
    expect(Math.max(...removed)).toBe(3);
    expect(removed.length).toBeGreaterThan(2);
  });

  test('of one key with a long history takes several steps', () => {
    const { store, backend } = newStore();
    for (let i = 0; i < 10_000; i++) put(store, 'a', '');
    store.compact(store.revision);
    let steps = 1;
    while (store.compactionStep() === 'more') steps++;
    expect(steps).toBeGreaterThan(2);
    expect(backend.entries.size).toBe(2);
  });
});

describe('a restart', () => {
  test('finds the state as it was', () => {
    const { store, backend, clock } = newStore();
    put(store, 'a', '1', 3n);
    put(store, 'b', '1', 3n);
    put(store, 'b', '2', 4n);
    put(store, 'c', '3', 5n);
    put(store, 'c', '4');
    remove(store, 'a');
    const again = openStore({ backend: backend.reopened(), clock });
    expect(again.revision).toBe(store.revision);
    expect(again.stateHash).toBe(store.stateHash);
    expect(again.logicalSizeBytes).toBe(store.logicalSizeBytes);
    expect(again.keyCount).toBe(2);
    expect([...again.takeLeasedKeys()]).toEqual([['b', 4n]]);
    expect(again.takeLeasedKeys().size).toBe(0);
    expect(get(again, 'b')).toBe('2');
    expect(get(again, 'a', 2)).toBe('1');
  });

  test('refuses a state that lost or changed a record', () => {
    const { store, backend, clock } = newStore();
    put(store, 'a', '1');
    put(store, 'b', '2');
    const newest = [...backend.entries.keys()].filter((key) => key.startsWith('r')).at(-1) ?? '';
    const lost = backend.reopened();
    lost.entries.delete(newest);
    expect(() => openStore({ backend: lost, clock })).toThrow('newest revision is 2');
    const changed = backend.reopened();
    const record = changed.entries.get(newest) ?? new Uint8Array();
    record[record.length - 1] = 0x33;
    expect(() => openStore({ backend: changed, clock })).toThrow('do not match their hash');
  });
});

describe('the state hash', () => {
  test('depends on the newest keys, not on the way there', () => {
    const one = newStore().store;
    put(one, 'a', '1');
    put(one, 'b', '2');
    const two = newStore().store;
    put(two, 'a', '1');
    put(two, 'b', '2');
    expect(two.stateHash).toBe(one.stateHash);
    put(two, 'x', '3');
    expect(two.stateHash).not.toBe(one.stateHash);
    remove(two, 'x');
    expect(two.stateHash).toBe(one.stateHash);
    two.compact(two.revision);
    expect(two.stateHash).toBe(one.stateHash);
  });
});
