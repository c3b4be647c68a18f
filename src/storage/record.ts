/** Codecs of our own records: each has a format version, and a checksum that readers check. */
import { crc32 } from 'node:zlib';
import { assert, safeInteger } from '../base/assert.ts';
import { buffer } from '../base/bytes.ts';
import type { ConfState, MemberId } from '../raft/index.ts';
import { CorruptionError, NewerVersionError } from './errors.ts';

/** Bytes that {@link sealValue} adds. */
const sealBytes = 4;
/** A membership larger than this is a decoding error, not a cluster. */
const membersLimit = 10_000;
const two32 = 0x1_0000_0000;

/**
 * A value of the state database as it is stored: the value, then a checksum over key and value. The
 * key is in it so that a value found under the wrong key is noticed.
 */
export function sealValue(key: Uint8Array, value: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafe(value.length + sealBytes);
  sealed.set(value);
  sealed.writeUInt32LE(crc32(value, crc32(key)), value.length);
  return sealed;
}

/** The value without its checksum, sharing memory; throws if the checksum is wrong. */
export function openValue(key: Uint8Array, stored: Uint8Array): Uint8Array {
  const length = stored.length - sealBytes;
  if (length >= 0) {
    const value = stored.subarray(0, length);
    if (crc32(value, crc32(key)) === buffer(stored).readUInt32LE(length)) return value;
  }
  const name = buffer(key).toString('hex');
  throw new CorruptionError(`the stored value of key 0x${name} fails its checksum`);
}

/** Writes a record of fixed kind: version, fields, checksum at the end. Grows as needed. */
export class RecordWriter {
  #bytes = Buffer.allocUnsafe(64);
  #length = 0;

  constructor(version: number) {
    this.u8(version);
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#bytes.writeUInt8(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32LE(value, at);
    return this;
  }

  /** A safe integer in 8 bytes. */
  u64(value: number): this {
    const at = this.#reserve(8);
    writeSafe(this.#bytes, value, at);
    return this;
  }

  id(value: bigint): this {
    const at = this.#reserve(8);
    this.#bytes.writeBigUInt64LE(value, at);
    return this;
  }

  ids(values: readonly bigint[]): this {
    this.u32(values.length);
    for (const value of values) this.id(value);
    return this;
  }

  text(value: string): this {
    const bytes = Buffer.from(value, 'utf8');
    this.u32(bytes.length);
    this.#bytes.set(bytes, this.#reserve(bytes.length));
    return this;
  }

  /** The record with its checksum. */
  finish(): Buffer {
    this.u32(crc32(this.#bytes.subarray(0, this.#length)));
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(this.#length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return at;
  }
}

/**
 * Reads what {@link RecordWriter} wrote; every contradiction is a {@link CorruptionError}, what a
 * later version wrote a {@link NewerVersionError}.
 */
export class RecordReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  readonly #end: number;
  #at = 1;

  /** @param version the newest version that the caller understands */
  constructor(bytes: Uint8Array, version: number, what: string) {
    this.#bytes = buffer(bytes);
    this.#what = what;
    this.#end = bytes.length - 4;
    if (this.#end < 1) this.#corrupt('is too short');
    if (crc32(this.#bytes.subarray(0, this.#end)) !== this.#bytes.readUInt32LE(this.#end)) {
      this.#corrupt('fails its checksum');
    }
    const found = this.#bytes.readUInt8(0);
    if (found > version) throw new NewerVersionError(what, found, version);
    if (found < version) this.#corrupt(`has format version ${found}, known is ${version}`);
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#advance(1));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#advance(4));
  }

  u64(): number {
    return readSafe(this.#bytes, this.#advance(8));
  }

  id(): bigint {
    return this.#bytes.readBigUInt64LE(this.#advance(8));
  }

  ids(): bigint[] {
    const count = this.u32();
    if (count > membersLimit) this.#corrupt(`lists ${count} ids`);
    return Array.from({ length: count }, () => this.id());
  }

  text(): string {
    const length = this.u32();
    const at = this.#advance(length);
    return this.#bytes.toString('utf8', at, at + length);
  }

  /** Asserts that nothing is left over. */
  finish(): void {
    if (this.#at !== this.#end) this.#corrupt('is too long');
  }

  #advance(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#end) this.#corrupt('is too short');
    this.#at += bytes;
    return at;
  }

  #corrupt(how: string): never {
    throw new CorruptionError(`${this.#what} ${how}`);
  }
}

export function writeSafe(target: Buffer, value: number, at: number): void {
  // The text is made only if needed: this runs once per log entry.
  if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER))
    assert(false, `not a safe integer: ${value}`);
  target.writeUInt32LE(value % two32, at);
  target.writeUInt32LE(Math.floor(value / two32), at + 4);
}

export function readSafe(source: Buffer, at: number): number {
  return safeInteger(source.readUInt32LE(at) + source.readUInt32LE(at + 4) * two32, 'a number');
}

export const emptyConfState: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export function writeConfState(writer: RecordWriter, confState: ConfState): void {
  writer.ids(confState.voters).ids(confState.votersOutgoing);
  writer.ids(confState.learners).ids(confState.learnersNext);
  writer.u8(confState.autoLeave ? 1 : 0);
}

export function readConfState(reader: RecordReader): ConfState {
  const voters: MemberId[] = reader.ids();
  return {
    voters,
    votersOutgoing: reader.ids(),
    learners: reader.ids(),
    learnersNext: reader.ids(),
    autoLeave: reader.u8() === 1,
  };
}
