/** The model's keys at one revision, with the changes that one request makes on top. */
import { fromLatin1, emptyBytes } from '../../src/base/bytes.ts';
import { type Event, EventType, type KeyValue } from '../../src/gen/kv.ts';
import { contains, type Interval, isSingle } from './interval.ts';

/** One event as a watcher that asks for previous key values must see it. */
export interface Change {
  readonly key: string;
  readonly event: Event;
  /** Whether the key did not exist right before. */
  readonly isCreate: boolean;
}

/** What a view rests on. */
export interface Past {
  /** The key value as of the end of `revision`. */
  valueAt(key: string, revision: number): KeyValue | undefined;
  /** Keys of the interval that ever existed, in order. */
  keysIn(interval: Interval): readonly string[];
}

export class View {
  readonly #past: Past;
  /** The revision that the request finds. */
  readonly base: number;
  readonly changes: Change[] = [];
  readonly #changed = new Map<string, KeyValue | undefined>();

  constructor(past: Past, base: number) {
    this.#past = past;
    this.base = base;
  }

  /** The revision it shows: one more once something has changed. */
  get revision(): number {
    return this.changes.length > 0 ? this.base + 1 : this.base;
  }

  get(key: string): KeyValue | undefined {
    return this.#changed.has(key) ? this.#changed.get(key) : this.#past.valueAt(key, this.base);
  }

  /** The key values of an interval now, in order of keys. */
  list(interval: Interval): KeyValue[] {
    return this.#collect(interval, (key) => this.get(key));
  }

  /** The same at a revision that the request found. */
  listAt(interval: Interval, revision: number): KeyValue[] {
    return this.#collect(interval, (key) => this.#past.valueAt(key, revision));
  }

  #collect(interval: Interval, find: (key: string) => KeyValue | undefined): KeyValue[] {
    const found: KeyValue[] = [];
    for (const key of this.#keysIn(interval)) {
      const kv = find(key);
      if (kv !== undefined) found.push(kv);
    }
    return found;
  }

  #keysIn(interval: Interval): readonly string[] {
    if (isSingle(interval)) return [interval.low];
    const keys = this.#past.keysIn(interval);
    if (this.#changed.size === 0) return keys;
    const all = new Set(keys);
    for (const key of this.#changed.keys()) if (contains(interval, key)) all.add(key);
    return [...all].sort();
  }

  put(key: string, value: Uint8Array, lease: bigint): void {
    const old = this.get(key);
    const revision = this.base + 1;
    this.#change(EventType.put, key, {
      key: fromLatin1(key),
      createRevision: old?.createRevision ?? revision,
      modRevision: revision,
      version: (old?.version ?? 0) + 1,
      value,
      lease,
    });
  }

  /** The key must exist. */
  delete(key: string): void {
    this.#change(EventType.delete, key, {
      key: fromLatin1(key),
      createRevision: 0,
      modRevision: this.base + 1,
      version: 0,
      value: emptyBytes,
      lease: 0n,
    });
  }

  /** Takes over an event of which somebody else says that it happened. */
  adopt(key: string, type: EventType, kv: KeyValue): void {
    this.#change(type, key, kv);
  }

  #change(type: EventType, key: string, kv: KeyValue): void {
    const isCreate = type === EventType.put && this.get(key) === undefined;
    // Etcd looks the previous key value up at the revision before, even if the same revision
    // changed the key earlier.
    const prevKv = isCreate ? undefined : this.#past.valueAt(key, this.base);
    this.changes.push({ key, event: { type, kv, prevKv }, isCreate });
    this.#changed.set(key, type === EventType.put ? kv : undefined);
  }
}
