/**
 * The key-value store: every change makes a revision, and the past can be read until it is
 * compacted (etcd: storage/mvcc). Changes take effect in memory at once; the backend makes them
 * durable. One transaction at a time, and no call waits, so that apply stays in log order.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import { putEvent, StoredEvent, tombstoneEvent } from './event.ts';
import { HashTask, type KeyValueHash } from './hash.ts';
import { PhysicalCompaction, type CompactionProgress } from './physical-compaction.ts';
import { Pins } from './pins.ts';
import { StoredKeyValue } from './key-value.ts';
import { isLast, isTombstone, keyValueOf } from './record.ts';
import { restoreState, type LeasedKeys } from './restore.ts';
import { compactedGapsMax, firstRevision } from './revision.ts';
import type { StateBackend } from './state-backend.ts';
import type { DigestHalves } from './state-digest.ts';
import {
  StoreState,
  type KeyValueSink,
  type RangeExtent,
  type RangeQuery,
  type RangeResult,
  type StoreOperations,
} from './store-state.ts';
import { StoreWriteTransaction } from './write-transaction.ts';

/** Memory for records, beside the index. */
const defaultCacheBytes = 256 * 1024 * 1024;

export interface StoreOptions {
  readonly backend: StateBackend;
  readonly clock: Clock;
  readonly cacheBytes?: number;
}

/** Who wants to know of changes; called synchronously, after the store shows them. */
export interface StoreListener {
  changed(revision: number, events: readonly StoredEvent[]): void;
  compacted(revision: number): void;
}

/** Keeps a revision readable, compaction or not, until it is released. */
export interface Pin {
  readonly revision: number;
  /** For slices: their count may end at the limit, unless only the count is asked for. */
  range(query: Omit<RangeQuery, 'revision'>): RangeResult;
  copyRange(query: Omit<RangeQuery, 'revision'>, sink: KeyValueSink): RangeExtent;
  release(): void;
}

export class Store {
  readonly #state: StoreState;
  readonly #clock: Clock;
  readonly #pins: Pins;
  readonly #compaction: PhysicalCompaction;
  #transaction: StoreWriteTransaction | undefined;
  #listener: StoreListener | undefined;
  #leasedKeys: LeasedKeys = new Map();
  #onCompactionWork: (() => void) | undefined;

  private constructor(options: StoreOptions) {
    this.#state = new StoreState(options.backend, options.cacheBytes ?? defaultCacheBytes);
    this.#clock = options.clock;
    this.#pins = new Pins(() => this.#announceCompaction());
    this.#compaction = new PhysicalCompaction(this.#state, this.#pins);
  }

