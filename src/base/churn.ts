/**
 * Collections for entries that come and go. A Map or Set of V8's moves to a new table each time
 * that so many were added and removed, and each table refers to the next, for the sake of
 * iterators. Once one of them is in V8's old space, its young collections take all that followed
 * for alive: every entry there ever was, until everything is collected. A server that keeps its
 * calls in a Map so keeps all calls of the last second, and half of its collector's work is theirs.
 *
 * These begin a collection of V8's anew now and then, of which no old table knows.
 */

/** A collection begins anew when so many were removed, and as many as are left. */
const removalsMin = 64;

/** As a Map, in the order of adding. */
export class ChurnMap<Key, Value> implements Map<Key, Value> {
  #map = new Map<Key, Value>();
  #removals = 0;

  readonly [Symbol.toStringTag] = 'ChurnMap';

  get size(): number {
    return this.#map.size;
  }

  get(key: Key): Value | undefined {
    return this.#map.get(key);
  }

  has(key: Key): boolean {
    return this.#map.has(key);
  }

  set(key: Key, value: Value): this {
    this.#map.set(key, value);
    return this;
  }

  delete(key: Key): boolean {
    if (!this.#map.delete(key)) return false;
    if (++this.#removals >= removalsMin + this.#map.size) {
      this.#map = new Map(this.#map);
      this.#removals = 0;
    }
    return true;
  }

  clear(): void {
    this.#map = new Map();
    this.#removals = 0;
  }

  /**
   * Those that are there now, less those that are removed meanwhile. Those that are added meanwhile
   * may be among them.
   */
  *entries(): MapIterator<[Key, Value]> {
    for (const key of this.#map.keys()) {
      // It may have begun anew since.
      if (this.#map.has(key)) yield [key, this.#map.get(key) as Value];
    }
  }

  *keys(): MapIterator<Key> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): MapIterator<Value> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): MapIterator<[Key, Value]> {
    return this.entries();
  }

  forEach(visit: (value: Value, key: Key, map: Map<Key, Value>) => void): void {
    for (const [key, value] of this.entries()) visit(value, key, this);
  }
}

/** As a Set, in the order of adding. */
export class ChurnSet<Value> implements Set<Value> {
  readonly #map = new ChurnMap<Value, undefined>();

  readonly [Symbol.toStringTag] = 'ChurnSet';

  get size(): number {
    return this.#map.size;
  }

  has(value: Value): boolean {
    return this.#map.has(value);
  }

  add(value: Value): this {
    this.#map.set(value, undefined);
    return this;
  }

  delete(value: Value): boolean {
    return this.#map.delete(value);
  }

  clear(): void {
    this.#map.clear();
  }

  /** As of the map. */
  values(): SetIterator<Value> {
    return this.#map.keys();
  }

  keys(): SetIterator<Value> {
    return this.values();
  }

  *entries(): SetIterator<[Value, Value]> {
    for (const value of this.values()) yield [value, value];
  }

  [Symbol.iterator](): SetIterator<Value> {
    return this.values();
  }

  forEach(visit: (value: Value, again: Value, set: Set<Value>) => void): void {
    for (const value of this.values()) visit(value, value, this);
  }
}
