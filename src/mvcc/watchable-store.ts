/**
 * Delivers the store's changes to watchers (etcd: mvcc/watchable_store.go). A watcher that is up to
 * date is synced: it gets each revision as it is made. Any other is unsynced: it gets the past
 * from the store, in slices, until it has caught up. A watcher whose stream has no room becomes
 * unsynced too, so a slow client costs nobody else anything.
 */
import type { Clock } from '../base/clock.ts';
import type { StoredEvent } from './event.ts';
import type { StoredKeyValue } from './key-value.ts';
import type { Store, StoreListener } from './store.ts';
import { WatcherGroup } from './watcher-group.ts';
import {
  type Watcher,
  WatchStream,
  type WatchHost,
  type WatchStreamOptions,
} from './watch-stream.ts';

/** Most revisions read in one slice, and so most in one answer (etcd: watchBatchMaxRevs). */
const revisionsPerSlice = 1000;
/** Reading ends after the revision that exceeds one of these: some milliseconds of work. */
const eventsPerSlice = 1000;
const bytesPerSlice = 512 * 1024;

/** What watching needs of the store. */
export type WatchedStore = Pick<
  Store,
  'revision' | 'compactedRevision' | 'eventsAt' | 'previous' | 'setListener'
>;

export interface WatchableStoreOptions {
  readonly store: WatchedStore;
  readonly clock: Clock;
}

export class WatchableStore implements WatchHost, StoreListener {
  #store: WatchedStore;
  readonly #clock: Clock;
  readonly #synced = new WatcherGroup<Watcher>();
  readonly #unsynced = new WatcherGroup<Watcher>();
  readonly #streams = new Set<WatchStream>();
  readonly #findPrevious: (event: StoredEvent) => StoredKeyValue | undefined;
  #scheduled = false;
  #sentEvents = 0;

  constructor(options: WatchableStoreOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#findPrevious = (event) => this.#store.previous(event.keyText, event.modRevision);
    this.#store.setListener(this);
  }

  get revision(): number {
    return this.#store.revision;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get watcherCount(): number {
    return this.#synced.size + this.#unsynced.size;
  }

  /** Watchers that are not up to date. */
  get slowWatcherCount(): number {
    return this.#unsynced.size;
  }

  /** Events given to streams and taken from them, since the start. */
  get sentEvents(): number {
    return this.#sentEvents;
  }

