/**
 * The protobuf wire format, read and written in one pass: what the generated codecs are made of.
 *
 * Numbers come in two kinds. A 64-bit integer that is an id is a bigint; any other is a number
 * clamped to ±(2^53-1), so that a revision of 2^63-1 is a far future one and not an error.
 */
import { isUtf8 } from 'node:buffer';
import { buffer } from './bytes.ts';

/** Under this key a message may carry its encoding, which is written in place of its fields. */
export const preencoded: unique symbol = Symbol('preencoded');

/** Messages nested deeper are refused: each level costs a frame of the stack. */
export const nestingMax = 1000;

/** Input that is not a message of the expected type. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Fields of a message by number, with their names in Go, which refusals tell. */
export type FieldNames = Readonly<Record<number, string>>;

/** Encodes and decodes one type of message. */
export interface Codec<T> {
  /** The result may share memory with other results: copy what is kept for long. */
  encode(message: T): Uint8Array;
  /** Fields of type bytes are views of `bytes`. Throws {@link WireError}. */
  decode(bytes: Uint8Array): T;
  /** The message with default values where `partial` has none. */
  create(partial?: Partial<T>): T;
}

/** One method of a gRPC service. */
export interface MethodDefinition<Request, Response> {
  readonly name: string;
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

/** Small results are cut from chunks of this size: one allocation serves many messages. */
const chunkSizeBytes = 32 * 1024;

const word = new Uint32Array(2);
const signedWord = new BigInt64Array(word.buffer);
const unsignedWord = new BigUint64Array(word.buffer);
const [lowAt, highAt] =
  new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? ([0, 1] as const) : ([1, 0] as const);
const emptyBuffer: Uint8Array = Buffer.alloc(0);

const two32 = 0x1_0000_0000;

/** Appends fields to a growing buffer. A nested message's length is filled in when it is closed. */
export class Writer {
  #bytes: Buffer;
  #start = 0;
  #at = 0;

