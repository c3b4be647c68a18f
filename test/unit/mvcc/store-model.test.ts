import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../../../src/base/bytes.ts';
import { preencoded } from '../../../src/base/wire.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import type { StoredKeyValue } from '../../../src/mvcc/key-value.ts';
import { recordOverheadBytes } from '../../../src/mvcc/store-state.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { ManualClock, MapBackend, openStore } from './fakes.ts';
import { type Change, Model, type ModelKeyValue } from './model.ts';

const key = fc.constantFrom('a', 'b', 'c', 'ca', 'd', 'e');
const bound = fc.constantFrom('a', 'b', 'c', 'cb', 'd', 'f', '\0');
const end = fc.option(bound, { nil: undefined });

type Step =
  | { readonly kind: 'change'; readonly changes: readonly Change[] }
  | { readonly kind: 'range'; low: string; end: string | undefined; back: number; limit: number }
  | { readonly kind: 'compact'; readonly back: number }
  | { readonly kind: 'compactionStep' }
  | { readonly kind: 'hash'; readonly back: number }
  | { readonly kind: 'restart' };

const put: fc.Arbitrary<Change> = fc.record({
  put: key,
  value: fc.constantFrom('', 'x', 'yy'),
  lease: fc.constantFrom(0n, 0n, 5n),
});
const remove: fc.Arbitrary<Change> = fc.record({ delete: key, end });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      changes: fc.oneof(
        fc.tuple(put),
        fc.tuple(remove),
        fc.uniqueArray(put, { selector: (change) => JSON.stringify(Object.values(change)[0]) }),
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('range' as const),
      low: bound,
      end,
      back: fc.nat(8),
      limit: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compactionStep' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hash' as const), back: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

function fields(kv: StoredKeyValue): ModelKeyValue {
  const { keyText, createRevision, modRevision, version, value, lease } = kv;
  return { key: keyText, createRevision, modRevision, version, value: fromUtf8(value), lease };
}

/** A store and its model, kept in step. */
class Pair {
  readonly #clock = new ManualClock();
  readonly #model = new Model();
  #backend = new MapBackend();
  #store: Store = openStore({ backend: this.#backend, clock: this.#clock });

  run(step: Step): void {
    switch (step.kind) {
      case 'change':
        this.#change(step.changes);
        break;
      case 'range':
        this.#range(step.low, step.end, this.#model.revision + 1 - step.back, step.limit);
        break;
      case 'compact':
        this.#compact(this.#model.revision + 1 - step.back);
        break;
      case 'compactionStep':
        this.#store.compactionStep();
        break;
      case 'hash':
        this.#hash(this.#model.revision + 1 - step.back);
        break;
      case 'restart': {
        const { stateHash, logicalSizeBytes, keyCount } = this.#store;
        this.#backend = this.#backend.reopened();
        this.#store = openStore({ backend: this.#backend, clock: this.#clock });
        expect(this.#store).toMatchObject({ stateHash, logicalSizeBytes, keyCount });
        break;
      }
    }
    expect(this.#store.revision).toBe(this.#model.revision);
    expect(this.#store.keyCount).toBe(this.#model.range('', '\0', this.#model.revision).length);
  }

  #change(changes: readonly Change[]): void {
    this.#model.change(changes);
    const txn = this.#store.begin();
    for (const change of changes) {
      if ('put' in change) txn.put(change.put, utf8(change.value), change.lease);
      else txn.deleteRange(change.delete, change.end);
    }
    const events = txn.end();
    const expected = events.length === 0 ? [] : this.#model.events.slice(-events.length);
    expect(events.map((event) => (event.isDelete ? undefined : fields(event.kv)))).toEqual(
      expected.map(({ kv }) => kv),
    );
  }

  #range(low: string, end: string | undefined, revision: number, limit: number): void {
    const query = { key: low, end, revision, limit, countOnly: false };
    const asked = revision <= 0 ? this.#model.revision : revision;
    if (this.#refuses(asked)) {
      expect(() => this.#store.range(query)).toThrow(EtcdError);
      expect(() => this.#store.copyRange(query, () => undefined)).toThrow(EtcdError);
      return;
    }
    const expected = this.#model.range(low, end, asked);
    const result = this.#store.range(query);
    expect(result.count).toBe(expected.length);
    expect(result.kvs.map(fields)).toEqual(limit > 0 ? expected.slice(0, limit) : expected);
    expect(this.#store.range({ ...query, countOnly: true }).count).toBe(expected.length);
    const copied: Buffer[] = [];
    const extent = this.#store.copyRange(query, (source, start, end) => {
      copied.push(Buffer.from(source.subarray(start, end)));
    });
    expect(copied).toEqual(result.kvs.map((kv) => Buffer.from(kv[preencoded])));
    expect({ ...extent, kvs: result.kvs }).toEqual(result);
    expect(extent.taken).toBe(copied.length);
    expect(extent.lastKey).toBe(result.kvs.at(-1)?.keyText);
  }

  #refuses(revision: number): boolean {
    return revision > this.#model.revision || revision < this.#model.compactedRevision;
  }

  #compact(revision: number): void {
    if (revision <= this.#model.compactedRevision || revision > this.#model.revision) {
      expect(() => this.#store.compact(revision)).toThrow(EtcdError);
      return;
    }
    this.#store.compact(revision);
    this.#model.compact(revision);
  }

  #hash(revision: number): void {
    if (revision < 1 || this.#refuses(revision)) return;
    let found: number | undefined;
    this.#store.hashByRevision(revision, (error, hash) => {
      expect(error).toBeUndefined();
      found = hash?.hash;
    });
    this.#clock.settle();
    expect(found).toBe(this.#model.hash(revision));
  }

  /** Every revision that is left, and nothing else in the backend. */
  checkAll(): void {
    for (let revision = 0; revision <= this.#model.revision; revision++) {
      if (!this.#refuses(revision) && revision > 0) this.#range('a', '\0', revision, 0);
    }
    this.#hash(this.#model.revision);
    while (this.#store.compactionStep() === 'more');
    const records = [...this.#backend.entries].filter(([each]) => each.startsWith('r'));
    expect(records).toHaveLength(this.#model.rowCount);
    expect(this.#store.indexedKeyCount).toBe(this.#model.rowKeyCount);
    const sizes = records.map(([, record]) => record.length + recordOverheadBytes);
    expect(this.#store.logicalSizeBytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
    this.#hash(this.#model.revision);
  }
}

test('any history reads as in the model, restarts and compactions in between', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const pair = new Pair();
      for (const each of steps) pair.run(each);
      pair.checkAll();
    }),
    { numRuns: 150 },
  );
});

test('members with one history agree on hash and size, whenever they remove', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const clock = new ManualClock();
      const lazy = openStore({ backend: new MapBackend(), clock });
      const eager = openStore({ backend: new MapBackend(), clock });
      for (const each of steps) {
        for (const store of [lazy, eager]) {
          if (each.kind === 'change') {
            const txn = store.begin();
            for (const change of each.changes) {
              if ('put' in change) txn.put(change.put, utf8(change.value), change.lease);
              else txn.deleteRange(change.delete, change.end);
            }
            txn.end();
          } else if (each.kind === 'compact') {
            const revision = store.revision - each.back;
            if (revision > store.compactedRevision) store.compact(revision);
          }
        }
        while (eager.compactionStep() === 'more');
        expect(lazy.stateHash).toBe(eager.stateHash);
        expect(lazy.logicalSizeBytes).toBe(eager.logicalSizeBytes);
      }
    }),
    { numRuns: 100 },
  );
});
