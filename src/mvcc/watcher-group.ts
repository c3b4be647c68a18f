/** Watchers, found by key: those of single keys in a hash map, those of ranges in a tree. */
import { IntervalMap } from './interval-map.ts';

/** What a group looks at; the end of a single key is undefined. */
export interface Watching {
  readonly key: string;
  readonly high: string | undefined;
}

export class WatcherGroup<Watcher extends Watching> {
  readonly #all = new Set<Watcher>();
  readonly #byKey = new Map<string, Set<Watcher>>();
  readonly #byRange = new IntervalMap<Watcher>();

  get size(): number {
    return this.#all.size;
  }

  has(watcher: Watcher): boolean {
    return this.#all.has(watcher);
  }

  /** In the order in which they were added or put last. */
  [Symbol.iterator](): IterableIterator<Watcher> {
    return this.#all.values();
  }

  add(watcher: Watcher): void {
    this.#all.add(watcher);
    const { key, high } = watcher;
    if (high !== undefined) {
      this.#byRange.add(key, high, watcher);
      return;
    }
    const others = this.#byKey.get(key);
    if (others === undefined) this.#byKey.set(key, new Set([watcher]));
    else others.add(watcher);
  }

  /** Returns whether it was there. */
  delete(watcher: Watcher): boolean {
    if (!this.#all.delete(watcher)) return false;
    const { key, high } = watcher;
    if (high !== undefined) {
      this.#byRange.delete(key, high, watcher);
      return true;
    }
    const others = this.#byKey.get(key);
    others?.delete(watcher);
    if (others?.size === 0) this.#byKey.delete(key);
    return true;
  }

  /** Moves one to the end of the order. */
  putLast(watcher: Watcher): void {
    if (this.#all.delete(watcher)) this.#all.add(watcher);
  }

  /** Visits every watcher of `key`. */
  match(key: string, visitor: (watcher: Watcher) => void): void {
    this.#byKey.get(key)?.forEach(visitor);
    this.#byRange.match(key, visitor);
  }
}
