/** Writes fields of the protobuf wire format, see wire.ts. */
import { highAt, lowAt, two32, unsignedWord, word } from './words.ts';

/** Small results are cut from chunks of this size: one allocation serves many messages. */
const chunkSizeBytes = 32 * 1024;
/** gRPC's PROTOCOL-HTTP2.md, Length-Prefixed-Message. */
const frameHeaderBytes = 5;

/** Appends fields to a growing buffer. A nested message's length is filled in when it is closed. */
export class Writer {
  #bytes: Buffer;
  #start = 0;
  #at = 0;

  /**
   * @param room bytes that are expected to be written, or memory for them; more makes it grow, into
   *   memory of its own
   */
  constructor(room: number | Buffer = chunkSizeBytes) {
    this.#bytes = typeof room === 'number' ? Buffer.allocUnsafeSlow(Math.ceil(room)) : room;
  }

  /** Memory that it has. */
  get capacityBytes(): number {
    return this.#bytes.length;
  }

  /** Written since the last `finish` or `copy`. */
  get sizeBytes(): number {
    return this.#at - this.#start;
  }

  /** Forgets what has been written since the last `finish` or `copy`. */
  reset(): this {
    this.#at = this.#start;
    return this;
  }

  /** What has been written since the last `finish` or `copy`: a view, until more is written. */
  get written(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#at);
  }

  /** What has been written since the last one. The bytes are never written again. */
  finish(): Uint8Array {
    const result = this.written;
    this.#start = this.#at;
    if (this.#bytes.length > chunkSizeBytes) {
      // Small messages must not keep the memory of a large one that came before them.
      this.#bytes = Buffer.allocUnsafeSlow(chunkSizeBytes);
      this.#start = 0;
      this.#at = 0;
    }
    return result;
  }

  /** As `finish`, but a copy: the memory is used again. */
  copy(): Uint8Array {
    const result = Buffer.allocUnsafe(this.sizeBytes);
    this.#bytes.copy(result, 0, this.#start, this.#at);
    this.reset();
    return result;
  }

  /**
   * Begins a message as gRPC frames it: a flag, the length, the fields. The result is for
   * `closeFrame` or `cancelFrame`, before anything is finished, copied or forgotten.
   */
  openFrame(): number {
    this.#room(frameHeaderBytes);
    this.#at += frameHeaderBytes;
    return this.#at - this.#start;
  }

  /** Ends what `openFrame` began. Returns the length of the fields. */
  closeFrame(opened: number): number {
    const begin = this.#start + opened;
    const length = this.#at - begin;
    this.#bytes[begin - frameHeaderBytes] = 0;
    this.#bytes.writeUInt32BE(length, begin - frameHeaderBytes + 1);
    return length;
  }

  /** Forgets what `openFrame` began. */
  cancelFrame(opened: number): void {
    this.#at = this.#start + opened - frameHeaderBytes;
  }

  bytes(tag: number, value: Uint8Array): void {
    const { length } = value;
    this.#room(length + 10);
    this.#varint(tag);
    this.#varint(length);
    this.#copy(value, length);
  }

  /** As `bytes`, of the part of `source` from `start` to `end`: faster than with a Buffer of it. */
  part(tag: number, source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#room(length + 10);
    this.#varint(tag);
    this.#varint(length);
    const view = new Uint8Array(source.buffer, source.byteOffset + start, length);
    this.#bytes.set(view, this.#at);
    this.#at += length;
  }

  string(tag: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#room(length + 10);
    this.#varint(tag);
    this.#varint(length);
    if (length > 0) this.#at += this.#bytes.write(value, this.#at, length, 'utf8');
  }

  /** An integer of up to 64 bits held as a number; negative ones take ten bytes. */
  number(tag: number, value: number): void {
    this.#room(15);
    this.#varint(tag);
    this.#number(value);
  }

  bigint(tag: number, value: bigint): void {
    this.#room(15);
    this.#varint(tag);
    this.#bigint(value);
  }

  uint32(tag: number, value: number): void {
    this.#room(10);
    this.#varint(tag);
    this.#varint(value >>> 0);
  }

  bool(tag: number, value: boolean): void {
    this.#room(6);
    this.#varint(tag);
    this.#bytes[this.#at++] = value ? 1 : 0;
  }

  fixed32(tag: number, value: number): void {
    this.#room(9);
    this.#varint(tag);
    this.#at = this.#bytes.writeUInt32LE(value >>> 0, this.#at);
  }

  fixed64(tag: number, value: bigint): void {
    this.#room(13);
    this.#varint(tag);
    this.#at = this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), this.#at);
  }

  double(tag: number, value: number): void {
    this.#room(13);
    this.#varint(tag);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  /** Packed numbers. */
  numbers(tag: number, values: readonly number[]): void {
    const at = this.open(tag);
    for (const value of values) {
      this.#room(10);
      this.#number(value);
    }
    this.close(at);
  }

  /** Packed bigints. */
  bigints(tag: number, values: readonly bigint[]): void {
    const at = this.open(tag);
    for (const value of values) {
      this.#room(10);
      this.#bigint(value);
    }
    this.close(at);
  }

  /** Bytes that are encoded fields already. */
  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#copy(value, value.length);
  }

  /** Begins a nested message; the result is for `close`. */
  open(tag: number): number {
    this.#room(10);
    this.#varint(tag);
    this.#at++;
    return this.#at - this.#start;
  }

  /** Ends the nested message that `open` began. One byte was left for its length: few need more. */
  close(opened: number): void {
    const begin = this.#start + opened;
    const length = this.#at - begin;
    if (length < 0x80) {
      this.#bytes[begin - 1] = length;
      return;
    }
    const more = length < 0x4000 ? 1 : length < 0x20_0000 ? 2 : length < 0x1000_0000 ? 3 : 4;
    this.#room(more);
    const from = this.#start + opened;
    this.#bytes.copyWithin(from + more, from, this.#at);
    const end = this.#at + more;
    this.#at = from - 1;
    this.#varint(length);
    this.#at = end;
  }

  #number(value: number): void {
    if (value >= 0 && value < two32) {
      this.#varint(value);
    } else {
      this.#varint64(value >>> 0, Math.floor(value / two32) >>> 0);
    }
  }

  #bigint(value: bigint): void {
    unsignedWord[0] = value;
    this.#varint64(word[lowAt] as number, word[highAt] as number);
  }

  /** `value` is less than 2^32, and there is room. */
  #varint(value: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (value >= 0x80) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[at++] = value;
    this.#at = at;
  }

  #varint64(low: number, high: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (high !== 0) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#at = at;
    this.#varint(low);
  }

  /** A short copy is faster by hand than by a call into the runtime. */
  #copy(value: Uint8Array, length: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    if (length < 32) {
      for (let i = 0; i < length; i++) bytes[at + i] = value[i] as number;
    } else {
      bytes.set(value, at);
    }
    this.#at = at + length;
  }

  /** Makes sure that `size` bytes fit; moves an unfinished message if they do not. */
  #room(size: number): void {
    if (this.#at + size > this.#bytes.length) this.#grow(size);
  }

  #grow(size: number): void {
    const used = this.#at - this.#start;
    const bytes = Buffer.allocUnsafeSlow(Math.max(chunkSizeBytes, (used + size) * 2));
    this.#bytes.copy(bytes, 0, this.#start, this.#at);
    this.#bytes = bytes;
    this.#start = 0;
    this.#at = used;
  }
}

/**
 * The writer behind every codec's `encode`, which neither awaits nor calls back. Whoever else uses
 * it must finish in the same turn, with no `encode` in between.
 */
export const sharedWriter = new Writer();
