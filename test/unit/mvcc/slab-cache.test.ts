import { describe, expect, test } from 'vitest';
import { preencoded } from '../../../src/base/wire.ts';
import { StoredKeyValue } from '../../../src/mvcc/key-value.ts';
import { notCached, SlabCache } from '../../../src/mvcc/slab-cache.ts';
import { ManualClock, MapBackend, openStore } from './fakes.ts';

const mebibyte = 1024 * 1024;

function filled(size: number, byte: number): Uint8Array {
  return new Uint8Array(size).fill(byte);
}

describe('a slab cache', () => {
  test('holds records of many sizes, the newest within its budget', () => {
    const cache = new SlabCache(8 * mebibyte);
    const sizes = [1, 7, 8, 9, 1000, 65_536, mebibyte - 8, mebibyte, mebibyte + 1, 3 * mebibyte, 5];
    const added: { position: number; size: number; byte: number }[] = [];
    for (let i = 0; i < 60; i++) {
      const size = sizes[i % sizes.length] ?? 1;
      added.push({ position: cache.add(filled(size, i)), size, byte: i });
      expect(cache.heldBytes).toBeLessThanOrEqual(8 * mebibyte);
    }
    let missing = true;
    for (const { position, size, byte } of added) {
      const found = cache.read(position, size);
      if (found === undefined) {
        // What is pushed out is the oldest.
        expect(missing).toBe(true);
        continue;
      }
      missing = false;
      expect(Buffer.compare(found, filled(size, byte))).toBe(0);
    }
    expect(missing).toBe(false);
    expect(cache.read(added[0]?.position ?? 0, 1)).toBeUndefined();
    expect(cache.read(notCached, 1)).toBeUndefined();
  });

  test('keeps to a small budget too', () => {
    const cache = new SlabCache(2000);
    const positions = Array.from({ length: 50 }, (_, i) => cache.add(filled(100, i)));
    expect(cache.heldBytes).toBeLessThanOrEqual(2000);
    expect(cache.read(positions[0] ?? notCached, 100)).toBeUndefined();
    expect(cache.read(positions[49] ?? notCached, 100)).toEqual(Buffer.alloc(100, 49));
    // Larger than all of it: kept until the next one comes.
    const large = cache.add(filled(5000, 7));
    expect(cache.read(large, 5000)).toEqual(Buffer.alloc(5000, 7));
    expect(cache.read(positions[49] ?? notCached, 100)).toBeUndefined();
    cache.add(filled(900, 8));
    expect(cache.read(large, 5000)).toBeUndefined();
  });

  test('leaves bytes it handed out as they are', () => {
    const cache = new SlabCache(0);
    const first = cache.read(cache.add(filled(100, 1)), 100);
    for (let i = 0; i < 10; i++) cache.add(filled(mebibyte, 2));
    expect(first?.every((byte) => byte === 1)).toBe(true);
  });
});

describe('a store with little memory', () => {
  const range = { end: undefined, revision: 0, limit: 0, countOnly: false };

  test('reads from the backend what the cache has dropped, in a transaction too', () => {
    const store = openStore({
      backend: new MapBackend(),
      clock: new ManualClock(),
      cacheBytes: 2 * mebibyte,
    });
    const txn = store.begin();
    for (let i = 0; i < 10; i++) txn.put(`k${i}`, filled(mebibyte, i), 0n);
    const checkCopies = (): void => {
      for (let i = 0; i < 10; i++) {
        store.copyRange({ ...range, key: `k${i}` }, (source, start, end) => {
          const kv = new StoredKeyValue(source.subarray(start, end));
          expect(Buffer.compare(kv.value, filled(mebibyte, i))).toBe(0);
        });
      }
    };
    const check = (reader: Pick<typeof store, 'range'>): void => {
      for (let i = 0; i < 10; i++) {
        const [kv] = reader.range({ ...range, key: `k${i}` }).kvs;
        expect(Buffer.compare(kv?.value ?? filled(0, 0), filled(mebibyte, i))).toBe(0);
      }
    };
    check(txn);
    const events = txn.end();
    checkCopies();
    check(store);
    expect(store.cacheBytes).toBeLessThanOrEqual(4 * mebibyte);
    expect(events.map((event) => event.kv.value[0])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('keeps no slab for an event that was encoded', () => {
    const store = openStore({ backend: new MapBackend(), clock: new ManualClock() });
    const txn = store.begin();
    txn.put('a', filled(300, 1), 0n);
    const [event] = txn.end();
    const before = event?.kv.value;
    expect(before?.buffer.byteLength).toBe(mebibyte);
    expect(event?.[preencoded].length).toBeGreaterThan(300);
    expect(event?.kv.value).toEqual(before);
    expect(event?.kv.value.buffer.byteLength).toBeLessThan(100_000);
  });
});
