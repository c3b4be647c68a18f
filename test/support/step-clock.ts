/** A clock for tests that cut a run short at any step. */
import type { Clock } from '../../src/base/clock.ts';

/** Runs one callback at a time, in the order in which they were asked for. */
export class StepClock implements Clock {
  readonly #queue: { callback: (() => void) | undefined }[] = [];
  steps = 0;

  monotonicMs(): number {
    return this.steps;
  }

  wallMs(): number {
    return this.steps;
  }

  after(_delayMs: number, callback: () => void): { cancel(): void } {
    const item: { callback: (() => void) | undefined } = { callback };
    this.#queue.push(item);
    return {
      cancel: () => {
        item.callback = undefined;
      },
    };
  }

  defer(callback: () => void): void {
    this.after(0, callback);
  }

  /** Runs up to `limit` callbacks; whether all that was asked for is done. */
  run(limit: number): boolean {
    for (let left = limit; left > 0;) {
      const item = this.#queue.shift();
      if (item === undefined) return true;
      if (item.callback === undefined) continue;
      this.steps += 1;
      left -= 1;
      item.callback();
    }
    return false;
  }
}
