/** The store on the real backend: what a power cut leaves is the state of exactly one index. */
import { expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { type Random, SeededRandom } from '../../../src/base/random.ts';
import { Store } from '../../../src/mvcc/store.ts';
import { Backend } from '../../../src/storage/backend.ts';
import { MemoryDisk, MemoryEngine } from '../../../src/storage/memory-engine.ts';
import { ManualClock, MapBackend, openStore } from './fakes.ts';

/** A log entry's effect, a function of its index alone. */
function applyEntry(store: Store, index: number): void {
  const random = new SeededRandom(index);
  const key = (): string => `k${random.below(20)}`;
  if (random.below(20) === 0 && store.revision > store.compactedRevision) {
    store.compact(store.revision - random.below(store.revision - store.compactedRevision));
    return;
  }
  const txn = store.begin();
  if (random.below(4) === 0) txn.deleteRange(key(), key());
  else for (const each of new Set([key(), key()])) txn.put(each, utf8(`v${index}`), 0n);
  txn.end();
}

interface Member {
  readonly clock: ManualClock;
  readonly backend: Backend;
  readonly store: Store;
}

function open(disk: MemoryDisk): Member {
  const clock = new ManualClock();
  const made: { backend?: Backend; store?: Store } = {};
  const check = (error: Error | undefined): void => {
    if (error !== undefined) throw error;
  };
  const engine = new MemoryEngine({ clock, disk });
  Backend.open({ engine, clock, logger: silentLogger }, (error, backend) => {
    check(error);
    if (backend !== undefined) made.backend = backend;
  });
  clock.advance(1000);
  const { backend } = made;
  if (backend === undefined) throw new Error('the backend did not open');
  Store.open({ backend, clock }, (error, store) => {
    check(error);
    if (store !== undefined) made.store = store;
  });
  clock.advance(1000);
  if (made.store === undefined) throw new Error('the store did not open');
  return { clock, backend, store: made.store };
}

function liveUntilCrash(disk: MemoryDisk, random: Random, lastIndex: number): Member {
  const member = open(disk);
  const { clock, backend, store } = member;
  for (let index = backend.appliedIndex + 1; index <= lastIndex; index++) {
    applyEntry(store, index);
    backend.applied(index, 1);
    if (random.below(3) === 0) store.compactionStep();
    clock.advance(random.below(60));
    if (random.below(60) === 0) break;
  }
  return member;
}

test.each([1, 2, 3, 4, 5])('power cuts leave no trace (seed %i)', (seed) => {
  const lastIndex = 400;
  const random = new SeededRandom(seed);
  const disk = new MemoryDisk();
  let crashes = 0;
  for (; ; crashes++) {
    const { backend } = liveUntilCrash(disk, random, lastIndex);
    if (backend.appliedIndex === lastIndex) break;
    disk.crash(() => random.below(2) === 0);
  }
  expect(crashes).toBeGreaterThan(0);
  const never = openStore({ backend: new MapBackend(), clock: new ManualClock() });
  for (let index = 1; index <= lastIndex; index++) applyEntry(never, index);
  disk.crash(() => true);
  const { store, backend } = open(disk);
  for (let index = backend.appliedIndex + 1; index <= lastIndex; index++) applyEntry(store, index);
  const { stateHash, logicalSizeBytes, revision, compactedRevision } = never;
  expect(store).toMatchObject({ stateHash, logicalSizeBytes, revision, compactedRevision });
  const all = { key: '\0', end: '\0', revision: 0, limit: 0, countOnly: false };
  const keyValues = (each: Store): unknown[] =>
    each.range(all).kvs.map((kv) => [kv.keyText, kv.modRevision, kv.createRevision, kv.version]);
  expect(keyValues(store)).toEqual(keyValues(never));
});
