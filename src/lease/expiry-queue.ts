/**
 * Leases in the order in which they run out: a binary heap that is only as exact as it needs to be.
 * A renewal, by far the most frequent change, does not touch it; a lease that turns out to have
 * more time when it comes to the front goes back to its new place then.
 */

/** What the queue needs of a lease in it; only the queue sets `queuedMs`. */
export interface Expiring {
  /** When it runs out, in milliseconds of some clock. */
  expiryMs: number;
  /** Where it stands in the queue, never later than `expiryMs`; or {@link notQueued}. */
  queuedMs: number;
}

export const notQueued = Number.POSITIVE_INFINITY;

interface Place<Item> {
  readonly item: Item;
  readonly ms: number;
}

/** Void places up to this number are not worth the work of removing them. */
const voidPlacesMin = 1024;

export class ExpiryQueue<Item extends Expiring> {
  #heap: Place<Item>[] = [];
  /** Items in the queue: each has one place that counts. */
  #items = 0;

  /** Places, also those that an earlier time of the same item has made void. */
  get size(): number {
    return this.#heap.length;
  }

  clear(): void {
    for (const { item } of this.#heap) item.queuedMs = notQueued;
    this.#heap = [];
    this.#items = 0;
  }

  /** Takes an item in, or notes that its time has changed. */
  update(item: Item): void {
    // Later than where it stands: it is found out when it comes to the front.
    if (item.expiryMs >= item.queuedMs) return;
    if (item.queuedMs === notQueued) this.#items++;
    this.#push(item, item.expiryMs);
  }

  /** Takes an item out. */
  remove(item: Item): void {
    if (item.queuedMs === notQueued) return;
    item.queuedMs = notQueued;
    this.#items--;
    // Its place stays until it comes to the front, or until there are too many such.
    if (this.#heap.length > voidPlacesMin + 2 * this.#items) this.#rebuild();
  }

  /** Whether any item has run out at `nowMs`. */
  hasExpired(nowMs: number): boolean {
    return this.#settledFirst(nowMs) !== undefined;
  }

  /** Takes out up to `limit` items that have run out at `nowMs`, those first that ran out first. */
  takeExpired(nowMs: number, limit: number): Item[] {
    const taken: Item[] = [];
    while (taken.length < limit) {
      const item = this.#settledFirst(nowMs);
      if (item === undefined) break;
      this.#pop();
      item.queuedMs = notQueued;
      this.#items--;
      taken.push(item);
    }
    return taken;
  }

  /** The first item, if it has run out at `nowMs`. Those before it go where they belong by now. */
  #settledFirst(nowMs: number): Item | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.ms > nowMs) return undefined;
      const { item } = first;
      const counts = item.queuedMs === first.ms;
      if (counts && item.expiryMs <= first.ms) return item;
      this.#pop();
      if (counts) this.#push(item, item.expiryMs);
    }
  }

  #rebuild(): void {
    const places = this.#heap;
    this.#heap = [];
    for (const { item, ms } of places) if (item.queuedMs === ms) this.#push(item, ms);
  }

  #push(item: Item, ms: number): void {
    item.queuedMs = ms;
    const place = { item, ms };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(place);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      const above = heap[parent] as Place<Item>;
      if (above.ms <= ms) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = place;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let least = 2 * at + 1;
      if (least >= heap.length) break;
      const right = least + 1;
      if (
        right < heap.length &&
        (heap[right] as Place<Item>).ms < (heap[least] as Place<Item>).ms
      ) {
        least = right;
      }
      const below = heap[least] as Place<Item>;
      if (below.ms >= last.ms) break;
      heap[at] = below;
      at = least;
    }
    heap[at] = last;
  }
}
