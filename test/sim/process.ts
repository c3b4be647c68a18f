/**
 * One life of a member, as its code sees the world: a clock that may run fast, jump or stand still,
 * and callbacks that never come once the process is dead.
 */
import type { Clock, Timer } from '../../src/base/clock.ts';
import { quantumMs, type Scheduler } from './scheduler.ts';

/** Wall time at the start of every simulation. */
const epochMs = 1_700_000_000_000;

export interface ProcessOptions {
  readonly scheduler: Scheduler;
  readonly owner: number;
  /** Local milliseconds per millisecond of the simulation. */
  readonly rate: number;
  /** Called when a callback throws: the process ends by it, as by an uncaught exception. */
  readonly onThrow: (error: unknown) => void;
}

/** Ends a callback in the middle, as the end of its process does. */
export class ProcessEnded extends Error {
  override readonly name = 'ProcessEnded';
}

export class Process implements Clock {
  /** The one whose code runs now. */
  static current: Process | undefined;
  readonly #options: ProcessOptions;
  readonly #startMs: number;
  #wallOffsetMs = 0;
  #dead = false;
  #paused: (() => void)[] | undefined;
  /** How often it was paused. */
  pauses = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#startMs = options.scheduler.nowMs;
  }

  get owner(): number {
    return this.#options.owner;
  }

  get alive(): boolean {
    return !this.#dead;
  }

  get paused(): boolean {
    return this.#paused !== undefined;
  }

  monotonicMs(): number {
    const { scheduler, rate } = this.#options;
    return (scheduler.nowMs - this.#startMs) * rate;
  }

  wallMs(): number {
    return Math.floor(epochMs + this.#options.scheduler.nowMs + this.#wallOffsetMs);
  }

  after(delayMs: number, callback: () => void): Timer {
    const { scheduler, owner, rate } = this.#options;
    let cancelled = false;
    const run = (): void => {
      if (!cancelled) this.run(callback);
    };
    // A timer never comes early: a clock of another rate rounds, so it waits a quantum longer.
    const worldMs = delayMs <= 0 || rate === 1 ? delayMs : delayMs / rate + quantumMs;
    const event = scheduler.after(worldMs, owner, () => {
      if (this.#dead || cancelled) return;
      if (this.#paused === undefined) run();
      else this.#paused.push(run);
    });
    return {
      cancel: () => {
        cancelled = true;
        scheduler.cancel(event);
      },
    };
  }

  defer(callback: () => void): void {
    this.after(0, callback);
  }

  /** Input from outside: taken at once, or when the process goes on. */
  deliver(callback: () => void): void {
    if (this.#paused === undefined) this.run(callback);
    else this.#paused.push(() => this.run(callback));
  }

  /** Runs code as part of the process: what it throws ends the process. */
  run(callback: () => void): void {
    if (this.#dead) return;
    const before = Process.current;
    Process.current = this;
    try {
      callback();
    } catch (thrown) {
      if (!(thrown instanceof ProcessEnded)) this.#options.onThrow(thrown);
    } finally {
      Process.current = before;
    }
  }

  /** Wall time jumps; monotonic time does not. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  pause(): void {
    this.#paused ??= [];
    this.pauses++;
  }

  /** What was due while the process stood still happens now, in the order in which it was due. */
  resume(): void {
    const due = this.#paused;
    this.#paused = undefined;
    if (due === undefined) return;
    // One that pauses or kills the process leaves the rest for later, or for never.
    for (const run of due) this.deliver(run);
  }

  kill(): void {
    this.#dead = true;
    this.#paused = undefined;
  }
}
