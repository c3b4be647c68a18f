/** The stored form of a key value is etcd's mvccpb.KeyValue: written once, sent as it is. */
import { assert } from '../base/assert.ts';
import { emptyBytes, latin1 } from '../base/bytes.ts';
import { preencoded } from '../base/wire.ts';
import type { KeyValue } from '../gen/kv.ts';

const keyTag = 0x0a;
const createRevisionTag = 0x10;
const modRevisionTag = 0x18;
const versionTag = 0x20;
const valueTag = 0x2a;
const leaseTag = 0x30;

/** Below this many characters a loop is faster than the call of a native function. */
const shortKeyLength = 32;
const smallInteger = 0x8000_0000;
const leaseSizeMax = 11;

/** What a key value consists of, its key as a latin1 string. */
export interface KeyValueFields {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: Uint8Array;
  readonly lease: bigint;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

function writeVarint(target: Uint8Array, start: number, value: number): number {
  let offset = start;
  let rest = value;
  for (; rest >= smallInteger; rest = Math.floor(rest / 0x80)) {
    target[offset++] = (rest % 0x80) | 0x80;
  }
  for (; rest >= 0x80; rest >>>= 7) target[offset++] = (rest & 0x7f) | 0x80;
  target[offset++] = rest;
  return offset;
}

function bigVarintSize(value: bigint): number {
  let size = 1;
  for (let rest = BigInt.asUintN(64, value); rest >= 0x80n; rest >>= 7n) size++;
  return size;
}

function writeBigVarint(target: Uint8Array, start: number, value: bigint): number {
  let offset = start;
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) target[offset++] = Number(rest & 0x7fn) | 0x80;
  target[offset++] = Number(rest);
  return offset;
}

function bytesFieldSize(length: number): number {
  return length === 0 ? 0 : 1 + varintSize(length) + length;
}

function numberFieldSize(value: number): number {
  return value === 0 ? 0 : 1 + varintSize(value);
}

/** Bytes that {@link writeKeyValue} will write. */
export function keyValueSize(fields: KeyValueFields): number {
  return (
    bytesFieldSize(fields.key.length) +
    numberFieldSize(fields.createRevision) +
    numberFieldSize(fields.modRevision) +
    numberFieldSize(fields.version) +
    bytesFieldSize(fields.value.length) +
    (fields.lease === 0n ? 0 : 1 + bigVarintSize(fields.lease))
  );
}

/** Fields in the order of their numbers and none that is empty: byte for byte what etcd stores. */
export function writeKeyValue(target: Buffer, start: number, fields: KeyValueFields): number {
  let offset = writeKey(target, start, fields.key);
  offset = writeNumberField(target, offset, createRevisionTag, fields.createRevision);
  offset = writeNumberField(target, offset, modRevisionTag, fields.modRevision);
  offset = writeNumberField(target, offset, versionTag, fields.version);
  if (fields.value.length > 0) {
    target[offset] = valueTag;
    offset = writeVarint(target, offset + 1, fields.value.length);
    target.set(fields.value, offset);
    offset += fields.value.length;
  }
  if (fields.lease !== 0n) {
    target[offset] = leaseTag;
    offset = writeBigVarint(target, offset + 1, fields.lease);
  }
  return offset;
}

function writeKey(target: Buffer, start: number, key: string): number {
  if (key.length === 0) return start;
  target[start] = keyTag;
  const offset = writeVarint(target, start + 1, key.length);
  if (key.length > shortKeyLength) {
    target.write(key, offset, 'latin1');
  } else {
    for (let i = 0; i < key.length; i++) target[offset + i] = key.charCodeAt(i);
  }
  return offset + key.length;
}

function writeNumberField(target: Buffer, offset: number, tag: number, value: number): number {
  if (value === 0) return offset;
  target[offset] = tag;
  return writeVarint(target, offset + 1, value);
}

export function encodeKeyValue(fields: KeyValueFields): Buffer {
  const bytes = Buffer.allocUnsafe(keyValueSize(fields));
  writeKeyValue(bytes, 0, fields);
  return bytes;
}

/**
 * A key value that keeps its stored bytes and decodes them when a field is first read: most are
 * only copied to a client. Its fields are accessors, so a spread does not copy them.
 */
export class StoredKeyValue implements KeyValue {
  readonly #bytes: Uint8Array;
  #decoded = false;
  #key = emptyBytes;
  #createRevision = 0;
  #modRevision = 0;
  #version = 0;
  #value = emptyBytes;
  #lease = 0n;

  /** @param bytes must not change any more. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get [preencoded](): Uint8Array {
    return this.#bytes;
  }

  get key(): Uint8Array {
    this.#decode();
    return this.#key;
  }

  /** The key as it stands in the index. */
  get keyText(): string {
    return latin1(this.key);
  }

  get createRevision(): number {
    this.#decode();
    return this.#createRevision;
  }

  get modRevision(): number {
    this.#decode();
    return this.#modRevision;
  }

  get version(): number {
    this.#decode();
    return this.#version;
  }

  get value(): Uint8Array {
    this.#decode();
    return this.#value;
  }

  get lease(): bigint {
    this.#decode();
    return this.#lease;
  }

  #decode(): void {
    if (this.#decoded) return;
    this.#decoded = true;
    const bytes = this.#bytes;
    let offset = 0;
    const readVarint = (): number => {
      let value = 0;
      for (let factor = 1; ; factor *= 0x80) {
        const byte = byteAt(bytes, offset++);
        value += (byte & 0x7f) * factor;
        if (byte < 0x80) return value;
      }
    };
    const readBytes = (): Uint8Array => {
      const length = readVarint();
      offset += length;
      return bytes.subarray(offset - length, offset);
    };
    while (offset < bytes.length) {
      switch (bytes[offset++]) {
        case keyTag:
          this.#key = readBytes();
          break;
        case createRevisionTag:
          this.#createRevision = readVarint();
          break;
        case modRevisionTag:
          this.#modRevision = readVarint();
          break;
        case versionTag:
          this.#version = readVarint();
          break;
        case valueTag:
          this.#value = readBytes();
          break;
        case leaseTag:
          this.#lease = readLease(bytes, offset);
          offset = bytes.length;
          break;
        default:
          assert(false, 'a stored key value has a field of another kind');
      }
    }
  }
}

function byteAt(bytes: Uint8Array, offset: number): number {
  const byte = bytes[offset];
  assert(byte !== undefined, 'a stored key value ends within a field');
  return byte;
}

/** The lease is the last field. */
function readLease(bytes: Uint8Array, start: number): bigint {
  assert(bytes.length - start < leaseSizeMax, 'a stored lease id is too long');
  let value = 0n;
  for (let i = bytes.length - 1; i >= start; i--) {
    value = (value << 7n) | BigInt(byteAt(bytes, i) & 0x7f);
  }
  return BigInt.asIntN(64, value);
}
