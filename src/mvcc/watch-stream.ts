/**
 * The watchers of one client stream and what waits to be sent to it, in one queue, so that nothing
 * overtakes: a watcher's creation comes before its events, its cancellation after them.
 */
import { assert } from '../base/assert.ts';
import { preencoded } from '../base/wire.ts';
import type { StoredEvent } from './event.ts';
import { noEnd } from './interval-map.ts';

/** Stands for all watchers of a stream in progress answers, and for none in refusals. */
export const invalidWatchId = -1;
/** Asks for the next free id. */
const automaticWatchId = 0;
/** Memory for the watchers of one stream, about 300 bytes each. */
const watchersPerStreamLimit = 100_000;
/** Deliveries that may wait to be sent on one stream: small ones weigh more than their bytes. */
const defaultUnsentDeliveries = 4096;
/** Bytes of events that may wait to be sent on one stream, beside one delivery of any size. */
const defaultUnsentBytes = 8 * 1024 * 1024;

/** Texts of etcd, sent without its prefix. */
const emptyRangeReason = 'mvcc: watcher range is empty';
const duplicateIdReason = 'mvcc: duplicate watch ID provided on the WatchStream';

const tooManyReason = 'etcdserver: too many requests';

/** What a stream has to say, oldest first. */
export type WatchOutput =
  | { readonly kind: 'created'; readonly watchId: number; readonly revision: number }
  | { readonly kind: 'refused'; readonly reason: string; readonly revision: number }
  | { readonly kind: 'cancelled'; readonly watchId: number; readonly revision: number }
  | { readonly kind: 'compacted'; readonly watchId: number; readonly compactRevision: number }
  | { readonly kind: 'progress'; readonly watchId: number; readonly revision: number }
  | WatchDelivery;

export interface WatchDelivery {
  readonly kind: 'events';
  readonly watchId: number;
  /** All events up to it that the watcher asked for are here or were sent before. */
  readonly revision: number;
  readonly events: readonly StoredEvent[];
  readonly fragment: boolean;
  readonly sizeBytes: number;
}

export interface WatchOptions {
  /** 0 for the next free one. */
  readonly id: number;
  readonly key: string;
  /** Undefined for a single key; one zero byte for every key from `key` on. */
  readonly end: string | undefined;
  /** 0 for the next revision. */
  readonly startRevision: number;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
  /** Whether a large delivery may be sent in parts. */
  readonly fragment: boolean;
}

export class Watcher {
  readonly stream: WatchStream;
  readonly id: number;
  readonly key: string;
  /** Undefined for a single key. */
  readonly high: string | undefined;
  readonly startRevision: number;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
  /** The first revision it has not seen, or for one that is up to date: will not skip. */
  next: number;
  /** Events found for it in the step under way. */
  batch: StoredEvent[] | undefined;
  /** Whether it is to be told of its progress if nothing happens until the next tick. */
  progressDue = true;

  constructor(stream: WatchStream, id: number, options: WatchOptions, next: number) {
    this.stream = stream;
    this.id = id;
    this.key = options.key;
    this.high = options.end === '\0' ? noEnd : options.end;
    this.startRevision = options.startRevision;
    this.noPut = options.noPut;
    this.noDelete = options.noDelete;
    this.prevKv = options.prevKv;
    this.progressNotify = options.progressNotify;
    this.fragment = options.fragment;
    this.next = next;
  }

  wants(event: StoredEvent): boolean {
    return event.isDelete ? !this.noDelete : !this.noPut;
  }
}

/** What a stream needs of the store that it watches. */
export interface WatchHost {
  readonly revision: number;
  /** Begins to deliver; the watcher's `next` is 0 if it starts with the next revision. */
  attach(watcher: Watcher): void;
  detach(watcher: Watcher): void;
  /** Whether the watcher has been given everything up to the current revision. */
  isSynced(watcher: Watcher): boolean;
  /** Says that a stream that had no room has some again. */
  roomAgain(): void;
  /** Says that a stream has given out so many events. */
  sent(events: number): void;
  closed(stream: WatchStream): void;
}

