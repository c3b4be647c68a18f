/**
 * The protobuf wire format, read and written in one pass: what the generated codecs are made of.
 *
 * Numbers come in two kinds. A 64-bit integer that is an id is a bigint; any other is a number
 * clamped to ±(2^53-1), so that a revision of 2^63-1 is a far future one and not an error.
 */
import { isUtf8 } from 'node:buffer';
import { buffer } from './bytes.ts';
import { sharedWriter, Writer } from './wire-writer.ts';
import { highAt, lowAt, signedWord, two32, unsignedWord, word } from './words.ts';

export { sharedWriter, Writer };

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
  /** Appends the fields of a message. */
  write(writer: Writer, message: T): void;
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

const emptyBuffer: Uint8Array = Buffer.alloc(0);

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
