/** What the parts of the store share: index, cache, records and the numbers that go with them. */
import { assert } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import { preencoded } from '../base/wire.ts';
import { CorruptionError } from '../storage/errors.ts';
import type { KeyIndex } from './key-index.ts';
import { noRevision } from './key-index.ts';
import { KeyTree, stop } from './key-tree.ts';
import { StoredKeyValue } from './key-value.ts';
import { keyValueOf, supersededBytesOf } from './record.ts';
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

export interface RangeResult {
  readonly kvs: readonly StoredKeyValue[];
  /** Whether `bytesLimit` kept out some. */
  readonly truncated: boolean;
  /** Keys in the range at that revision, whatever the limit. */
  readonly count: number;
  /** The store's revision, not the one asked for. */
  readonly revision: number;
}

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
    this.operations.ranges += 1;
    const current = this.visibleRevision;
    if (query.revision > current) throw new EtcdError('futureRevision');
    const revision = query.revision <= 0 ? current : query.revision;
    if (revision < this.compactedRevision) throw new EtcdError('compacted');
    return this.rangeAt(query, revision, current);
  }

  /**
   * The caller has made sure that `revision` is still whole.
   * @param countsAll whether `count` must hold what is beyond the limit, at the cost of a walk
   */
  rangeAt(
    query: Omit<RangeQuery, 'revision'>,
    revision: number,
    current: number,
    countsAll = true,
  ): RangeResult {
    if (query.end === undefined) {
      const index = this.tree.get(query.key);
      const found = index !== undefined && index.existsAt(revision);
      const kvs = found && !query.countOnly ? [this.keyValue(index, index.placeAt(revision))] : [];
      return { kvs, truncated: false, count: found ? 1 : 0, revision: current };
    }
    const high = upperBound(query.end);
    if (high !== undefined && high <= query.key) {
      return { kvs: [], truncated: false, count: 0, revision: current };
    }
    return revision === current
      ? this.#rangeNow(query, high, current)
      : this.#rangeThen(query, high, revision, current, countsAll || query.countOnly);
  }

  /** At the newest revision the tree knows the count, so the walk may end at the limit. */
  #rangeNow(
    query: Omit<RangeQuery, 'revision'>,
    high: string | undefined,
    current: number,
  ): RangeResult {
    const count = this.tree.countLive(query.key, high);
    const kvs: StoredKeyValue[] = [];
    const wanted = query.countOnly ? 0 : query.limit > 0 ? Math.min(query.limit, count) : count;
    let roomBytes = query.bytesLimit ?? Infinity;
    if (wanted > 0) {
      this.tree.visitLive(query.key, high, (_key, index) => {
        const kv = this.keyValue(index, index.placeAt(current));
        kvs.push(kv);
        roomBytes -= kv[preencoded].length;
        return kvs.length === wanted || roomBytes <= 0 ? stop : undefined;
      });
    }
    return { kvs, truncated: kvs.length < wanted, count, revision: current };
  }

  #rangeThen(
    query: Omit<RangeQuery, 'revision'>,
    high: string | undefined,
    revision: number,
    current: number,
    countsAll: boolean,
  ): RangeResult {
    const kvs: StoredKeyValue[] = [];
    const wanted = query.countOnly ? 0 : query.limit > 0 ? query.limit : Infinity;
    let count = 0;
    let roomBytes = query.bytesLimit ?? Infinity;
    let truncated = false;
    this.tree.visit(query.key, high, (_key, index) => {
      const place = index.placeAt(revision);
      if (place === noRevision || index.isTombstone(place)) return undefined;
      count++;
      if (kvs.length < wanted) {
        if (roomBytes > 0) {
          const kv = this.keyValue(index, place);
          kvs.push(kv);
          roomBytes -= kv[preencoded].length;
        } else {
          truncated = true;
        }
      }
      return !countsAll && (kvs.length === wanted || truncated) ? stop : undefined;
    });
    return { kvs, truncated, count, revision: current };
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