  /** @param roomBytes what is expected to be written; more makes it grow */
  constructor(roomBytes: number = chunkSizeBytes) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.ceil(roomBytes));
  }

  /** Memory that it has. */
  get capacityBytes(): number {
    return this.#bytes.length;
  }

  /** Written since the last `finish`. */
  get sizeBytes(): number {
    return this.#at - this.#start;
  }

  /** Forgets what has been written since the last `finish`. */
  reset(): this {
    this.#at = this.#start;
    return this;
  }

  /** What has been written since the last `finish`. The bytes are never written again. */
  finish(): Uint8Array {
    const result = this.#bytes.subarray(this.#start, this.#at);
    this.#start = this.#at;
    if (this.#bytes.length > chunkSizeBytes) {
      // Small messages must not keep the memory of a large one that came before them.
      this.#bytes = Buffer.allocUnsafeSlow(chunkSizeBytes);
      this.#start = 0;
      this.#at = 0;
    }
    return result;
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

/** Reads fields from a span of bytes. */
export class Reader {
  readonly #bytes: Buffer;
  /** Position of the next byte. */
  at = 0;
  /** End of the innermost open message. */
  end: number;
  #depth = 0;
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = buffer(bytes);
    this.end = bytes.length;
  }

  /** Enters a nested message and returns the enclosing one's end, which `leave` restores. */
  enter(): number {
    const end = this.#span();
    if (++this.#depth > nestingMax) throw new WireError(`nested deeper than ${nestingMax}`);
    const outer = this.end;
    this.end = end;
    return outer;
  }

  leave(outer: number): void {
    this.#depth--;
    this.at = this.end;
    this.end = outer;
  }

  /** Field number and wire type: the number times eight plus the type. */
  tag(): number {
    if (this.at < this.end) {
      const byte = this.#bytes[this.at] as number;
      if (byte < 0x80 && byte >= 8) {
        this.at++;
        return byte;
      }
    }
    this.#varint();
    if (this.#high !== 0 || this.#low < 8) throw new WireError('illegal field number');
    return this.#low;
  }

  uint32(): number {
    this.#varint();
    return this.#low;
  }

  /** Also for enums: values that are not known stay what they are. */
  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  /** A signed 64-bit integer, clamped to what a number holds exactly. */
  int64Number(): number {
    this.#varint();
    if (this.#high === 0) return this.#low;
    const high = this.#high | 0;
    if (high >= 0x20_0000) return Number.MAX_SAFE_INTEGER;
    if (high < -0x20_0000) return Number.MIN_SAFE_INTEGER;
    return Math.max(high * two32 + this.#low, Number.MIN_SAFE_INTEGER);
  }

  /** An unsigned 64-bit integer, clamped to what a number holds exactly. */
  uint64Number(): number {
    this.#varint();
    if (this.#high >= 0x20_0000) return Number.MAX_SAFE_INTEGER;
    return this.#high * two32 + this.#low;
  }

  int64(): bigint {
    this.#varint();
    if (this.#high === 0) return this.#low === 0 ? 0n : BigInt(this.#low);
    word[lowAt] = this.#low;
    word[highAt] = this.#high;
    return signedWord[0] as bigint;
  }

  uint64(): bigint {
    this.#varint();
    if (this.#high === 0) return this.#low === 0 ? 0n : BigInt(this.#low);
    word[lowAt] = this.#low;
    word[highAt] = this.#high;
    return unsignedWord[0] as bigint;
  }

  fixed32(): number {
    const at = this.#advance(4);
    return this.#bytes.readUInt32LE(at);
  }

  fixed64(): bigint {
    const at = this.#advance(8);
    return this.#bytes.readBigUInt64LE(at);
  }

  double(): number {
    const at = this.#advance(8);
    return this.#bytes.readDoubleLE(at);
  }

  /** A view of the input. */
  bytes(): Uint8Array {
    const end = this.#span();
    const { at } = this;
    this.at = end;
    return at === end ? emptyBuffer : this.#bytes.subarray(at, end);
  }

  string(): string {
    const end = this.#span();
    const { at } = this;
    this.at = end;
    if (at === end) return '';
    const bytes = this.#bytes;
    for (let i = at; i < end; i++) {
      if ((bytes[i] as number) >= 0x80) {
        if (!isUtf8(bytes.subarray(i, end))) {
          throw new WireError('string field contains invalid UTF-8');
        }
        return bytes.toString('utf8', at, end);
      }
    }
    return bytes.toString('latin1', at, end);
  }

  /**
   * Steps over a field that no case of the message takes. One that is known and comes as another
   * wire type is refused, as etcd does: a request must not be taken for one that leaves it out.
   */
  unknown(tag: number, names: FieldNames): void {
    const name = names[tag >>> 3];
    if (name !== undefined) {
      throw new WireError(`proto: wrong wireType = ${tag & 7} for field ${name}`);
    }
    this.skip(tag);
  }

  /** Steps over the value of a field that is not known. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint();
        return;
      case 1:
        this.#advance(8);
        return;
      case 2:
        this.at = this.#span();
        return;
      case 3:
        this.#skipGroup(tag >>> 3);
        return;
      case 5:
        this.#advance(4);
        return;
      default:
        throw new WireError(`illegal wire type ${tag & 7}`);
    }
  }

  #skipGroup(field: number): void {
    if (++this.#depth > nestingMax) throw new WireError(`nested deeper than ${nestingMax}`);
    for (;;) {
      const tag = this.tag();
      if ((tag & 7) === 4) {
        if (tag >>> 3 !== field) throw new WireError('mismatched end of group');
        break;
      }
      this.skip(tag);
    }
    this.#depth--;
  }

  /** Reads a length and returns where so many bytes end. */
  #span(): number {
    this.#varint();
    const end = this.at + this.#low;
    if (this.#high !== 0 || end > this.end) throw new WireError('unexpected end of input');
    return end;
  }

  #advance(size: number): number {
    const { at } = this;
    if (at + size > this.end) throw new WireError('unexpected end of input');
    this.at = at + size;
    return at;
  }

  /** Reads a varint of up to 64 bits into `#low` and `#high`. */
  #varint(): void {
    const bytes = this.#bytes;
    const { end } = this;
    let { at } = this;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (at >= end) throw new WireError('unexpected end of input');
      const byte = bytes[at++] as number;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#low = low;
        this.#high = 0;
        this.at = at;
        return;
      }
    }
    this.at = at;
    this.#longVarint(low);
  }

  /** The rest of a varint, from its fifth byte on. */
  #longVarint(low: number): void {
    const bytes = this.#bytes;
    const { end } = this;
    let { at } = this;
    if (at >= end) throw new WireError('unexpected end of input');
    let byte = bytes[at++] as number;
    low |= (byte & 0x0f) << 28;
    let high = (byte & 0x7f) >>> 4;
    for (let shift = 3; byte >= 0x80; shift += 7) {
      if (shift > 31) throw new WireError('varint is longer than 64 bits');
      if (at >= end) throw new WireError('unexpected end of input');
      byte = bytes[at++] as number;
      if (shift === 31 && byte > 1) throw new WireError('varint is longer than 64 bits');
      high |= (byte & 0x7f) << shift;
    }
    this.#low = low >>> 0;
    this.#high = high >>> 0;
    this.at = at;
  }
}
