/**
 * What an event loop waits for again and again: an answer of other members, a write, a request.
 *
 * To sleep until it comes costs tens of microseconds, until the processor has woken and its caches
 * are warm again, and more of its time than to look for it now and then (Go's scheduler spins
 * before it parks a thread, Linux polls a socket busily, for the same reason). So the loop stays
 * awake while what it waits for usually comes soon. Where it takes longer it sleeps: then staying
 * awake would gain little and cost much.
 */
import type { Awaited, Clock } from './clock.ts';

/** For answers of the disk and of members at the same site: several times what waking costs. */
export const soonMs = 0.6;
/** A wait counts as so many times the limit at most, so that a pause is soon forgotten. */
const longestCounted = 4;
/** The part of a new wait in the average. */
const newest = 1 / 8;

export class ExpectedWait implements Awaited {
  readonly #clock: Clock;
  readonly #limitMs: number;
  #averageMs: number;
  #startMs: number | undefined;

  /** @param limitMs the loop stays awake for what takes no longer than this on average */
  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#averageMs = longestCounted * limitMs;
  }

  /** Whether a wait has begun that has not ended. */
  get isPending(): boolean {
    return this.#startMs !== undefined;
  }

  /** The wait begins, unless one has begun already. */
  begin(): void {
    if (this.#startMs !== undefined) return;
    this.#startMs = this.#clock.monotonicMs();
    if (this.#averageMs > this.#limitMs) return;
    this.#clock.keepAwake?.(this, Math.min(2 * this.#averageMs, this.#limitMs));
  }

  /** It has come; nothing happens if no wait has begun. */
  end(): void {
    if (this.#startMs === undefined) return;
    const tookMs = this.#clock.monotonicMs() - this.#startMs;
    this.#startMs = undefined;
    const countedMs = Math.min(tookMs, longestCounted * this.#limitMs);
    this.#averageMs += newest * (countedMs - this.#averageMs);
  }

  /** It will not come. */
  abandon(): void {
    this.#startMs = undefined;
  }
}
