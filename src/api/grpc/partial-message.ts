/** What has come of a request that comes in pieces. */
import { StatusCode } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';
import type { ConnectionMemory } from './connection-memory.ts';

/** Why a message is refused of which no more can be kept. */
export const tooManyIncomplete: StatusObject = {
  code: StatusCode.resourceExhausted,
  details: 'etcdserver: too many incomplete requests',
};

/** Capacity for the first piece of a message; it doubles from there. */
const firstCapacityBytes = 1024;

/**
 * Pieces are copied together at once: kept apart, each would cost a buffer object and keep all the
 * memory that was read from its connection with it, a hundred bytes and more for a piece of one.
 */
export class PartialMessage {
  readonly #memory: ConnectionMemory;
  #bytes: Buffer | undefined;
  #start = 0;
  #end = 0;

  constructor(memory: ConnectionMemory) {
    this.#memory = memory;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** What has come so far: a view that is valid until the next change. */
  get bytes(): Buffer {
    return this.#bytes?.subarray(this.#start, this.#end) ?? Buffer.alloc(0);
  }

  /** Adds a piece. Returns false if there is no memory for it. */
  append(piece: Uint8Array): boolean {
    const { length } = this;
    const held = this.#bytes?.length ?? 0;
    if (this.#end + piece.length > held) {
      if (!this.#makeRoom(length + piece.length, held)) return false;
      this.#start = 0;
      this.#end = length;
    }
    this.#bytes?.set(piece, this.#end);
    this.#end += piece.length;
    return true;
  }

  /** Moves what there is to the beginning, of a larger buffer if need be. */
  #makeRoom(length: number, held: number): boolean {
    if (length <= held / 2) {
      this.#bytes?.copyWithin(0, this.#start, this.#end);
      return true;
    }
    const capacity = Math.max(firstCapacityBytes, 2 * held, length);
    if (!this.#memory.take(capacity - held)) return false;
    const bytes = Buffer.allocUnsafeSlow(capacity);
    bytes.set(this.bytes);
    this.#bytes = bytes;
    return true;
  }

  /** Forgets so many bytes at the beginning. */
  drop(count: number): void {
    if (count >= this.length) this.clear();
    else this.#start += count;
  }

  /** Forgets everything and returns it: the caller's own from now on. */
  take(): Buffer {
    const { bytes } = this;
    this.clear();
    return bytes;
  }

  clear(): void {
    if (this.#bytes === undefined) return;
    this.#memory.release(this.#bytes.length);
    this.#bytes = undefined;
    this.#start = 0;
    this.#end = 0;
  }
}
