/**
 * Calls that are made later, all that were asked for in one turn of the event loop together: what
 * they bring about, such as a thousand watchers' events on one connection, can then leave together.
 */
import type { Clock } from './clock.ts';

export class DeferredCalls {
  readonly clock: Clock;
  #calls: (() => void)[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
  }

  add(call: () => void): void {
    if (this.#calls.push(call) > 1) return;
    this.clock.defer(() => {
      const calls = this.#calls;
      this.#calls = [];
      for (const each of calls) each();
    });
  }
}
