/** What the parts of the store share: index, cache, records and the numbers that go with them. */
import { assert } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import { preencoded } from '../base/wire.ts';
import { CorruptionError } from '../storage/errors.ts';
import type { KeyIndex } from './key-index.ts';
import { noRevision } from './key-index.ts';
import { KeyTree, stop } from './key-tree.ts';
import { StoredKeyValue } from './key-value.ts';
import { headerSize, keyValueOf, supersededBytesOf } from './record.ts';
import { firstRevision, neverCompacted, revisionKey } from './revision.ts';
import { SlabCache } from './slab-cache.ts';
import type { StateBackend } from './state-backend.ts';
import { StateDigest, stateDigestAlgorithm } from './state-digest.ts';
import { encodeStoreMeta, storeMetaKey } from './store-meta.ts';

/** What a record costs beside its bytes: its key and checksum, and a share of index and blocks. */
export const recordOverheadBytes = 32;

export interface RangeQuery {
  readonly key: string;
  /** Undefined for a single key; one zero byte for every key from `key` on. */
  readonly end: string | undefined;
  /** 0 or below: the newest. */
  readonly revision: number;
  /** 0: no limit. */
  readonly limit: number;
  readonly countOnly: boolean;
  /** Ends with the key value with which they hold so many bytes; no limit if absent. */
  readonly bytesLimit?: number;
}

/** What a range came to, beside its key values. */
export interface RangeExtent {
  /** How many key values there were within the limits. */
  readonly taken: number;
  /** The key of the last of them. */
  readonly lastKey: string | undefined;
  /** Whether `bytesLimit` kept out some. */
  readonly truncated: boolean;
  /** Keys in the range at that revision, whatever the limit. */
  readonly count: number;
  /** The store's revision, not the one asked for. */
  readonly revision: number;
}

export interface RangeResult extends RangeExtent {
  readonly kvs: readonly StoredKeyValue[];
}

/** Copies an encoded key value: the bytes of `source` from `start` to `end`. */
export type KeyValueSink = (source: Uint8Array, start: number, end: number) => void;

/** Takes what the index says is in a range; returns how many bytes its key value has, encoded. */
type Take = (index: KeyIndex, place: number) => number;

/** The upper bound of a range as the index takes it; `end` must not be undefined. */
export function upperBound(end: string): string | undefined {
  return end === '\0' ? undefined : end;
}

/** How often the store was asked for something since it was opened. */
export interface StoreOperations {
  ranges: number;
  puts: number;
  deletes: number;
  /** Changes of more than one operation. */
  txns: number;
  /** Bytes of the keys and values that were put. */
  putBytes: number;
  /** Records that compactions have removed. */
  removals: number;
}

export function noOperations(): StoreOperations {
  return { ranges: 0, puts: 0, deletes: 0, txns: 0, putBytes: 0, removals: 0 };
}

export class StoreState {
  readonly backend: StateBackend;
  readonly tree = new KeyTree();
  readonly cache: SlabCache;
  readonly digest = new StateDigest();
  readonly operations: StoreOperations = noOperations();
  revision = firstRevision;
  compactedRevision = neverCompacted;
  finishedCompaction = neverCompacted;
  writtenBytes = 0;
  supersededBytes = 0;
  reclaimedBytes = 0;
  tombstoneBytes = 0;
  /** Records of the open transaction, whose revision is the one after `revision`. */
  readonly pending: Buffer[] = [];

  constructor(backend: StateBackend, cacheBytes: number) {
    this.backend = backend;
    this.cache = new SlabCache(cacheBytes);
  }

  /** The revision that reads see: the open transaction's once it has changed something. */
  get visibleRevision(): number {
    return this.pending.length > 0 ? this.revision + 1 : this.revision;
  }

  writeMeta(): void {
    this.backend.put(
      storeMetaKey,
      encodeStoreMeta({
        revision: this.revision,
        compactedRevision: this.compactedRevision,
        finishedCompaction: this.finishedCompaction,
        writtenBytes: this.writtenBytes,
        supersededBytes: this.supersededBytes,
        reclaimedBytes: this.reclaimedBytes,
        tombstoneBytes: this.tombstoneBytes,
        digestAlgorithm: stateDigestAlgorithm,
        digestHigh: this.digest.high,
        digestLow: this.digest.low,
      }),
    );
  }

  /** A record that may be gone. */
  findRecord(main: number, sub: number): Uint8Array | undefined {
    if (main > this.revision) return this.pending[sub];
    return this.backend.get(revisionKey(main, sub));
  }

  /** A record that the index or the order of revisions says is there. */
  record(main: number, sub: number): Uint8Array {
    const record = this.findRecord(main, sub);
    if (record === undefined) throw new CorruptionError(`revision ${main}.${sub} is missing`);
    return record;
  }

