/** One change as watchers see it. */
import { fromLatin1 } from '../base/bytes.ts';
import { preencoded } from '../base/wire.ts';
import type { Event, EventType, KeyValue } from '../gen/kv.ts';
import { encodeKeyValue, StoredKeyValue } from './key-value.ts';

export const putEvent = 0 satisfies EventType;
export const deleteEvent = 1 satisfies EventType;

const typeTag = 0x08;
const kvTag = 0x12;
const prevKvTag = 0x1a;
/** Most that tag and length of a field take. */
const fieldOverheadBytes = 6;

/** Shared by all the watchers of a change, so that it is encoded once. */
export class StoredEvent implements Event {
  readonly type: EventType;
  /** The key as it stands in the index. */
  readonly keyText: string;
  readonly modRevision: number;
  /** Of a put; none for a delete. */
  readonly lease: bigint;
  readonly kv: StoredKeyValue;
  readonly prevKv: KeyValue | undefined;
  #withPrevious: StoredEvent | undefined;
  #encoded: Uint8Array | undefined;

  constructor(
    type: EventType,
    keyText: string,
    modRevision: number,
    lease: bigint,
    kv: StoredKeyValue,
    prevKv?: KeyValue,
  ) {
    this.type = type;
    this.keyText = keyText;
    this.modRevision = modRevision;
    this.lease = lease;
    this.kv = kv;
    this.prevKv = prevKv;
  }

  get isDelete(): boolean {
    return this.type === deleteEvent;
  }

  /** Whether the key did not exist before. */
  get isCreate(): boolean {
    return !this.isDelete && this.kv.createRevision === this.modRevision;
  }

  /** Bytes of the encoded event, or a few more. */
  get size(): number {
    const previous = this.prevKv?.[preencoded];
    const previousSize = previous === undefined ? 0 : previous.length + fieldOverheadBytes;
    return this.kv[preencoded].length + previousSize + 2 * fieldOverheadBytes;
  }

  /** The same event with the key value before it, for watchers that ask for that. */
  withPrevious(find: (event: StoredEvent) => KeyValue | undefined): StoredEvent {
    if (this.#withPrevious !== undefined) return this.#withPrevious;
    const previous = this.isCreate ? undefined : find(this);
    if (previous === undefined) return this;
    const { type, keyText, modRevision, lease, kv } = this;
    this.#withPrevious = new StoredEvent(type, keyText, modRevision, lease, kv, previous);
    return this.#withPrevious;
  }

  get [preencoded](): Uint8Array {
    this.#encoded ??= encodeEvent(this.type, this.kv[preencoded], this.prevKv?.[preencoded]);
    return this.#encoded;
  }
}

/** A tombstone is stored without its revision; watchers get one. */
export function tombstoneKeyValue(keyText: string, modRevision: number): StoredKeyValue {
  return new StoredKeyValue(
    encodeKeyValue({
      key: keyText,
      createRevision: 0,
      modRevision,
      version: 0,
      value: noValue,
      lease: 0n,
    }),
  );
}

const noValue = fromLatin1('');

function encodeEvent(type: number, kv: Uint8Array, prevKv: Uint8Array | undefined): Uint8Array {
  const typeSize = type === 0 ? 0 : 2;
  const prevSize = prevKv === undefined ? 0 : 1 + lengthSize(prevKv.length) + prevKv.length;
  const bytes = Buffer.allocUnsafe(typeSize + 1 + lengthSize(kv.length) + kv.length + prevSize);
  let offset = 0;
  if (type !== 0) {
    bytes[offset++] = typeTag;
    bytes[offset++] = type;
  }
  offset = writeField(bytes, offset, kvTag, kv);
  if (prevKv !== undefined) writeField(bytes, offset, prevKvTag, prevKv);
  return bytes;
}

function lengthSize(length: number): number {
  let size = 1;
  for (let rest = length; rest >= 0x80; rest >>>= 7) size++;
  return size;
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
