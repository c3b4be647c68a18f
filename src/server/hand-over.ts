/** How a leader that is about to stop has another one take over. */
import type { Clock, Timer } from '../base/clock.ts';

/** How long a stopping leader waits for another to take over. */
const transferTimeoutMs = 1000;

export class HandOver {
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #done: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `done` is called when another leads, or when that takes too long. */
  begin(done: () => void): void {
    this.#done = done;
    this.#timer = this.#clock.after(transferTimeoutMs, () => this.complete());
  }

  complete(): void {
    const done = this.#done;
    this.#done = undefined;
    this.#timer?.cancel();
    done?.();
  }
}
