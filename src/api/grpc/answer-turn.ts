/**
 * Has the streams that were answered in one turn of the event loop send their answers together, so
 * that those of one connection leave in one piece: an event for each of a thousand watchers, say.
 */
import type { Clock } from '../../base/clock.ts';

export class AnswerTurn {
  readonly clock: Clock;
  #flushes: (() => void)[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Calls `flush` later, together with others. */
  add(flush: () => void): void {
    if (this.#flushes.push(flush) > 1) return;
    this.clock.defer(() => {
      const flushes = this.#flushes;
      this.#flushes = [];
      for (const each of flushes) each();
    });
  }
}
