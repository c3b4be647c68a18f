/** The state database with an overlay of what is not on disk yet. */
import { assert } from '../base/assert.ts';
import { fromLatin1 } from '../base/bytes.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { ConfState } from '../raft/index.ts';
import {
  FlushedView,
  highOf,
  keyRangeOf,
  type BackendEntry,
  type BackendView,
} from './backend-view.ts';
import { keyAfter } from './engine.ts';
import type { Completion, Engine, EngineView, Operation } from './engine.ts';
import { asError } from './errors.ts';
import {
  decodeFlushRecord,
  emptyFlushRecord,
  encodeFlushMark,
  encodeFlushRecord,
  FlushMarkChecker,
  flushMarkKey,
  flushMarks,
  type FlushRecord,
} from './flush-record.ts';
import { guardedWrite } from './guarded-write.ts';
import { prefixRange, stateKeys, type StringRange } from './keyspace.ts';
import { decodeLogMark, encodeLogMark, type LogMark } from './log-state.ts';
import { openValue, sealValue } from './record.ts';

export { isOwnKey, type BackendEntry, type BackendView } from './backend-view.ts';

const defaultFlushIntervalMs = 100;
/** A flush starts early once this much is pending. */
const flushPendingBytes = 8 * 1024 * 1024;
/** Pairs turned into operations in one turn of the event loop. */
const sealedPerTurn = 500;
const marksPerSlice = 256;

const flushSteps = { before: 'flush-before-write', after: 'flush-after-write' } as const;
const closedText = 'the backend is closed';
const flushKey = fromLatin1(stateKeys.flush);
const logMarkKey = fromLatin1(stateKeys.logMark);

/** Changes by key; undefined deletes. */
type Overlay = Map<string, Uint8Array | undefined>;

/** The member's log, of which each flush notes how far it has got. */
export interface MarkedLog {
  readonly durableWrites: number;
  markAt(index: number): LogMark | undefined;
}

export interface BackendOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a change may stay in memory only. */
  readonly flushIntervalMs?: number;
  readonly log?: MarkedLog;
}

/** What the newest flush left. */
interface Newest {
  readonly record: FlushRecord;
  readonly logMark: LogMark | undefined;
}

/**
 * Changes take effect in memory at once. A flush writes those that belong to applied entries as one
 * synced batch, numbered, together with the index they cover: the state on disk is always that of
 * exactly one index. At most one flush is under way; what changes meanwhile gathers for the next.
 *
 * Values given to {@link put} must not be changed afterwards; those returned must not either.
 */
export class Backend {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #flushIntervalMs: number;
  readonly #log: MarkedLog | undefined;
  /** What the newest flush says of the log, as of the start. */
  readonly logMark: LogMark | undefined;
  /** The writes of the log that the newest mark counts, or the flush under way will. */
  #markedWrites: number;
  /** Changes for the next flush. */
  #pending: Overlay = new Map();
  /** Changes of the flush under way; undefined if none is. */
  #flushing: Overlay | undefined;
  #pendingBytes = 0;
  #appliedIndex: number;
  #appliedTerm: number;
  #confState: ConfState;
  #flushed: FlushRecord;
  /** What the flush under way will make of it. */
  #flushTarget: FlushRecord | undefined;
  /** Callers who wait for the flush under way, and for the one after it. */
  #waitingNow: Completion[] = [];
  #waitingNext: Completion[] = [];
  #timer: Timer | undefined;
  #failure: Error | undefined;
  #closing: Completion | undefined;
  #openViews = 0;
  readonly #flushedListeners: ((index: number) => void)[] = [];
  readonly #failureListeners: ((error: Error) => void)[] = [];

  private constructor(options: BackendOptions, { record: newest, logMark }: Newest) {
    this.#engine = options.engine;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#flushIntervalMs = options.flushIntervalMs ?? defaultFlushIntervalMs;
    this.#log = options.log;
    this.logMark = logMark;
    this.#markedWrites = logMark?.writes ?? 0;
    this.#flushed = newest;
    this.#appliedIndex = newest.index;
    this.#appliedTerm = newest.term;
    this.#confState = newest.confState;
  }

