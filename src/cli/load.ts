/** Load for the checks: many clients that put keys, and what came of it. */
import { randomFillSync } from 'node:crypto';
import type { Client } from '../client/index.ts';
import { failureText } from './failure.ts';

/** Time between looks at how many requests are due, in milliseconds. */
const tickMs = 5;
/** Random bytes of a key: no two of millions are the same. */
const randomBytes = 10;

/** What requests took, and of what they failed. */
export interface LoadResult {
  /** Successes a second. */
  readonly perSecond: number;
  /** The longest time, in seconds. */
  readonly slowest: number;
  /** Standard deviation of the times, in seconds. */
  readonly deviation: number;
  /** Number of failures by their text. */
  readonly failures: ReadonlyMap<string, number>;
}

export interface LoadShape {
  readonly prefix: Uint8Array;
  readonly keyBytes: number;
  readonly valueBytes: number;
}

/** Puts keys, with one request at a time for each client. */
export class Load {
  readonly #idle: Client[];
  readonly #clients: number;
  readonly #shape: LoadShape;
  readonly #value: Uint8Array;
  readonly #startedMs = performance.now();
  readonly #seconds: number[] = [];
  readonly #failures = new Map<string, number>();
  #waiting = 0;
  #onIdle: () => void = () => undefined;

  constructor(clients: readonly Client[], shape: LoadShape) {
    this.#idle = [...clients];
    this.#clients = clients.length;
    this.#shape = shape;
    this.#value = new Uint8Array(shape.valueBytes);
  }

  get finished(): number {
    return this.#seconds.length;
  }

  /** Puts `count` keys as fast as it goes. */
  async putAll(count: number): Promise<LoadResult> {
    this.#waiting = count;
    this.#begin();
    return this.#ended();
  }

  /**
   * Puts that many keys a second. What the clients cannot take is not made up for later, beyond one
   * waiting request for each of them.
   *
   * @param isOver asked from time to time, with the milliseconds since the beginning; requests that
   * have begun or wait are finished then
   */
  async putEvenly(perSecond: number, isOver: (sinceMs: number) => boolean): Promise<LoadResult> {
    let due = 0;
    let lastMs = performance.now();
    while (!isOver(lastMs - this.#startedMs)) {
      await new Promise((resolve) => setTimeout(resolve, tickMs));
      const nowMs = performance.now();
      due += ((nowMs - lastMs) * perSecond) / 1000;
      lastMs = nowMs;
      const taken = Math.min(Math.floor(due), this.#idle.length + this.#clients - this.#waiting);
      this.#waiting += taken;
      due = Math.min(due - taken, 1);
      this.#begin();
    }
    return this.#ended();
  }

  get #isIdle(): boolean {
    return this.#waiting === 0 && this.#idle.length === this.#clients;
  }

  #begin(): void {
    for (; this.#waiting > 0; this.#waiting--) {
      const client = this.#idle.pop();
      if (client === undefined) return;
      void this.#put(client).then(() => {
        this.#idle.push(client);
        this.#begin();
        if (this.#isIdle) this.#onIdle();
      });
    }
  }

  async #put(client: Client): Promise<void> {
    const beganMs = performance.now();
    try {
      await client.put({ key: this.#key(), value: this.#value });
      this.#seconds.push((performance.now() - beganMs) / 1000);
    } catch (error) {
      const text = failureText(error);
      this.#failures.set(text, (this.#failures.get(text) ?? 0) + 1);
    }
  }

  /** The prefix, random bytes and zeros. */
  #key(): Uint8Array {
    const { prefix, keyBytes } = this.#shape;
    const key = new Uint8Array(prefix.length + keyBytes);
    key.set(prefix);
    randomFillSync(key, prefix.length, randomBytes);
    return key;
  }

  async #ended(): Promise<LoadResult> {
    if (!this.#isIdle) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    return resultOf(this.#seconds, this.#failures, (performance.now() - this.#startedMs) / 1000);
  }
}

export function resultOf(
  seconds: readonly number[],
  failures: ReadonlyMap<string, number>,
  totalSeconds: number,
): LoadResult {
  const count = seconds.length;
  const mean = seconds.reduce((sum, each) => sum + each, 0) / count;
  const squares = seconds.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  return {
    perSecond: count / totalSeconds,
    slowest: seconds.reduce((slowest, each) => Math.max(slowest, each), 0),
    deviation: count === 0 ? 0 : Math.sqrt(squares / count),
    failures,
  };
}
