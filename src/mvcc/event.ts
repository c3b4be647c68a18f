/** One change as watchers see it. */
import { fromLatin1 } from '../base/bytes.ts';
import { preencoded } from '../base/wire.ts';
import type { Event, EventType } from '../gen/kv.ts';
import { encodeKeyValue, StoredKeyValue } from './key-value.ts';

export const putEvent = 0 satisfies EventType;
const deleteEvent = 1 satisfies EventType;

const typeTag = 0x08;
const kvTag = 0x12;
const prevKvTag = 0x1a;

/** Shared by all the watchers of a change, so that it is encoded once. */
export class StoredEvent implements Event {
  readonly type: EventType;
  /** The key as it stands in the index. */
  readonly keyText: string;
  readonly modRevision: number;
  /** Of a put; none for a delete. */
  readonly lease: bigint;
  #kvBytes: Uint8Array;
  #prevKvBytes: Uint8Array | undefined;
  #kv: StoredKeyValue | undefined;
  #prevKv: StoredKeyValue | undefined;
  #withPrevious: StoredEvent | undefined;
  #encoded: Uint8Array | undefined;

  /** @param kv encoded, and not changed any more; so is `prevKv`. */
  constructor(
    type: EventType,
    keyText: string,
    modRevision: number,
    lease: bigint,
    kv: Uint8Array,
    prevKv?: Uint8Array,
  ) {
    this.type = type;
    this.keyText = keyText;
    this.modRevision = modRevision;
    this.lease = lease;
    this.#kvBytes = kv;
    this.#prevKvBytes = prevKv;
  }

  get kv(): StoredKeyValue {
    this.#kv ??= new StoredKeyValue(this.#kvBytes);
    return this.#kv;
  }

  get prevKv(): StoredKeyValue | undefined {
    if (this.#prevKvBytes === undefined) return undefined;
    this.#prevKv ??= new StoredKeyValue(this.#prevKvBytes);
    return this.#prevKv;
  }

  /** Of both key values, if there are two. */
  get keyValueSizeBytes(): number {
    return this.#kvBytes.length + (this.#prevKvBytes?.length ?? 0);
  }

  get isDelete(): boolean {
    return this.type === deleteEvent;
  }

  /** Whether the key did not exist before. */
  get isCreate(): boolean {
    return !this.isDelete && this.kv.createRevision === this.modRevision;
  }

  /** The same event with the key value before it, for watchers that ask for that. */
  withPrevious(find: (event: StoredEvent) => StoredKeyValue | undefined): StoredEvent {
    if (this.#withPrevious !== undefined) return this.#withPrevious;
    const previous = this.isCreate ? undefined : find(this);
    if (previous === undefined) return this;
    const { type, keyText, modRevision, lease } = this;
    const bytes = previous[preencoded];
    this.#withPrevious = new StoredEvent(type, keyText, modRevision, lease, this.#kvBytes, bytes);
    return this.#withPrevious;
  }

  /**
   * The encoded event. From then on the event holds these bytes alone, not those of the cache: one
   * event that waits for a slow client must not keep a slab of a thousand others in memory.
   */
  get [preencoded](): Uint8Array {
    this.#encoded ??= this.#encode();
    return this.#encoded;
  }

  #encode(): Uint8Array {
    const kv = this.#kvBytes;
    const prevKv = this.#prevKvBytes;
    const typeSize = this.type === 0 ? 0 : 2;
    const bytes = Buffer.allocUnsafe(
      typeSize + fieldSize(kv.length) + (prevKv === undefined ? 0 : fieldSize(prevKv.length)),
    );
    if (typeSize > 0) {
      bytes[0] = typeTag;
      bytes[1] = this.type;
    }
    const kvEnd = writeField(bytes, typeSize, kvTag, kv);
    this.#kvBytes = bytes.subarray(kvEnd - kv.length, kvEnd);
    this.#kv = undefined;
    if (prevKv !== undefined) {
      const end = writeField(bytes, kvEnd, prevKvTag, prevKv);
      this.#prevKvBytes = bytes.subarray(end - prevKv.length, end);
      this.#prevKv = undefined;
    }
    return bytes;
  }
}

const noValue = fromLatin1('');

/** A tombstone is stored without its revision; watchers get one. */
export function tombstoneEvent(keyText: string, modRevision: number): StoredEvent {
  const kv = encodeKeyValue({
    key: keyText,
    createRevision: 0,
    modRevision,
    version: 0,
    value: noValue,
    lease: 0n,
  });
  return new StoredEvent(deleteEvent, keyText, modRevision, 0n, kv);
}

/** What a field of `length` bytes takes with its tag and length. */
function fieldSize(length: number): number {
  let size = 2;
  for (let rest = length; rest >= 0x80; rest >>>= 7) size++;
  return size + length;
}

function writeField(target: Uint8Array, start: number, tag: number, bytes: Uint8Array): number {
  let offset = start;
  target[offset++] = tag;
  let rest = bytes.length;
  for (; rest >= 0x80; rest >>>= 7) target[offset++] = (rest & 0x7f) | 0x80;
  target[offset++] = rest;
  target.set(bytes, offset);
  return offset + bytes.length;
}