  /** Reads what the newest flush covers and checks that none before it is missing. */
  static open(
    options: BackendOptions,
    done: (error: Error | undefined, backend: Backend | undefined) => void,
  ): void {
    const view = options.engine.view();
    readNewest(view, (error, newest) => {
      view.close();
      if (newest === undefined) done(error, undefined);
      else done(undefined, new Backend(options, newest));
    });
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get appliedTerm(): number {
    return this.#appliedTerm;
  }

  /** Last index whose effects are on disk. */
  get flushedIndex(): number {
    return this.#flushed.index;
  }

  get flushedTerm(): number {
    return this.#flushed.term;
  }

  /** Membership as of the applied index. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** Changed keys that are not on disk. */
  get pendingOperations(): number {
    return this.#pending.size + (this.#flushing?.size ?? 0);
  }

  /** Bytes put that are not being written yet; a key changed twice counts twice. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get(key: string): Uint8Array | undefined {
    const changed = this.#pending.get(key);
    if (changed !== undefined || this.#pending.has(key)) return changed;
    if (this.#flushing !== undefined) {
      const flushing = this.#flushing.get(key);
      if (flushing !== undefined || this.#flushing.has(key)) return flushing;
    }
    const bytes = fromLatin1(key);
    const stored = this.#engine.getSync(bytes);
    return stored === undefined ? undefined : openValue(bytes, stored);
  }

  put(key: string, value: Uint8Array): void {
    this.#pending.set(key, value);
    this.#pendingBytes += key.length + value.length;
    if (this.#timer === undefined) this.#schedule();
  }

  delete(key: string): void {
    this.#pending.set(key, undefined);
    this.#pendingBytes += key.length;
    if (this.#timer === undefined) this.#schedule();
  }

  /** Sets the membership that goes with the entry being applied. */
  setConfState(confState: ConfState): void {
    this.#confState = confState;
  }

  /** Everything changed so far belongs to the state at `index`. */
  applied(index: number, term: number): void {
    assert(index >= this.#appliedIndex, `applied index ${index} goes backwards`);
    this.#appliedIndex = index;
    this.#appliedTerm = term;
    if (this.#pendingBytes >= flushPendingBytes) this.flush();
    else this.#schedule();
  }

  /** The log has taken a write: a flush will note it, if need be one without changes. */
  noteLogWrite(): void {
    if (this.#closing === undefined && this.#dirty()) this.#schedule();
  }

  /**
   * Writes all changes so far; `done` is called when they are on disk. Never called while an entry
   * is being applied: its changes would be torn apart. (Timers fire between entries.) Changes that
   * belong to no entry, such as deletions of compacted revisions, go with the applied index.
   */
  flush(done?: Completion): void {
    if (this.#failure !== undefined || !this.#dirty()) {
      if (done === undefined) return;
      const underWay = this.#failure === undefined && this.#flushing !== undefined;
      if (underWay) this.#waitingNow.push(done);
      else this.#clock.defer(() => done(this.#failure));
      return;
    }
    if (done !== undefined) this.#waitingNext.push(done);
    if (this.#flushing === undefined) this.#begin();
  }

  /** Calls `listener` after each flush with the index that it covers. */
  onFlushed(listener: (index: number) => void): void {
    this.#flushedListeners.push(listener);
  }

  /** Calls `listener` once, when a write fails, or soon if one has: the member must stop. */
  onFailure(listener: (error: Error) => void): void {
    const failure = this.#failure;
    if (failure === undefined) this.#failureListeners.push(listener);
    else if (this.#closing === undefined) this.#clock.defer(() => listener(failure));
  }

  /**
   * Reads all pairs of a range in slices, checking each. Only at the start: what is pending is not
   * seen. `onEntries` gets the slices in key order; an exception from it ends the scan, and so does
   * closing the backend.
   */
  scan(
    range: StringRange,
    limit: number,
    onEntries: (entries: readonly BackendEntry[]) => void,
    done: Completion,
  ): void {
    assert(this.pendingOperations === 0, 'a scan sees only what is flushed');
    if (this.#closing !== undefined) {
      this.#clock.defer(() => done(new Error(closedText)));
      return;
    }
    const view = this.view();
    const next = (low: string | undefined): void => {
      const rest = { ...(low === undefined ? {} : { low }), ...highOf(range) };
      view.read(rest, limit, (error, entries) => {
        const last = entries.at(-1);
        let failure = error;
        if (this.#closing !== undefined) failure ??= new Error(closedText);
        try {
          if (failure === undefined && last !== undefined) onEntries(entries);
        } catch (thrown) {
          failure = asError(thrown);
        }
        if (failure !== undefined || last === undefined) {
          view.close();
          done(failure);
        } else {
          next(`${last[0]}\0`);
        }
      });
    };
    next(range.low);
  }

  /** The state of the newest flush on disk, which may be ahead of {@link flushedIndex}. */
  view(): BackendView {
    const raw = this.#engine.view();
    const stored = raw.getSync(flushKey);
    const flushed = stored === undefined ? emptyFlushRecord : decodeFlushRecord(stored);
    this.#openViews += 1;
    return new FlushedView(raw, flushed, () => (this.#openViews -= 1));
  }

  /** Views that are not closed: each keeps the disk from giving back what was overwritten. */
  get openViews(): number {
    return this.#openViews;
  }

  /**
   * Flushes, and gives a view of the state as of now, to be closed. It does not outlive the
   * backend: once that is closed, or replaced by a snapshot, reading the view fails.
   */
  currentView(done: (error: Error | undefined, view: BackendView | undefined) => void): void {
    this.flush((error) => {
      // Whoever waited for the same flush may have closed the backend.
      const failure = error ?? this.#failure;
      if (failure === undefined) done(undefined, this.view());
      else done(failure, undefined);
    });
  }

  /** See {@link Engine.compact}. */
  compact(range: StringRange, done: Completion): void {
    this.#engine.compact(keyRangeOf(range), done);
  }

  /** See {@link Engine.sizeOnDisk}. */
  sizeOnDisk(range: StringRange, done: (error: Error | undefined, bytes: number) => void): void {
    this.#engine.sizeOnDisk(keyRangeOf(range), done);
  }

  /** Flushes, then closes the engine. */
  close(done: Completion): void {
    assert(this.#closing === undefined, closedText);
    this.#closing = done;
    this.flush(() => {
      const failure = this.#failure;
      this.#closeEngine(new Error(closedText), (error) => done(failure ?? error));
    });
  }

  /** Closes the engine without a last flush: the state was replaced, its directory will go. */
  discard(done: Completion): void {
    assert(this.#closing === undefined, closedText);
    this.#closing = done;
    this.#closeEngine(new Error('the state was replaced by a snapshot'), done);
  }

  /** @param reason what those are told who wait for a flush that does not come any more */
  #closeEngine(reason: Error, done: Completion): void {
    this.#timer?.cancel();
    this.#failure ??= reason;
    this.#engine.close((error) => {
      const waiting = [...this.#waitingNow, ...this.#waitingNext];
      this.#waitingNow = [];
      this.#waitingNext = [];
      for (const each of waiting) each(reason);
      done(error);
    });
  }

  /** Nothing is being written, and something may be. */
  #idle(): boolean {
    return this.#flushing === undefined && this.#failure === undefined;
  }

  #dirty(): boolean {
    return (
      this.#appliedIndex > (this.#flushTarget?.index ?? this.#flushed.index) ||
      this.#pending.size > 0 ||
      (this.#log?.durableWrites ?? 0) > this.#markedWrites
    );
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#flushing !== undefined) return;
    if (this.#failure !== undefined) return;
    this.#timer = this.#clock.after(this.#flushIntervalMs, () => {
      this.#timer = undefined;
      this.flush();
    });
  }

  #begin(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const overlay = this.#pending;
    const target = {
      number: this.#flushed.number + 1,
      index: this.#appliedIndex,
      term: this.#appliedTerm,
      confState: this.#confState,
    };
    let logMark: LogMark | undefined;
    try {
      logMark = this.#log?.markAt(this.#appliedIndex);
    } catch (thrown) {
      // The log is damaged where it is read for the mark.
      this.#fail(asError(thrown), []);
      return;
    }
    this.#markedWrites = this.#log?.durableWrites ?? 0;
    this.#pending = new Map();
    this.#pendingBytes = 0;
    this.#flushing = overlay;
    this.#flushTarget = target;
    this.#waitingNow = this.#waitingNext;
    this.#waitingNext = [];
    this.#seal(overlay, (operations) => {
      if (this.#failure !== undefined) return;
      operations.push(...recordsOf(target, logMark));
      guardedWrite(this.#engine, operations, flushSteps, (error) => this.#completed(error, target));
    });
  }

  /** Makes operations of an overlay, a slice per turn, so that nothing waits long for it. */
  #seal(overlay: Overlay, done: (operations: Operation[]) => void): void {
    const operations: Operation[] = [];
    const pairs = overlay.entries();
    const turn = (): void => {
      for (let i = 0; i < sealedPerTurn; i++) {
        const next = pairs.next();
        if (next.done === true) {
          done(operations);
          return;
        }
        const key = fromLatin1(next.value[0]);
        const value = next.value[1];
        if (value === undefined) operations.push({ type: 'delete', key });
        else operations.push({ type: 'put', key, value: sealValue(key, value) });
      }
      this.#clock.defer(turn);
    };
    turn();
  }

  #completed(error: Error | undefined, target: FlushRecord): void {
    if (this.#failure !== undefined) return;
    this.#flushTarget = undefined;
    const waiting = this.#waitingNow;
    this.#waitingNow = [];
    if (error !== undefined) {
      this.#fail(error, waiting);
      return;
    }
    this.#flushing = undefined;
    this.#flushed = target;
    for (const listener of this.#flushedListeners) listener(target.index);
    for (const done of waiting) done(undefined);
    // A listener may have begun the next flush already, or this was the last one.
    if (!this.#idle() || !this.#dirty()) return;
    const isMuch = this.#pendingBytes >= flushPendingBytes;
    if (isMuch || this.#waitingNext.length > 0) this.#begin();
    else this.#schedule();
  }

  /** Keeps the overlays: reads go on being right until the member has stopped. */
  #fail(error: Error, waiting: readonly Completion[]): void {
    this.#failure = error;
    this.#logger.error({ error: error.message }, 'writing the state database failed');
    const next = this.#waitingNext;
    this.#waitingNext = [];
    for (const listener of this.#failureListeners) listener(error);
    for (const done of [...waiting, ...next]) done(error);
  }
}

function recordsOf(target: FlushRecord, logMark: LogMark | undefined): Operation[] {
  const operations: Operation[] = [
    { type: 'put', key: flushKey, value: encodeFlushRecord(target) },
    { type: 'put', key: flushMarkKey(target.number), value: encodeFlushMark(target) },
  ];
  if (target.number > flushMarks) {
    operations.push({ type: 'delete', key: flushMarkKey(target.number - flushMarks) });
  }
  if (logMark !== undefined) {
    operations.push({ type: 'put', key: logMarkKey, value: encodeLogMark(logMark) });
  }
  return operations;
}

/** Reads the newest flush record and checks the marks of those before it. */
function readNewest(
  view: EngineView,
  done: (error: Error | undefined, newest: Newest | undefined) => void,
): void {
  const range = prefixRange(stateKeys.flushMark);
  const high = fromLatin1(range.high ?? '');
  let newest: Newest;
  try {
    const stored = view.getSync(flushKey);
    const record = stored === undefined ? emptyFlushRecord : decodeFlushRecord(stored);
    const mark = view.getSync(logMarkKey);
    newest = { record, logMark: mark === undefined ? undefined : decodeLogMark(mark) };
  } catch (thrown) {
    done(asError(thrown), undefined);
    return;
  }
  const checker = new FlushMarkChecker(newest.record);
  const next = (low: Uint8Array): void => {
    view.read({ low, high }, marksPerSlice, (error, entries) => {
      const last = entries.at(-1);
      try {
        if (error !== undefined) throw error;
        for (const [key, value] of entries) checker.take(key, value);
        if (last === undefined) checker.finish();
      } catch (thrown) {
        done(asError(thrown), undefined);
        return;
      }
      if (last === undefined) done(undefined, newest);
      else next(keyAfter(last[0]));
    });
  };
  next(fromLatin1(stateKeys.flushMark));
}