  /** The key value at a place of its index, which must not be a tombstone. */
  keyValue(index: KeyIndex, place: number): StoredKeyValue {
    const sub = index.subAt(place);
    if (!index.isNewest(place)) {
      return new StoredKeyValue(keyValueOf(this.record(index.mainAt(place), sub), sub));
    }
    return new StoredKeyValue(keyValueOf(this.#newest(index), sub));
  }

  #newest(index: KeyIndex): Uint8Array {
    const cached = this.cache.read(index.position, index.size);
    if (cached !== undefined) return cached;
    const record = this.record(index.main, index.sub);
    index.position = this.cache.add(record);
    return record;
  }

  /** @throws EtcdError `compacted` or `futureRevision` */
  range(query: RangeQuery): RangeResult {
    return this.rangeAt(query, this.#readable(query.revision), true);
  }

  /**
   * Gives the key values of a range to `sink` one by one, with no object for any of them.
   * @throws EtcdError `compacted` or `futureRevision`
   */
  copyRange(query: RangeQuery, sink: KeyValueSink): RangeExtent {
    return this.copyRangeAt(query, this.#readable(query.revision), true, sink);
  }

  /** Which revision is meant, if it can be read. */
  #readable(revision: number): number {
    this.operations.ranges += 1;
    const current = this.visibleRevision;
    if (revision > current) throw new EtcdError('futureRevision');
    const readable = revision <= 0 ? current : revision;
    if (readable < this.compactedRevision) throw new EtcdError('compacted');
    return readable;
  }

  /**
   * The caller has made sure that `revision` is still whole.
   * @param countsAll whether `count` must hold what is beyond the limit, at the cost of a walk
   */
  rangeAt(query: Omit<RangeQuery, 'revision'>, revision: number, countsAll: boolean): RangeResult {
    const kvs: StoredKeyValue[] = [];
    const extent = this.#walk(query, revision, countsAll, (index, place) => {
      const kv = this.keyValue(index, place);
      kvs.push(kv);
      return kv[preencoded].length;
    });
    return { kvs, ...extent };
  }

  /** The same for {@link copyRange}. */
  copyRangeAt(
    query: Omit<RangeQuery, 'revision'>,
    revision: number,
    countsAll: boolean,
    sink: KeyValueSink,
  ): RangeExtent {
    return this.#walk(query, revision, countsAll, (index, place) =>
      this.#copyKeyValue(index, place, sink),
    );
  }

  #copyKeyValue(index: KeyIndex, place: number, sink: KeyValueSink): number {
    if (index.isNewest(place)) {
      const { position, size } = index;
      const slab = this.cache.slabOf(position);
      if (slab !== undefined) {
        const skipped = headerSize(index.sub);
        const start = this.cache.startOf(position);
        sink(slab, start + skipped, start + size);
        return size - skipped;
      }
    }
    const bytes = this.keyValue(index, place)[preencoded];
    sink(bytes, 0, bytes.length);
    return bytes.length;
  }

  #walk(
    query: Omit<RangeQuery, 'revision'>,
    revision: number,
    countsAll: boolean,
    take: Take,
  ): RangeExtent {
    const { key, end, countOnly } = query;
    const current = this.visibleRevision;
    const none = { taken: 0, lastKey: undefined, truncated: false, count: 0, revision: current };
    if (end === undefined) {
      const index = this.tree.get(key);
      if (index === undefined || !index.existsAt(revision)) return none;
      if (countOnly) return { ...none, count: 1 };
      take(index, index.placeAt(revision));
      return { ...none, taken: 1, lastKey: key, count: 1 };
    }
    const high = upperBound(end);
    if (high !== undefined && high <= key) return none;
    return revision === current
      ? this.#walkNow(query, high, current, take)
      : this.#walkThen(query, high, revision, countsAll || countOnly, take);
  }

  /** At the newest revision the tree knows the count, so the walk may end at the limit. */
  #walkNow(
    query: Omit<RangeQuery, 'revision'>,
    high: string | undefined,
    current: number,
    take: Take,
  ): RangeExtent {
    const count = this.tree.countLive(query.key, high);
    const wanted = query.countOnly ? 0 : query.limit > 0 ? Math.min(query.limit, count) : count;
    let roomBytes = query.bytesLimit ?? Infinity;
    let taken = 0;
    let lastKey: string | undefined;
    if (wanted > 0) {
      this.tree.visitLive(query.key, high, (key, index) => {
        roomBytes -= take(index, index.placeAt(current));
        lastKey = key;
        return ++taken === wanted || roomBytes <= 0 ? stop : undefined;
      });
    }
    return { taken, lastKey, truncated: taken < wanted, count, revision: current };
  }

  #walkThen(
    query: Omit<RangeQuery, 'revision'>,
    high: string | undefined,
    revision: number,
    countsAll: boolean,
    take: Take,
  ): RangeExtent {
    const wanted = query.countOnly ? 0 : query.limit > 0 ? query.limit : Infinity;
    let count = 0;
    let roomBytes = query.bytesLimit ?? Infinity;
    let truncated = false;
    let taken = 0;
    let lastKey: string | undefined;
    this.tree.visit(query.key, high, (key, index) => {
      const place = index.placeAt(revision);
      if (place === noRevision || index.isTombstone(place)) return undefined;
      count++;
      if (taken < wanted) {
        if (roomBytes > 0) {
          roomBytes -= take(index, place);
          taken++;
          lastKey = key;
        } else {
          truncated = true;
        }
      }
      return !countsAll && (taken === wanted || truncated) ? stop : undefined;
    });
    return { taken, lastKey, truncated, count, revision: this.visibleRevision };
  }

  /** The key value before the change that made `revision`, if it is there and not compacted. */
  previous(key: string, revision: number): StoredKeyValue | undefined {
    const before = revision - 1;
    if (before < this.compactedRevision) return undefined;
    const index = this.tree.get(key);
    if (index === undefined) return undefined;
    const place = index.placeAt(before);
    if (place === noRevision || index.isTombstone(place)) return undefined;
    return this.keyValue(index, place);
  }

  /** Bytes that a compaction at `revision` frees, of all ever written. */
  supersededBytesAt(revision: number): number {
    assert(revision <= this.revision, 'the future has no size');
    if (revision === this.revision) return this.supersededBytes;
    if (revision <= firstRevision) return 0;
    return supersededBytesOf(this.record(revision, 0));
  }
}
