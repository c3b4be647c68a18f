/** How a leader that is about to stop has another one take over. */
import type { Clock, Timer } from '../base/clock.ts';

/** How long a stopping leader waits for another to take over. */
const transferTimeoutMs = 1000;

/**
 * Heartbeats for which it goes on after that. Others may take it for their leader until the new one
 * has told them, and it passes on what they send.
 */
const lingerHeartbeats = 2;

export class HandOver {
  readonly #clock: Clock;
  readonly #lingerMs: number;
  #timer: Timer | undefined;
  #done: (() => void) | undefined;

  constructor(clock: Clock, heartbeatMs: number) {
    this.#clock = clock;
    this.#lingerMs = Math.min(lingerHeartbeats * heartbeatMs, transferTimeoutMs);
  }

  /** `done` is called when another leads and all know it, or when that takes too long. */
  begin(done: () => void): void {
    this.#done = done;
    this.#timer = this.#clock.after(transferTimeoutMs, done);
  }

  /** Another leads. */
  complete(): void {
    const done = this.#done;
    if (done === undefined) return;
    this.#done = undefined;
    this.#timer?.cancel();
    this.#clock.after(this.#lingerMs, done);
  }
}
