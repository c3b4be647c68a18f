/** Time that moves only when a test says so: callbacks run in order of time, then of request. */
import type { Awaited, Clock, Timer } from '../../src/base/clock.ts';

interface Scheduled {
  readonly atMs: number;
  readonly sequence: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #sequence = 0;
  #scheduled: Scheduled[] = [];
  /** For how long it was asked to stay awake, each time. */
  readonly awakeMs: number[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const scheduled = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      sequence: this.#sequence++,
      callback,
    };
    this.#scheduled.push(scheduled);
    return {
      cancel: () => {
        this.#scheduled = this.#scheduled.filter((other) => other !== scheduled);
      },
    };
  }

  defer(callback: () => void): void {
    this.after(0, callback);
  }

  keepAwake(_awaited: Awaited, forMs: number): void {
    this.awakeMs.push(forMs);
  }

  /** Callbacks that have not run. */
  get pending(): number {
    return this.#scheduled.length;
  }

  /** Runs what is due now, and what that asks for, without moving time. */
  runDue(): void {
    this.advance(0);
  }

  /** Moves time on and runs nothing: the process is stopped. */
  skip(ms: number): void {
    this.#nowMs += ms;
  }

  /** Moves time on and runs every callback that becomes due, each at its own time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      const taken = next;
      this.#scheduled = this.#scheduled.filter((other) => other !== taken);
      next.callback();
    }
    this.#nowMs = endMs;
  }

  #next(endMs: number): Scheduled | undefined {
    let first: Scheduled | undefined;
    for (const each of this.#scheduled) {
      if (each.atMs > endMs) continue;
      if (first === undefined || before(each, first)) first = each;
    }
    return first;
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
