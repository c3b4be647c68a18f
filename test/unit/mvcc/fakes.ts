/** A state database in a map and a clock that stands until told. */
import type { Clock, Timer } from '../../../src/base/clock.ts';
import { Store, type StoreOptions } from '../../../src/mvcc/store.ts';
import type { StateBackend } from '../../../src/mvcc/state-backend.ts';
import type { StringRange } from '../../../src/storage/keyspace.ts';

export class MapBackend implements StateBackend {
  readonly entries = new Map<string, Uint8Array>();

  get(key: string): Uint8Array | undefined {
    return this.entries.get(key);
  }

  put(key: string, value: Uint8Array): void {
    this.entries.set(key, value);
  }

  delete(key: string): void {
    if (!this.entries.delete(key)) throw new Error('a delete of nothing');
  }

  scan(
    { low, high }: StringRange,
    limit: number,
    onEntries: (entries: readonly (readonly [string, Uint8Array])[]) => void,
    done: (error: Error | undefined) => void,
  ): void {
    const found = [...this.entries]
      .filter(([key]) => (low === undefined || key >= low) && (high === undefined || key < high))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    for (let i = 0; i < found.length; i += limit) onEntries(found.slice(i, i + limit));
    done(undefined);
  }

  /** What a restart finds: the same bytes, in memory of their own. */
  reopened(): MapBackend {
    const copy = new MapBackend();
    for (const [key, value] of this.entries) copy.entries.set(key, Uint8Array.from(value));
    return copy;
  }
}

interface Waiting {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

export class ManualClock implements Clock {
  #now = 0;
  #order = 0;
  #deferred: (() => void)[] = [];
  #timers: Waiting[] = [];

  monotonicMs(): number {
    return this.#now;
  }

  wallMs(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const waiting = { at: this.#now + delayMs, order: this.#order++, callback, cancelled: false };
    this.#timers.push(waiting);
    return {
      cancel: () => {
        waiting.cancelled = true;
      },
    };
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  get idle(): boolean {
    return this.#deferred.length === 0;
  }

  /** Runs one round of deferred callbacks; those they defer wait. */
  round(): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const callback of deferred) callback();
  }

  /** Runs deferred callbacks until there are none. */
  settle(): void {
    for (let rounds = 0; this.#deferred.length > 0; rounds++) {
      if (rounds > 1_000_000) throw new Error('the deferred callbacks do not end');
      this.round();
    }
  }

  /** Lets time pass, timer by timer. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    this.settle();
    for (;;) {
      this.#timers = this.#timers.filter((timer) => !timer.cancelled);
      this.#timers.sort((a, b) => a.at - b.at || a.order - b.order);
      const [next] = this.#timers;
      if (next === undefined || next.at > end) break;
      this.#timers.shift();
      this.#now = next.at;
      next.callback();
      this.settle();
    }
    this.#now = end;
  }
}

export function openStore(options: StoreOptions): Store {
  let opened: Store | undefined;
  Store.open(options, (error, store) => {
    if (error !== undefined) throw error;
    opened = store;
  });
  if (opened === undefined) throw new Error('the store did not open at once');
  return opened;
}
