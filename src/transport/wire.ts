/**
 * Writing and reading of the bytes members exchange: little-endian fixed fields and base-128
 * integers. A reader never trusts a length or count it was told, and fails with
 * {@link PeerProtocolError}, which costs the sender its stream and nobody else anything.
 */
import { assert } from '../base/assert.ts';
import { buffer, fromUtf8, utf8 } from '../base/bytes.ts';

/** What a peer sent cannot be understood. */
export class PeerProtocolError extends Error {
  override readonly name = 'PeerProtocolError';
}

/** Bytes of the longest base-128 form of a safe integer: 53 bits at 7 bits a byte. */
export const integerSizeLimitBytes = 8;

/** Fills one buffer whose size was computed before. */
export class FrameWriter {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(sizeLimitBytes: number) {
    this.#bytes = Buffer.allocUnsafe(sizeLimitBytes);
  }

  byte(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  uint16(value: number): void {
    this.#at = this.#bytes.writeUInt16LE(value, this.#at);
  }

  uint32(value: number): void {
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }

  uint64(value: bigint): void {
    this.#at = this.#bytes.writeBigUInt64LE(value, this.#at);
  }

  /** A non-negative safe integer in base 128, lowest digits first. */
  integer(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, `cannot send ${value} as an integer`);
    let rest = value;
    while (rest > 0x7fff_ffff) {
      this.#bytes[this.#at++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      this.#bytes[this.#at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  /** Bytes without their length, for the end of a frame. */
  raw(value: Uint8Array): void {
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  bytes(value: Uint8Array): void {
    this.integer(value.length);
    this.raw(value);
  }

  text(value: string): void {
    this.bytes(utf8(value));
  }

  finish(): Uint8Array {
    assert(this.#at <= this.#bytes.length, 'a frame outgrew its computed size');
    return this.#bytes.subarray(0, this.#at);
  }
}

/** Walks over one frame; byte strings it returns are views of the frame. */
export class FrameReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = buffer(bytes);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    this.#need(1);
    return this.#bytes[this.#at++] ?? 0;
  }

  uint16(): number {
    this.#need(2);
    const value = this.#bytes.readUInt16LE(this.#at);
    this.#at += 2;
    return value;
  }

  uint32(): number {
    this.#need(4);
    const value = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  uint64(): bigint {
    this.#need(8);
    const value = this.#bytes.readBigUInt64LE(this.#at);
    this.#at += 8;
    return value;
  }

  integer(): number {
    let value = 0;
    let scale = 1;
    for (let length = 1; length <= integerSizeLimitBytes; length++) {
      const digit = this.byte();
      value += (digit & 127) * scale;
      if (digit < 128) {
        if (!Number.isSafeInteger(value)) throw new PeerProtocolError('integer above 2^53-1');
        return value;
      }
      scale *= 128;
    }
    throw new PeerProtocolError('integer too long');
  }

  /** How many items follow, each of at least `itemSizeBytes`: refused before anything is built. */
  count(itemSizeBytes: number): number {
    const count = this.integer();
    if (count * itemSizeBytes > this.remaining) {
      throw new PeerProtocolError(`${count} items announced in ${this.remaining} bytes`);
    }
    return count;
  }

  flag(): boolean {
    const value = this.byte();
    if (value > 1) throw new PeerProtocolError(`flag of ${value}`);
    return value === 1;
  }

  bytes(): Uint8Array {
    const length = this.integer();
    this.#need(length);
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  text(): string {
    return fromUtf8(this.bytes());
  }

  /** Everything up to the end of the frame. */
  rest(): Uint8Array {
    const start = this.#at;
    this.#at = this.#bytes.length;
    return this.#bytes.subarray(start);
  }

  /** The frame must end here: left-over bytes mean that the two ends disagree on its form. */
  end(): void {
    if (this.remaining > 0) {
      throw new PeerProtocolError(`${this.remaining} bytes after the end of a frame`);
    }
  }

  #need(count: number): void {
    if (count > this.#bytes.length - this.#at) throw new PeerProtocolError('frame is cut off');
  }
}
