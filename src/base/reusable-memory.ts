/**
 * Memory of large messages that is used again and again. It lies outside of V8's heap, and V8
 * collects everything for what comes and goes there: with a few megabytes for each answer, that
 * costs as much as all other work on them.
 */

/** Pieces have sizes of so many steps between two powers of two, so that they fit again. */
const stepsPerDoubling = 8;
/** A piece that is larger by more than this is left for what needs it. */
const fitFactor = 1.25;
/** Pieces that are kept at most: they are looked through. */
const maxIdlePieces = 256;

export class ReusableMemory {
  readonly #maxIdleBytes: number;
  /** Whoever has them. Those that are never given back are collected like others. */
  readonly #lent = new WeakSet<ArrayBufferLike>();
  /** The longest unused first. */
  readonly #idle: Buffer[] = [];
  #idleBytes = 0;

  /** @param maxIdleBytes beyond it, pieces that are not in use are let go, the oldest first */
  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes;
  }

  /** Not in use, and kept. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** Memory of at least `bytes`, with anything in it. */
  take(bytes: number): Buffer {
    // The last ones are those that the processor's caches have.
    const found = this.#idle.findLastIndex(
      ({ length }) => length >= bytes && length <= bytes * fitFactor,
    );
    const [idle] = found < 0 ? [] : this.#idle.splice(found, 1);
    if (idle !== undefined) this.#idleBytes -= idle.length;
    const memory = idle ?? Buffer.allocUnsafeSlow(roundedUp(bytes));
    this.#lent.add(memory.buffer);
    return memory;
  }

  /** Whether `part` is a view of memory that was taken here and not given back. */
  isLent(part: Uint8Array): boolean {
    return this.#lent.has(part.buffer);
  }

  /**
   * Gives back the memory of which `part` is a view, if it was taken here. Nobody may read it or
   * any view of it from now on, not even the operating system.
   */
  giveBack(part: Uint8Array): void {
    const memory = part.buffer;
    if (!this.#lent.delete(memory) || memory.byteLength > this.#maxIdleBytes) return;
    this.#idle.push(Buffer.from(memory));
    this.#idleBytes += memory.byteLength;
    while (this.#idleBytes > this.#maxIdleBytes || this.#idle.length > maxIdlePieces) {
      const oldest = this.#idle.shift();
      if (oldest === undefined) return;
      this.#idleBytes -= oldest.length;
    }
  }
}

function roundedUp(bytes: number): number {
  const step = Math.max(1, 2 ** Math.floor(Math.log2(bytes)) / stepsPerDoubling);
  return Math.ceil(bytes / step) * step;
}

/** Less is not worth it. */
export const minReusableBytes = 16 * 1024;

/** Of answers: enough for the largest ranges of a few clients that read all the time. */
export const answerMemory = new ReusableMemory(32 * 1024 * 1024);