  /** Events given to streams and not taken yet. */
  get pendingEvents(): number {
    let count = 0;
    for (const stream of this.#streams) count += stream.unsentEvents;
    return count;
  }

  openStream(options: WatchStreamOptions): WatchStream {
    const stream = new WatchStream(this, options);
    this.#streams.add(stream);
    return stream;
  }

  /** Goes on with the state of a snapshot, whose revision is not below that of the old state. */
  restore(store: WatchedStore): void {
    const seen = this.#store.revision;
    this.#store = store;
    store.setListener(this);
    for (const watcher of [...this.#synced]) {
      watcher.next = Math.max(watcher.next, seen + 1);
      if (watcher.next > store.revision) continue;
      this.#synced.delete(watcher);
      this.#unsynced.add(watcher);
    }
    this.compacted(store.compactedRevision);
    this.#schedule();
  }

  /** @see WatchHost */
  attach(watcher: Watcher): void {
    const { revision } = this.#store;
    if (watcher.next === 0 || watcher.next > revision) {
      watcher.next = Math.max(watcher.next, revision + 1);
      this.#synced.add(watcher);
    } else {
      this.#unsynced.add(watcher);
      this.#schedule();
    }
  }

  /** @see WatchHost */
  detach(watcher: Watcher): void {
    if (!this.#synced.delete(watcher)) this.#unsynced.delete(watcher);
  }

  /** @see WatchHost */
  isSynced(watcher: Watcher): boolean {
    return this.#synced.has(watcher);
  }

  /** @see WatchHost */
  roomAgain(): void {
    this.#schedule();
  }

  /** @see WatchHost */
  sent(events: number): void {
    this.#sentEvents += events;
  }

  /** @see WatchHost */
  closed(stream: WatchStream): void {
    this.#streams.delete(stream);
  }

  /** @see StoreListener */
  changed(revision: number, events: readonly StoredEvent[]): void {
    if (this.#synced.size === 0) return;
    const found = this.#matches(this.#synced, events, revision);
    for (const watcher of found) {
      if (watcher.stream.offer(watcher, takeBatch(watcher), revision)) continue;
      watcher.next = revision;
      this.#synced.delete(watcher);
      this.#unsynced.add(watcher);
    }
  }

  /** @see StoreListener */
  compacted(revision: number): void {
    for (const watcher of [...this.#unsynced]) {
      if (watcher.next < revision) this.#cancelCompacted(watcher);
    }
  }

  #cancelCompacted(watcher: Watcher): void {
    this.#unsynced.delete(watcher);
    watcher.stream.compacted(watcher, this.#store.compactedRevision);
  }

  /**
   * Adds events to the batches of the watchers that want them. Returns the watchers that have some.
   */
  #matches(
    group: WatcherGroup<Watcher>,
    events: readonly StoredEvent[],
    oldestNext: number,
  ): Watcher[] {
    const found: Watcher[] = [];
    for (const event of events) {
      const revision = event.modRevision;
      group.match(event.keyText, (watcher) => {
        // One that is further behind gets the event when its turn comes.
        if (revision < watcher.next || !watcher.wants(event)) return;
        if (group === this.#unsynced && watcher.next < oldestNext) return;
        const wanted = watcher.prevKv ? event.withPrevious(this.#findPrevious) : event;
        if (watcher.batch === undefined) {
          watcher.batch = [wanted];
          found.push(watcher);
        } else {
          watcher.batch.push(wanted);
        }
      });
    }
    return found;
  }

  #schedule(): void {
    if (this.#scheduled || this.#unsynced.size === 0) return;
    this.#scheduled = true;
    this.#clock.defer(() => {
      this.#scheduled = false;
      if (this.#catchUp()) this.#schedule();
    });
  }

  /** Brings watchers forward by one slice. Returns whether there is more to do now. */
  #catchUp(): boolean {
    const first = this.#nextWithRoom();
    if (first === undefined) return false;
    // The others take turns, so that one far behind does not hold up one that is nearly there.
    this.#unsynced.putLast(first);
    const { revision: current, compactedRevision } = this.#store;
    const start = first.next;
    if (start < compactedRevision) {
      this.#cancelCompacted(first);
      return true;
    }
    const { events, end } = this.#read(start, current);
    this.#matches(this.#unsynced, events, start);
    for (const watcher of [...this.#unsynced]) {
      if (watcher.next < start || watcher.next > end) continue;
      const batch = watcher.batch === undefined ? undefined : takeBatch(watcher);
      // Without room it stays where it is and reads the same again later.
      if (batch !== undefined && !watcher.stream.offer(watcher, batch, current)) continue;
      watcher.next = end + 1;
      if (end < current) continue;
      this.#unsynced.delete(watcher);
      this.#synced.add(watcher);
    }
    return true;
  }

  #nextWithRoom(): Watcher | undefined {
    for (const watcher of this.#unsynced) {
      if (watcher.stream.hasRoom) return watcher;
      watcher.stream.awaitRoom();
    }
    return undefined;
  }

  #read(start: number, current: number): { events: StoredEvent[]; end: number } {
    const sizeOf = this.#sizing();
    const events: StoredEvent[] = [];
    const last = Math.min(current, start + revisionsPerSlice - 1);
    let bytes = 0;
    let revision = start;
    for (; ; revision++) {
      for (const event of this.#store.eventsAt(revision)) {
        events.push(event);
        bytes += sizeOf(event);
      }
      const enough = events.length >= eventsPerSlice || bytes >= bytesPerSlice;
      if (revision >= last || enough) return { events, end: revision };
    }
  }

  /** How much an event of the past is, with what was before it if somebody wants to know that. */
  #sizing(): (event: StoredEvent) => number {
    let isWanted = false;
    for (const { prevKv } of this.#unsynced) isWanted ||= prevKv;
    if (!isWanted) return (event) => event.keyValueSizeBytes;
    return (event) => {
      let wanted = event;
      this.#unsynced.match(event.keyText, (watcher) => {
        if (watcher.prevKv && watcher.wants(event)) wanted = event.withPrevious(this.#findPrevious);
      });
      return wanted.keyValueSizeBytes;
    };
  }
}

function takeBatch(watcher: Watcher): StoredEvent[] {
  const batch = watcher.batch ?? [];
  watcher.batch = undefined;
  return batch;
}
