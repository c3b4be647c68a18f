/**
 * Virtual time: everything that happens in a simulation is an event here. The next one is that of
 * the earliest time, and among those of one time the one asked for first.
 */
import type { Trace } from './trace.ts';

/** Something that will happen unless it is cancelled. */
export interface Event {
  readonly atMs: number;
  readonly sequence: number;
  /** Who asked for it: for the trace. */
  readonly owner: number;
  callback: (() => void) | undefined;
}

/** Times are multiples of this, so that no delay is lost to rounding: a power of two. */
export const quantumMs = 1 / 1024;

/**
 * Turns of the microtask queue between two events: about as many as a request takes from the state
 * machine to the client. One that takes more goes on beside the next event, in a fixed order too.
 */
const microtaskTurns = 6;
const settled = Promise.resolve();

export class Scheduler {
  readonly #trace: Trace;
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #sequence = 0;
  /** Events that have happened. */
  count = 0;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, owner: number, callback: () => void): Event {
    const event: Event = {
      atMs: delayMs <= 0 ? this.#nowMs : Math.ceil((this.#nowMs + delayMs) / quantumMs) * quantumMs,
      sequence: this.#sequence++,
      owner,
      callback,
    };
    this.#push(event);
    return event;
  }

  cancel(event: Event): void {
    event.callback = undefined;
  }

  /** Lets events happen until a time, or until something holds, which is looked at after each. */
  async run(untilMs: number, holds?: () => boolean): Promise<void> {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#pop();
      const { callback } = next;
      if (callback === undefined) continue;
      this.#nowMs = next.atMs;
      this.count++;
      this.#trace.event(next);
      callback();
      for (let turn = 0; turn < microtaskTurns; turn++) await settled;
      if (holds?.() === true) return;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as Event;
      if (!before(event, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= length) break;
      if (below + 1 < length && before(heap[below + 1] as Event, heap[below] as Event)) below++;
      const child = heap[below] as Event;
      if (!before(child, last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
