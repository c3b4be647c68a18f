/** What has come of a request that comes in pieces. */
import type { ConnectionMemory } from './connection-memory.ts';

/** Compression flag and length in front of every message. */
export const PREFIX_BYTES = 5;

/** Why a message is refused of which no more can be kept. */
export const TOO_MANY_INCOMPLETE = 'etcdserver: too many incomplete requests';

/** Capacity for the first piece of a message; it doubles from there. */
const firstCapacityBytes = 1024;

/**
 * Pieces are copied together at once: kept apart, each would cost a buffer object and keep all the
 * memory that was read from its connection with it, a hundred bytes and more for a piece of one.
 */
export class PartialMessage {
  readonly #memory: ConnectionMemory;
  #bytes: Buffer | undefined;
  #length = 0;

  constructor(memory: ConnectionMemory) {
    this.#memory = memory;
  }

  get length(): number {
    return this.#length;
  }

  /** What has come so far: a view that is valid until the next change. */
  get bytes(): Buffer {
    return this.#bytes?.subarray(0, this.#length) ?? Buffer.alloc(0);
  }

  /** Adds a piece. Returns false if there is no memory for it. */
  append(piece: Uint8Array): boolean {
    const length = this.#length + piece.length;
    const held = this.#bytes?.length ?? 0;
    if (length > held) {
      const capacity = Math.max(firstCapacityBytes, 2 * held, length);
      if (!this.#memory.take(capacity - held)) return false;
      const bytes = Buffer.allocUnsafeSlow(capacity);
      if (this.#bytes !== undefined) bytes.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = bytes;
    }
    this.#bytes?.set(piece, this.#length);
    this.#length = length;
    return true;
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
    this.#length = 0;
  }
}
