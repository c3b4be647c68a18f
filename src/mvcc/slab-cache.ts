/**
 * Memory for records: appended to large slabs, dropped a whole slab at a time, oldest first. A
 * million separate buffers would cost the garbage collector pauses above 100 ms; slabs do not.
 *
 * A slab is never written twice, so bytes handed out stay valid for as long as somebody holds
 * them, even after the cache has dropped their slab.
 */
import { assert } from '../base/assert.ts';
import { ChurnMap } from '../base/churn.ts';

/** Small enough that dropping one loses little, large enough that a million keys need few. */
const slabLimitBytes = 1024 * 1024;
/** Positions count units, so that they stay small integers for the first 16 GiB written. */
const unitBytes = 8;

/** The position of something that is not in the cache. */
export const notCached = -1;

export class SlabCache {
  readonly #budgetBytes: number;
  readonly #slabBytes: number;
  readonly #slabUnits: number;
  /** By number; those dropped are absent. Numbers grow for ever. */
  readonly #slabs = new ChurnMap<number, Buffer>();
  #current: Buffer;
  #currentNumber = 0;
  #nextNumber = 1;
  #oldestNumber = 0;
  #used = 0;
  #heldBytes: number;

  /** @param budgetBytes how much to hold: two slabs or more, which are smaller in a small budget */
  constructor(budgetBytes: number) {
    const half = Math.floor(budgetBytes / (2 * unitBytes)) * unitBytes;
    this.#slabBytes = Math.max(unitBytes, Math.min(half, slabLimitBytes));
    this.#slabUnits = this.#slabBytes / unitBytes;
    this.#budgetBytes = Math.max(budgetBytes, 2 * this.#slabBytes);
    this.#heldBytes = this.#slabBytes;
    this.#current = Buffer.allocUnsafeSlow(this.#slabBytes);
    this.#slabs.set(0, this.#current);
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Makes room for `size` bytes; their position is valid until the budget pushes them out. */
  allocate(size: number): number {
    assert(size > 0, 'an empty record is not cached');
    let start = this.#used;
    if (start + size > this.#current.length) {
      this.#startSlab(size);
      start = 0;
    }
    // Positions tell slabs apart by number, so only the first part of a large one is addressed.
    this.#used =
      size > this.#slabBytes
        ? this.#current.length
        : Math.ceil((start + size) / unitBytes) * unitBytes;
    return this.#currentNumber * this.#slabUnits + start / unitBytes;
  }

  /** The bytes at a position, or undefined if they were pushed out. */
  read(position: number, size: number): Buffer | undefined {
    const slab = this.slabOf(position);
    if (slab === undefined) return undefined;
    const start = this.startOf(position);
    return slab.subarray(start, start + size);
  }

  /** The slab that a position is in, or undefined if it was dropped. */
  slabOf(position: number): Buffer | undefined {
    if (position === notCached) return undefined;
    return this.#slabs.get(Math.floor(position / this.#slabUnits));
  }

  /** Where in its slab a position is, in bytes. */
  startOf(position: number): number {
    return (position % this.#slabUnits) * unitBytes;
  }

  /** Keeps a copy of `bytes` and returns its position. */
  add(bytes: Uint8Array): number {
    const position = this.allocate(bytes.length);
    this.#current.set(bytes, this.startOf(position));
    return position;
  }

  /** A record larger than a slab gets a slab of its own, which counts as several. */
  #startSlab(size: number): void {
    const slabs = Math.ceil(size / this.#slabBytes);
    this.#current = Buffer.allocUnsafeSlow(slabs * this.#slabBytes);
    this.#currentNumber = this.#nextNumber;
    this.#nextNumber += slabs;
    this.#slabs.set(this.#currentNumber, this.#current);
    this.#heldBytes += this.#current.length;
    while (this.#heldBytes > this.#budgetBytes && this.#oldestNumber < this.#currentNumber) {
      const oldest = this.#slabs.get(this.#oldestNumber);
      if (oldest !== undefined) {
        this.#slabs.delete(this.#oldestNumber);
        this.#heldBytes -= oldest.length;
      }
      this.#oldestNumber++;
    }
  }
}