/** Memory for events that wait to be sent, of which there is a limited amount for all streams. */
export interface UnsentMemory {
  readonly isFull: boolean;
  add(bytes: number): void;
  release(bytes: number): void;
  /** Calls `listener` once when there is room again. Returns how to stop that. */
  onRoom(listener: () => void): () => void;
}

export interface WatchStreamOptions {
  /** Called when there is output after there was none, maybe in the midst of a change: defer. */
  readonly onReadable: () => void;
  readonly unsentDeliveries?: number;
  readonly unsentBytes?: number;
  readonly memory?: UnsentMemory;
}

export class WatchStream {
  readonly #host: WatchHost;
  readonly #onReadable: () => void;
  readonly #deliveriesLimit: number;
  readonly #bytesLimit: number;
  readonly #watchers = new Map<number, Watcher>();
  /** Of watchers that a compaction ended: taken, as in etcd, until the client cancels them too. */
  readonly #compactedIds = new Set<number>();
  #output: (WatchOutput | undefined)[] = [];
  #first = 0;
  #nextId = 0;
  #unsentDeliveries = 0;
  #unsentBytes = 0;
  #unsentEvents = 0;
  readonly #memory: UnsentMemory | undefined;
  #stopWaiting: (() => void) | undefined;
  #roomAwaited = false;
  #closed = false;

