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

/** Something that is on its way. */
export interface Awaited {
  /** False once it has come, or will not come. */
  readonly isPending: boolean;
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
   * Calls `callback` before the next event; if a promise asks for it, after all promises that are
   * settled by then (like process.nextTick). Where it is missing, `defer` does.
   */
  afterEvent?(callback: () => void): void;
  /**
   * A hint: `awaited` is expected soon. A clock whose thread would sleep until it comes may keep it
   * awake, at most for `forMs`.
   */
  keepAwake?(awaited: Awaited, forMs: number): void;
}
