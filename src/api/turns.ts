/** Large pieces of work wait for one another: between two of them everybody else gets a turn. */
import type { Clock } from '../base/clock.ts';

export class Turns {
  readonly #clock: Clock;
  /** Those who wait, first come first served: at most one for each open call. */
  readonly #waiting: (() => void)[] = [];
  #scheduled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves in a later turn of the event loop, which is for nobody else who asks here. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.defer(() => {
      this.#scheduled = false;
      this.#waiting.shift()?.();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }
}
