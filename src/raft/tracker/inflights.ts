/** The window of appends that are on their way to one follower and not yet answered. */

export interface InflightsLimits {
  readonly messages: number;
  /** 0 means no limit. One message may overshoot it, so that a large entry can travel at all. */
  readonly bytes: number;
}

/**
 * A ring of (last index, bytes), oldest first. The arrays grow with use up to the limit of
 * messages: most followers never have more than a few appends under way.
 */
export class Inflights {
  readonly #limits: InflightsLimits;
  readonly #lastIndexes: number[] = [];
  readonly #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(limits: InflightsLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing may be added until an answer frees room. */
  isFull(): boolean {
    const { messages, bytes } = this.#limits;
    return this.#count >= messages || (bytes !== 0 && this.#bytes >= bytes);
  }

  /** Notes an append whose last entry is `lastIndex`; indexes must ascend. */
  add(lastIndex: number, bytes: number): void {
    if (this.isFull()) throw new Error('an append was added to a full window');
    const position = (this.#start + this.#count) % this.#limits.messages;
    this.#lastIndexes[position] = lastIndex;
    this.#sizes[position] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Frees every append whose last entry is at or before `index`. */
  freeTo(index: number): void {
    while (this.#count > 0 && (this.#lastIndexes[this.#start] ?? 0) <= index) {
      this.#bytes -= this.#sizes[this.#start] ?? 0;
      this.#count--;
      this.#start = (this.#start + 1) % this.#limits.messages;
    }
    // An empty window begins anew, which keeps the arrays short.
    if (this.#count === 0) this.#start = 0;
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
