/**
 * Keeps V8's full collections short while calls come fast. Node makes a string outside of V8's heap
 * of each header that a client sends, in the old space, where only a full collection finds that it
 * is not used any more; it lets go of them one after the other while the event loop stands still:
 * about half a microsecond for a call. V8 sees a few bytes of each, and lets a quarter of a million
 * calls come together. So it is asked sooner.
 */
import { getHeapStatistics } from 'node:v8';

/** Calls after which it is asked, at least: they hold up the event loop for some 10 ms. */
const callsMin = 20_000;
/** At most: what they hold up the event loop is less than 100 ms by far. */
const callsMax = 60_000;
/** In between, one for so much of the heap: to mark what is in use is work for other threads. */
const heapBytesPerCall = 4096;

/**
 * V8 begins a collection beside the work when so much has been allocated outside of its heap; it is
 * not written to, and so takes no memory.
 */
const externalBytes = 64 * 1024 * 1024;

export class CollectionPace {
  readonly #ask: () => void;
  readonly #heapBytes: () => number;
  #calls = 0;
  #lookAt = callsMin;

  constructor(ask: () => void, heapBytes: () => number) {
    this.#ask = ask;
    this.#heapBytes = heapBytes;
  }

  /** A call of gRPC has come. */
  called(): void {
    if (++this.#calls < this.#lookAt) return;
    const enough = Math.min(this.#heapBytes() / heapBytesPerCall, callsMax);
    if (this.#calls < enough) {
      this.#lookAt = enough;
      return;
    }
    this.#calls = 0;
    this.#lookAt = callsMin;
    this.#ask();
  }
}

function allocateOutside(): void {
  try {
    new ArrayBuffer(externalBytes);
  } catch {
    // Where memory is promised only as far as it is there, V8 goes on by itself.
  }
}

/** Of this process, as V8's heap is. */
export const collectionPace = new CollectionPace(
  allocateOutside,
  () => getHeapStatistics().used_heap_size,
);
