/**
 * Time and the order of callbacks, as seen by everything above the raft layer.
 *
 * The daemon wires the system's clock; tests and the simulator wire a virtual one. Code that takes
 * a `Clock` must use no other source of time, delay or deferral, or a run could not be replayed.
 */

/** A pending callback. */
export interface Timer {
  /** Prevents the callback if it has not run yet. Safe to call more than once. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic time in milliseconds with a fraction; its zero is arbitrary. */
  monotonicMs(): number;
  /** Wall-clock time in milliseconds since the Unix epoch. May jump. */
  wallMs(): number;
  /** Calls `callback` once after at least `delayMs` milliseconds. */
  after(delayMs: number, callback: () => void): Timer;
  /** Calls `callback` soon, after the input that is already waiting (like setImmediate). */
  defer(callback: () => void): void;
  /**
   * A hint: something is expected within `forMs`. A clock whose thread would sleep until it comes
   * may keep it awake that long, at most.
   */
  keepAwake?(forMs: number): void;
}
