/** Callers that wait for the outcome of their proposal, found by request id (etcd: pkg/wait). */
import { ChurnMap } from '../base/churn.ts';
import type { Clock, Timer } from '../base/clock.ts';

interface Waiter<Outcome> {
  readonly id: bigint;
  readonly startedMs: number;
  readonly settle: (outcome: Outcome | undefined, startedMs: number) => void;
}

/**
 * All waiters share one timeout, so the oldest is always the next to expire and one timer serves
 * them all.
 */
export class WaitList<Outcome> {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** In order of registration. */
  readonly #waiters = new ChurnMap<bigint, Waiter<Outcome>>();
  #timer: Timer | undefined;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** `settle` gets the outcome, or undefined if it did not come in time. */
  register(id: bigint, settle: Waiter<Outcome>['settle']): void {
    this.#waiters.set(id, { id, startedMs: this.#clock.monotonicMs(), settle });
    if (this.#timer === undefined) this.#arm(this.#timeoutMs);
  }

  has(id: bigint): boolean {
    return this.#waiters.has(id);
  }

  /** Does nothing if nobody here waits for `id`: then another member took the request. */
  trigger(id: bigint, outcome: Outcome): void {
    const waiter = this.#waiters.get(id);
    if (waiter === undefined) return;
    this.#waiters.delete(id);
    waiter.settle(outcome, waiter.startedMs);
  }

  /** Settles everyone, e.g. when the server stops. */
  triggerAll(outcome: Outcome): void {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const waiter of waiters) waiter.settle(outcome, waiter.startedMs);
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => {
      this.#expire();
    });
  }

  #expire(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    for (const waiter of this.#waiters.values()) {
      const leftMs = waiter.startedMs + this.#timeoutMs - nowMs;
      if (leftMs > 0) {
        this.#arm(leftMs);
        return;
      }
      this.#waiters.delete(waiter.id);
      waiter.settle(undefined, waiter.startedMs);
    }
  }
}