  constructor(host: WatchHost, options: WatchStreamOptions) {
    this.#host = host;
    this.#onReadable = options.onReadable;
    this.#deliveriesLimit = options.unsentDeliveries ?? defaultUnsentDeliveries;
    this.#bytesLimit = options.unsentBytes ?? defaultUnsentBytes;
    this.#memory = options.memory;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** Everything that waits to be taken. */
  get unsent(): number {
    return this.#output.length - this.#first;
  }

  /** Events that wait to be taken. */
  get unsentEvents(): number {
    return this.#unsentEvents;
  }

  get hasRoom(): boolean {
    if (this.#memory?.isFull === true) return false;
    return (
      this.#unsentDeliveries === 0 ||
      (this.#unsentDeliveries < this.#deliveriesLimit && this.#unsentBytes < this.#bytesLimit)
    );
  }

  /** Creates a watcher, or says why not. Returns its id, or {@link invalidWatchId}. */
  create(options: WatchOptions): number {
    assert(!this.#closed, 'a watcher is created on a closed stream');
    const { end } = options;
    if (end !== undefined && end !== '\0' && options.key >= end) {
      return this.refuse(emptyRangeReason);
    }
    if (this.#watchers.size + this.#compactedIds.size >= watchersPerStreamLimit) {
      return this.refuse(tooManyReason);
    }
    let { id } = options;
    if (id === automaticWatchId) {
      while (this.#isTaken(this.#nextId)) this.#nextId++;
      id = this.#nextId++;
    } else if (this.#isTaken(id)) {
      return this.refuse(duplicateIdReason);
    }
    const { revision } = this.#host;
    const watcher = new Watcher(this, id, options, Math.max(options.startRevision, 0));
    this.#watchers.set(id, watcher);
    this.#push({ kind: 'created', watchId: id, revision });
    this.#host.attach(watcher);
    return id;
  }

  #isTaken(id: number): boolean {
    return this.#watchers.has(id) || this.#compactedIds.has(id);
  }

  /** Answers a creation that failed. */
  refuse(reason: string): typeof invalidWatchId {
    this.#push({ kind: 'refused', reason, revision: this.#host.revision });
    return invalidWatchId;
  }

  /** Ends a watcher; an unknown id is not answered. */
  cancel(id: number): void {
    const watcher = this.#watchers.get(id);
    if (watcher !== undefined) {
      this.#watchers.delete(id);
      this.#host.detach(watcher);
    } else if (!this.#compactedIds.delete(id)) {
      return;
    }
    this.#push({ kind: 'cancelled', watchId: id, revision: this.#host.revision });
  }

  /** Answers once for all watchers, if all have been given everything; otherwise not at all. */
  requestProgress(): void {
    if (this.#watchers.size === 0 || !this.hasRoom) return;
    const { revision } = this.#host;
    for (const watcher of this.#watchers.values()) {
      if (!this.#isCurrent(watcher, revision)) return;
    }
    this.#push({ kind: 'progress', watchId: invalidWatchId, revision });
  }

  /** Called at intervals: tells the watchers that asked for it and had no event since. */
  tick(): void {
    const { revision } = this.#host;
    for (const watcher of this.#watchers.values()) {
      if (!watcher.progressNotify) continue;
      if (watcher.progressDue && this.hasRoom && this.#isCurrent(watcher, revision)) {
        this.#push({ kind: 'progress', watchId: watcher.id, revision });
      }
      watcher.progressDue = true;
    }
  }

  #isCurrent(watcher: Watcher, revision: number): boolean {
    return this.#host.isSynced(watcher) && revision >= watcher.startRevision;
  }

  /** Has the host told once there is room again. */
  awaitRoom(): void {
    this.#roomAwaited = true;
    if (this.#memory?.isFull !== true) return;
    this.#stopWaiting ??= this.#memory.onRoom(() => {
      this.#stopWaiting = undefined;
      this.#wakeHost();
    });
  }

  /** Takes over events for a watcher, all of each revision, unless there is no room. */
  offer(watcher: Watcher, events: readonly StoredEvent[], revision: number): boolean {
    if (!this.hasRoom) {
      this.awaitRoom();
      return false;
    }
    let sizeBytes = 0;
    for (const event of events) sizeBytes += event[preencoded].length;
    const { id: watchId, fragment } = watcher;
    watcher.progressDue = false;
    this.#unsentDeliveries++;
    this.#unsentBytes += sizeBytes;
    this.#unsentEvents += events.length;
    this.#memory?.add(sizeBytes);
    this.#push({ kind: 'events', watchId, revision, events, fragment, sizeBytes });
    return true;
  }

  /** Ends a watcher whose next revision was compacted. Said in any case, once per watcher. */
  compacted(watcher: Watcher, compactRevision: number): void {
    this.#watchers.delete(watcher.id);
    this.#compactedIds.add(watcher.id);
    this.#push({ kind: 'compacted', watchId: watcher.id, compactRevision });
  }

  #push(output: WatchOutput): void {
    this.#output.push(output);
    if (this.unsent === 1) this.#onReadable();
  }

  /** The oldest output, which counts as sent. */
  take(): WatchOutput | undefined {
    const output = this.#output[this.#first];
    if (output === undefined) return undefined;
    this.#output[this.#first++] = undefined;
    if (this.#first === this.#output.length) {
      this.#output = [];
      this.#first = 0;
    }
    if (output.kind === 'events') {
      this.#unsentDeliveries--;
      this.#unsentBytes -= output.sizeBytes;
      this.#unsentEvents -= output.events.length;
      this.#host.sent(output.events.length);
      this.#memory?.release(output.sizeBytes);
      this.#wakeHost();
    }
    return output;
  }

  /** Waits until there is room for a good deal, so that catching up works in large steps. */
  #wakeHost(): void {
    if (!this.#roomAwaited) return;
    if (this.#unsentDeliveries > this.#deliveriesLimit / 2) return;
    if (this.#unsentDeliveries > 0 && this.#unsentBytes > this.#bytesLimit / 2) return;
    this.#roomAwaited = false;
    this.#host.roomAgain();
  }

  /** Ends all watchers and drops what was not sent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const watcher of this.#watchers.values()) this.#host.detach(watcher);
    this.#watchers.clear();
    this.#compactedIds.clear();
    this.#stopWaiting?.();
    this.#memory?.release(this.#unsentBytes);
    this.#output = [];
    this.#first = 0;
    this.#host.closed(this);
  }
}
