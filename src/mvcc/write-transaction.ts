/** Changes that make one revision. Each sees those before it; outside they appear all at once. */
import { assert, present } from '../base/assert.ts';
import { emptyBytes } from '../base/bytes.ts';
import { putEvent, StoredEvent, tombstoneEvent } from './event.ts';
import type { KeyIndex } from './key-index.ts';
import { keyValueSize, writeKeyValue, type KeyValueFields } from './key-value.ts';
import { headerSize, writeHeader } from './record.ts';
import { maxChangesPerTransaction, revisionKey } from './revision.ts';
import { digestOf } from './state-digest.ts';
import {
  recordOverheadBytes,
  upperBound,
  type RangeQuery,
  type RangeResult,
  type StoreState,
} from './store-state.ts';

/** A record in the making: not written to the backend before the transaction ends. */
interface NewRecord {
  readonly bytes: Buffer;
  readonly position: number;
  readonly keyValue: Buffer;
}

export class StoreWriteTransaction {
  readonly #state: StoreState;
  readonly #finish: (revision: number, events: readonly StoredEvent[]) => void;
  readonly #events: StoredEvent[] = [];
  /** The revision that the changes make. */
  readonly #main: number;
  #superseded = 0;
  /** Asked of it so far, ranges included. */
  #operations = 0;
  #tombstoneBytes = 0;
  #ended = false;

  /** @param finish called at the end if there were changes, after the store shows them. */
  constructor(
    state: StoreState,
    finish: (revision: number, events: readonly StoredEvent[]) => void,
  ) {
    this.#state = state;
    this.#finish = finish;
    this.#main = state.revision + 1;
  }

  /** The revision its reads see: one more than before it once it changed something. */
  get revision(): number {
    return this.#state.visibleRevision;
  }

  /** The changes so far, in order. */
  get changes(): readonly StoredEvent[] {
    return this.#events;
  }

  /** @throws EtcdError `compacted` or `futureRevision` */
  range(query: RangeQuery): RangeResult {
    this.#operations += 1;
    return this.#state.range(query);
  }

  /** Returns the revision that the change belongs to. */
  put(key: string, value: Uint8Array, lease: bigint): number {
    assert(!this.#ended, 'a put after the end of its transaction');
    const { tree, operations } = this.#state;
    operations.puts += 1;
    operations.putBytes += key.length + value.length;
    this.#operations += 1;
    const index = tree.get(key);
    const live = index?.live === true;
    const createRevision = live ? index.createRevision : this.#main;
    const version = live ? index.version + 1 : 1;
    const modRevision = this.#main;
    const sub = this.#events.length;
    const record = this.#newRecord({ key, createRevision, modRevision, version, value, lease });
    if (index === undefined) {
      const created = tree.insert(key, this.#main, sub, createRevision, version);
      this.#setNewest(created, record);
    } else {
      if (live) this.#supersede(index);
      index.advance(this.#main, sub, createRevision, version);
      this.#setNewest(index, record);
      if (!live) tree.adjustLive(key, 1);
    }
    this.#events.push(new StoredEvent(putEvent, key, this.#main, lease, record.keyValue));
    return this.#main;
  }

  #setNewest(index: KeyIndex, record: NewRecord): void {
    index.size = record.bytes.length;
    index.position = record.position;
    index.digest = digestOf(record.keyValue);
    this.#state.digest.add(index.digest);
  }

  /** Returns how many keys were deleted. */
  deleteRange(key: string, end: string | undefined): number {
    assert(!this.#ended, 'a delete after the end of its transaction');
    this.#state.operations.deletes += 1;
    this.#operations += 1;
    const { tree } = this.#state;
    if (end === undefined) {
      const index = tree.get(key);
      if (index?.live !== true) return 0;
      this.#delete(key, index);
      return 1;
    }
    const found: string[] = [];
    tree.visitLive(key, upperBound(end), (each) => {
      found.push(each);
      return undefined;
    });
    for (const each of found) this.#delete(each, present(tree.get(each), 'a key just found'));
    return found.length;
  }

  #delete(key: string, index: KeyIndex): void {
    const record = this.#newRecord({
      key,
      createRevision: 0,
      modRevision: 0,
      version: 0,
      value: emptyBytes,
      lease: 0n,
    });
    this.#supersede(index);
    index.advance(this.#main, this.#events.length, 0, 0);
    index.size = record.bytes.length;
    index.position = record.position;
    index.digest = 0;
    this.#tombstoneBytes += index.size + recordOverheadBytes;
    this.#state.tree.adjustLive(key, -1);
    this.#events.push(tombstoneEvent(key, this.#main));
  }

  /** Takes the newest key value of a live key out of the numbers. */
  #supersede(index: KeyIndex): void {
    this.#superseded += index.size + recordOverheadBytes;
    this.#state.digest.remove(index.digest);
  }

  #newRecord(fields: KeyValueFields): NewRecord {
    const { cache, pending } = this.#state;
    const sub = this.#events.length;
    assert(sub < maxChangesPerTransaction, 'a transaction has too many changes');
    const header = headerSize(sub);
    const size = header + keyValueSize(fields);
    const position = cache.allocate(size);
    const bytes = present(cache.read(position, size), 'a record just allocated');
    const end = writeKeyValue(bytes, header, fields);
    assert(end === size, 'a key value has another size than computed');
    pending.push(bytes);
    return { bytes, position, keyValue: bytes.subarray(header) };
  }

  /** Makes the changes visible and tells the watchers. Returns the events, in order. */
  end(): readonly StoredEvent[] {
    assert(!this.#ended, 'a transaction ends twice');
    this.#ended = true;
    const state = this.#state;
    if (this.#operations > 1) state.operations.txns += 1;
    if (this.#events.length === 0) {
      this.#finish(state.revision, this.#events);
      return this.#events;
    }
    state.supersededBytes += this.#superseded + state.tombstoneBytes;
    state.tombstoneBytes = this.#tombstoneBytes;
    const { supersededBytes, pending } = state;
    const lastSub = pending.length - 1;
    for (let sub = 0; sub <= lastSub; sub++) {
      const record = pending[sub] as Buffer;
      const tombstone = (this.#events[sub] as StoredEvent).isDelete;
      writeHeader(record, sub, { tombstone, last: sub === lastSub, supersededBytes });
      state.writtenBytes += record.length + recordOverheadBytes;
      state.backend.put(revisionKey(this.#main, sub), record);
    }
    pending.length = 0;
    state.revision = this.#main;
    state.writeMeta();
    this.#finish(state.revision, this.#events);
    return this.#events;
  }
}
