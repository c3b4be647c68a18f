/** The system's clock: the one place from which a running member takes time and deferral. */
import { performance } from 'node:perf_hooks';
import type { Awaited, Clock, Timer } from '../base/clock.ts';

/** Longer delays overflow Node's timers, which would then fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

class SystemTimer implements Timer {
  #handle: NodeJS.Timeout | undefined;

  constructor(delayMs: number, callback: () => void) {
    this.#arm(delayMs, callback);
  }

  cancel(): void {
    clearTimeout(this.#handle);
    this.#handle = undefined;
  }

  /**
   * Rounds up, because setTimeout truncates and a callback must not come early. Delays past
   * Node's limit are waited for in steps.
   */
  #arm(delayMs: number, callback: () => void): void {
    if (delayMs > MAX_TIMER_MS) {
      this.#handle = setTimeout(() => this.#arm(delayMs - MAX_TIMER_MS, callback), MAX_TIMER_MS);
    } else {
      this.#handle = setTimeout(callback, Math.ceil(Math.max(0, delayMs)));
    }
  }
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, callback) => new SystemTimer(delayMs, callback),
  defer: (callback) => {
    setImmediate(callback);
  },
  afterEvent: (callback) => process.nextTick(callback),
};

/** The system's clock for a process that may spend processor time on waking sooner. */
export function busyPollingClock(): Clock {
  /** Few, and until when: a Map would move to a new table with each of them that comes and goes. */
  const awaited: { readonly each: Awaited; untilMs: number }[] = [];
  // Between two immediates the event loop looks for input, and does not sleep.
  const look = (): void => {
    const nowMs = performance.now();
    for (let i = awaited.length - 1; i >= 0; i--) {
      const { each, untilMs } = awaited[i] as (typeof awaited)[number];
      if (!each.isPending || nowMs >= untilMs) awaited.splice(i, 1);
    }
    if (awaited.length > 0) setImmediate(look);
  };
  return {
    ...systemClock,
    keepAwake: (each, forMs) => {
      if (awaited.length === 0) setImmediate(look);
      const untilMs = performance.now() + forMs;
      const known = awaited.find((other) => other.each === each);
      if (known === undefined) awaited.push({ each, untilMs });
      else known.untilMs = untilMs;
    },
  };
}