  /** Reads the whole backend, in slices; `done` may be called before this returns. */
  static open(
    options: StoreOptions,
    done: (error: Error | undefined, store: Store | undefined) => void,
  ): void {
    const store = new Store(options);
    restoreState(store.#state, (error, leasedKeys) => {
      store.#leasedKeys = leasedKeys;
      done(error, error === undefined ? store : undefined);
    });
  }

  /** Of the newest change; 1 if there was none. */
  get revision(): number {
    return this.#state.revision;
  }

  /** The oldest revision that can be read; -1 if there was no compaction. */
  get compactedRevision(): number {
    return this.#state.compactedRevision;
  }

  /** The newest compaction whose removals are all done. */
  get finishedCompaction(): number {
    return this.#state.finishedCompaction;
  }

  /** Keys that exist. */
  get keyCount(): number {
    return this.#state.tree.live;
  }

  /** Keys in the index: those that exist, and those deleted but not compacted. */
  get indexedKeyCount(): number {
    return this.#state.tree.size;
  }

  /** Bytes of what compaction has left, equal on all members with the same history. */
  get logicalSizeBytes(): number {
    return this.#state.writtenBytes - this.#state.reclaimedBytes;
  }

  /** Memory held for records. */
  get cacheBytes(): number {
    return this.#state.cache.heldBytes;
  }

  /** Counted since the store was opened; the object stays the same. */
  get operations(): Readonly<StoreOperations> {
    return this.#state.operations;
  }

  /** Hash over the newest key values, see {@link StateDigest}. */
  get stateHash(): bigint {
    return this.#state.digest.value;
  }

  /** Both halves of {@link stateHash}. */
  get stateDigest(): DigestHalves {
    return this.#state.digest;
  }

  /** The leases of keys as found at the start; for the lessor, once. */
  takeLeasedKeys(): LeasedKeys {
    const leased = this.#leasedKeys;
    this.#leasedKeys = new Map();
    return leased;
  }

  setListener(listener: StoreListener): void {
    this.#listener = listener;
  }

  /** @throws EtcdError `compacted` or `futureRevision` */
  range(query: RangeQuery): RangeResult {
    return this.#state.range(query);
  }

  /**
   * Gives the key values of a range to `sink` one by one, as they are stored.
   * @throws EtcdError `compacted` or `futureRevision`
   */
  copyRange(query: RangeQuery, sink: KeyValueSink): RangeExtent {
    return this.#state.copyRange(query, sink);
  }

  /** The key value before the change of `key` at `revision`, unless it is compacted. */
  previous(key: string, revision: number): StoredKeyValue | undefined {
    return this.#state.previous(key, revision);
  }

  /** Only one transaction may be open. */
  begin(): StoreWriteTransaction {
    assert(this.#transaction === undefined, 'a transaction begins within another');
    this.#transaction = new StoreWriteTransaction(this.#state, (revision, events) => {
      this.#transaction = undefined;
      if (events.length > 0) this.#listener?.changed(revision, events);
    });
    return this.#transaction;
  }

  /**
   * The events of one revision, in order. The revision must not be below the compacted one.
   * Empty only for revisions before the first change.
   *
   * Of the compacted revision there may be gaps: a transaction that deletes from a key on and puts
   * one of those keys leaves two changes of it, and the compaction keeps the later one.
   */
  eventsAt(revision: number): StoredEvent[] {
    const state = this.#state;
    assert(revision >= state.compactedRevision, 'events of a compacted revision are gone');
    const events: StoredEvent[] = [];
    if (revision <= firstRevision) return events;
    let gaps = revision === state.compactedRevision ? compactedGapsMax : 0;
    for (let sub = 0; ; sub++) {
      const found = state.findRecord(revision, sub);
      if (found === undefined && gaps-- > 0) continue;
      const record = found ?? state.record(revision, sub);
      const bytes = keyValueOf(record, sub);
      const kv = new StoredKeyValue(bytes);
      const key = kv.keyText;
      events.push(
        isTombstone(record)
          ? tombstoneEvent(key, revision)
          : new StoredEvent(putEvent, key, revision, kv.lease, bytes),
      );
      if (isLast(record)) return events;
    }
  }

  /**
   * Forbids reads below `revision` at once; their records go later, see {@link compactionStep}.
   * @throws EtcdError `compacted` or `futureRevision`
   */
  compact(revision: number): void {
    const state = this.#state;
    assert(this.#transaction === undefined, 'a compaction within a transaction');
    if (revision <= state.compactedRevision) throw new EtcdError('compacted');
    if (revision > state.revision) throw new EtcdError('futureRevision');
    state.reclaimedBytes = state.supersededBytesAt(revision);
    state.compactedRevision = revision;
    state.writeMeta();
    this.#listener?.compacted(revision);
    this.#announceCompaction();
  }

  /**
   * Does a bounded amount of removing. The caller repeats it while it says `more`.
   * @param removals how many records it may remove at most
   */
  compactionStep(removals?: number): CompactionProgress {
    return this.#compaction.step(removals);
  }

  /** Calls `listener` when there may be something for {@link compactionStep} to do. */
  onCompactionWork(listener: () => void): void {
    this.#onCompactionWork = listener;
    this.#announceCompaction();
  }

  #announceCompaction(): void {
    if (this.#state.finishedCompaction < this.#state.compactedRevision) this.#onCompactionWork?.();
  }

  /**
   * Keeps the newest revision, or an older one, readable until it is released.
   * @throws EtcdError `compacted` or `futureRevision`
   */
  pin(revision = 0): Pin {
    const state = this.#state;
    if (revision > state.revision) throw new EtcdError('futureRevision');
    const pinned = revision <= 0 ? state.revision : revision;
    if (pinned < state.compactedRevision) throw new EtcdError('compacted');
    const pins = this.#pins;
    pins.add(pinned);
    let released = false;
    const checkHeld = (): void => {
      assert(!released, 'a read of a revision whose pin was released');
    };
    return {
      revision: pinned,
      range: (query) => {
        checkHeld();
        return state.rangeAt(query, pinned, false);
      },
      copyRange: (query, sink) => {
        checkHeld();
        return state.copyRangeAt(query, pinned, false, sink);
      },
      release: () => {
        if (released) return;
        released = true;
        pins.remove(pinned);
      },
    };
  }

  /**
   * Computes etcd's hash of all revisions up to one (0: the newest), in slices.
   * Refusals arrive as EtcdError `compacted` or `futureRevision`.
   */
  hashByRevision(
    revision: number,
    done: (error: Error | undefined, hash: KeyValueHash | undefined) => void,
  ): void {
    const state = this.#state;
    if (revision > 0 && revision < state.compactedRevision) {
      done(new EtcdError('compacted'), undefined);
      return;
    }
    if (revision > state.revision) {
      done(new EtcdError('futureRevision'), undefined);
      return;
    }
    // Superseded revisions after the last compaction count, so a newer one has to wait.
    const pinned = state.compactedRevision;
    this.#pins.add(pinned);
    const hashed = revision <= 0 ? state.revision : revision;
    const task = new HashTask(state, this.#clock, hashed, (error, hash) => {
      this.#pins.remove(pinned);
      done(error, hash);
    });
    task.start();
  }
}
