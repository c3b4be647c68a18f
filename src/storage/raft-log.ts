/** The member's stable log: what Raft must find again after a crash. */
import { assert, present } from '../base/assert.ts';
import { fromLatin1 } from '../base/bytes.ts';
import { compacted, noMember, unavailable, type MemberId } from '../raft/index.ts';
import type { ConfState, Entry, HardState, LogStorage, SnapshotMetadata } from '../raft/index.ts';
import type { Completion, Engine, Operation } from './engine.ts';
import { asError, CorruptionError } from './errors.ts';
import { guardedWrite } from './guarded-write.ts';
import { logKeys, numberedKey } from './keyspace.ts';
import { loadLog, type LogAnchor, type LoadedLog } from './log-loader.ts';
import { chainOver, entryBytes, packEntries, readHeader, unpackEntries } from './log-record.ts';
import type { RecordHeader } from './log-record.ts';
import {
  encodeAnchor,
  encodeHardState,
  encodeOrigin,
  encodeStateDirectory,
  encodeTail,
  put,
  type LogMark,
} from './log-state.ts';
import { emptyConfState } from './record.ts';
import { TermRuns } from './term-runs.ts';

export type { LogAnchor } from './log-loader.ts';

/** Entries of one append beyond this go to several records of one batch. */
const recordLimitBytes = 4 * 1024 * 1024;
const defaultLogCacheBytes = 64 * 1024 * 1024;

const persistSteps = { before: 'persist-before-write', after: 'persist-after-write' } as const;
const compactionSteps = {
  before: 'log-compaction-before-write',
  after: 'log-compaction-after-write',
} as const;

/** A record of entries: its header, and the entries while they are in memory. */
interface Segment extends RecordHeader {
  entries: readonly Entry[] | undefined;
  readonly bytes: number;
  /** It can be read from the engine, so its entries may leave memory. */
  stored: boolean;
}

export interface LogSnapshot {
  readonly metadata: SnapshotMetadata;
  /** Name of the state directory that holds its contents. */
  readonly stateDirectory: string;
  /** Chain value of the log at the snapshot's index. */
  readonly chain: number;
}

export interface LogBatch {
  readonly hardState?: HardState | undefined;
  /** Consecutive; the first may overwrite what the log holds from its index on. */
  readonly entries: readonly Entry[];
  /** Replaces the whole log before the entries are appended. */
  readonly snapshot?: LogSnapshot | undefined;
}

/** A bound on the member's term, kept apart from the log: should it be lost, the term is not. */
export interface TermBound {
  /** No term above this one may be used yet. */
  readonly reserved: number;
  /** Raises the bound to at least `term`, durably, or throws. Seldom needed, so it may block. */
  reserve(term: number): void;
}

export interface RaftLogOptions {
  readonly engine: Engine;
  /** Whose log it must be. */
  readonly memberId?: MemberId;
  readonly termBound?: TermBound;
  /** Budget for entries kept in memory; the newest stay. */
  readonly cacheBytes?: number;
}

/**
 * Implements the core's {@link LogStorage}. Memory changes at once, disk with the completion of
 * each append; reads see memory. All writes are synced: what LevelDB loses at the end of its log is
 * then never something that was acknowledged.
 */
export class RaftLog implements LogStorage {
  readonly #engine: Engine;
  readonly #memberId: MemberId;
  readonly #termBound: TermBound | undefined;
  readonly #cacheBytes: number;
  readonly #terms = new TermRuns();
  /** Consecutive, none empty. The first may begin below the first index. */
  #segments: Segment[] = [];
  #anchor: LogAnchor;
  #hardState: HardState;
  #confState: ConfState = emptyConfState;
  #available: SnapshotMetadata | undefined;
  #stateDirectory: string | undefined;
  #repairTerm: number | undefined;
  /** Synced appends so far, and those of them that are durable. */
  #writes: number;
  #durableWrites: number;
  #onWrite: () => void = () => {};
  #cachedBytes = 0;
  /** Segments before this position have no entries in memory. */
  #firstCached = 0;
  /** A hard state that no write carries yet: only its commit index is new. */
  #hardStatePending = false;
  /** The record read last: a follower that lags reads each in several pieces. */
  #lastRead: { readonly segment: Segment; readonly entries: readonly Entry[] } | undefined;

  private constructor(options: RaftLogOptions, loaded: LoadedLog) {
    this.#engine = options.engine;
    this.#memberId = options.memberId ?? noMember;
    this.#termBound = options.termBound;
    this.#cacheBytes = options.cacheBytes ?? defaultLogCacheBytes;
    this.#anchor = loaded.anchor;
    this.#hardState = loaded.hardState;
    this.#stateDirectory = loaded.stateDirectory;
    this.#repairTerm = loaded.repairTerm;
    this.#writes = loaded.origin?.writes ?? 0;
    this.#durableWrites = this.#writes;
    this.#terms.reset(loaded.anchor.index, loaded.anchor.term);
    for (const { header, bytes, terms } of loaded.records) {
      this.#segments.push({ ...header, entries: undefined, bytes, stored: true });
      for (const { index, term } of terms) this.#terms.set(index, term);
    }
    this.#firstCached = this.#segments.length;
  }

  /** Reads and checks the whole log, in slices. */
  static open(
    options: RaftLogOptions,
    done: (error: Error | undefined, log: RaftLog | undefined) => void,
  ): void {
    loadLog(options.engine, (error, loaded) => {
      const { memberId } = options;
      const found = loaded?.origin?.memberId;
      if (loaded === undefined) {
        done(error, undefined);
      } else if (memberId !== undefined && found !== undefined && found !== memberId) {
        const message = `the log has files of the log of member ${found.toString(16)}`;
        done(new CorruptionError(message), undefined);
      } else {
        done(undefined, new RaftLog(options, loaded));
      }
    });
  }

  /** Where the log begins: index, term and chain of the entry before the first. */
  get anchor(): LogAnchor {
    return this.#anchor;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  /** The state directory named last; undefined in a log that was never used. */
  get stateDirectory(): string | undefined {
    return this.#stateDirectory;
  }

  /**
   * Set while entries that the member may have acknowledged are lost: it abstains until its last
   * entry is of this term or a later one (`raft/abstention.ts`). Undefined when that is durable.
   */
  get repairTerm(): number | undefined {
    return this.#repairTerm;
  }

  /** Synced appends that are durable: what the state's mark of the log counts. */
  get durableWrites(): number {
    return this.#durableWrites;
  }

  /** Calls `listener` whenever a synced append has become durable. */
  onWrite(listener: () => void): void {
    this.#onWrite = listener;
  }

  /** What a state that covers `index` notes of this log; undefined if the log begins later. */
  markAt(index: number): LogMark | undefined {
    if (index < this.#anchor.index) return undefined;
    const origin = { memberId: this.#memberId, writes: this.#durableWrites };
    return { ...origin, index, chain: this.chainAt(index) };
  }

  /** Bytes of entries kept in memory. */
  get cachedBytes(): number {
    return this.#cachedBytes;
  }

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#confState };
  }

  firstIndex(): number {
    return this.#anchor.index + 1;
  }

  lastIndex(): number {
    return this.#segments.at(-1)?.lastIndex ?? this.#anchor.index;
  }

  term(index: number): number | typeof compacted | typeof unavailable {
    if (index < this.#anchor.index) return compacted;
    if (index > this.lastIndex()) return unavailable;
    return this.#terms.term(index);
  }

  entries(
    low: number,
    high: number,
    sizeLimitBytes: number,
  ): readonly Entry[] | typeof compacted | typeof unavailable {
    if (low <= this.#anchor.index) return compacted;
    if (high > this.lastIndex() + 1) return unavailable;
    const result: Entry[] = [];
    let size = 0;
    let position = this.#position(low);
    let index = low;
    while (index < high) {
      const segment = present(this.#segments[position], `the record of index ${index}`);
      const entries = this.#read(segment);
      const end = Math.min(high, segment.lastIndex + 1);
      for (; index < end; index++) {
        const entry = present(entries[index - segment.firstIndex], 'an entry of a record');
        size += entryBytes(entry);
        if (size > sizeLimitBytes && result.length > 0) return result;
        result.push(entry);
      }
      position += 1;
    }
    return result;
  }

  snapshot(): SnapshotMetadata | typeof unavailable {
    return this.#available ?? unavailable;
  }

  /** Membership as of the applied state; the core reads it once, at the start. */
  setConfState(confState: ConfState): void {
    this.#confState = confState;
  }

  /** The newest state that could be sent to a follower now. */
  setSnapshotAvailable(metadata: SnapshotMetadata): void {
    this.#available = metadata;
  }

  /**
   * Takes one batch into memory and writes it. With `sync`, `done` means that it is durable.
   * Without, only the commit index may have changed; it goes to disk with the next synced batch.
   */
  append(batch: LogBatch, sync: boolean, done: Completion): void {
    assert(
      sync || (batch.entries.length === 0 && batch.snapshot === undefined),
      'entries and snapshots are always synced',
    );
    const operations: Operation[] = [];
    if (batch.hardState !== undefined) {
      this.#hardState = batch.hardState;
      this.#hardStatePending = true;
    }
    if (batch.snapshot !== undefined) this.#replace(batch.snapshot, operations);
    const written = this.#append(batch.entries, operations);
    if (!sync) {
      this.#engine.write([], false, done);
      return;
    }
    let whole: boolean;
    try {
      whole = this.#writeState(operations);
    } catch (thrown) {
      // The caller must stop, as after any failed write.
      this.#engine.write([], false, () => done(asError(thrown)));
      return;
    }
    const writes = this.#writes;
    guardedWrite(this.#engine, operations, persistSteps, (error) => {
      if (error === undefined) {
        for (const segment of written) segment.stored = true;
        this.#durableWrites = writes;
        if (whole) this.#repairTerm = undefined;
        this.#evict();
        this.#onWrite();
      }
      done(error);
    });
  }

  /** The single records that go with a synced append; whether it ends a repair. */
  #writeState(operations: Operation[]): boolean {
    const { term } = this.#hardState;
    if (this.#termBound !== undefined && term > this.#termBound.reserved) {
      this.#termBound.reserve(term);
    }
    if (this.#hardStatePending) {
      this.#hardStatePending = false;
      operations.push(put(logKeys.hardState, encodeHardState(this.#hardState)));
    }
    this.#writes += 1;
    const origin = { memberId: this.#memberId, writes: this.#writes };
    operations.push(put(logKeys.origin, encodeOrigin(origin)));
    if (this.#repairTerm === undefined) return false;
    if (this.#terms.term(this.lastIndex()) < this.#repairTerm) return false;
    operations.push({ type: 'delete', key: fromLatin1(logKeys.repair) });
    return true;
  }

  /** Names the state directory of a new member, or one that was rebuilt. */
  setStateDirectory(name: string, done: Completion): void {
    this.#stateDirectory = name;
    this.#engine.write([put(logKeys.stateDirectory, encodeStateDirectory(name))], true, done);
  }

  /** Drops entries up to and including `index`, which a flushed state covers. */
  compact(index: number, done: Completion = () => {}): void {
    if (index <= this.#anchor.index) {
      this.#engine.write([], false, done);
      return;
    }
    assert(index <= this.lastIndex(), `cannot compact to ${index}: the log ends before`);
    const term = this.#terms.term(index);
    this.#anchor = { index, term, chain: this.chainAt(index) };
    this.#terms.discardBefore(index);
    const operations = [put(logKeys.anchor, encodeAnchor(this.#anchor))];
    let gone = 0;
    for (const segment of this.#segments) {
      if (segment.lastIndex > index) break;
      operations.push(remove(segment));
      this.#forget(segment);
      gone += 1;
    }
    this.#segments.splice(0, gone);
    this.#firstCached = Math.max(0, this.#firstCached - gone);
    guardedWrite(this.#engine, operations, compactionSteps, done);
  }

  /** Chain value after the entry of `index`, which is in the log or its anchor. */
  chainAt(index: number): number {
    if (index === this.#anchor.index) return this.#anchor.chain;
    assert(index > this.#anchor.index && index <= this.lastIndex(), `no chain at ${index}`);
    const segment = present(this.#segments[this.#position(index)], `the record of ${index}`);
    if (index === segment.lastIndex) return segment.chainAfter;
    const before = this.#read(segment).slice(0, index + 1 - segment.firstIndex);
    return chainOver(before, segment.chainBefore);
  }

  /** Closes the engine after the writes under way. */
  close(done: Completion): void {
    this.#engine.close(done);
  }

  #replace(snapshot: LogSnapshot, operations: Operation[]): void {
    const { metadata, stateDirectory, chain } = snapshot;
    for (const segment of this.#segments) {
      operations.push(remove(segment));
      this.#forget(segment);
    }
    this.#segments = [];
    this.#firstCached = 0;
    this.#anchor = { index: metadata.index, term: metadata.term, chain };
    this.#terms.reset(metadata.index, metadata.term);
    this.#stateDirectory = stateDirectory;
    this.#confState = metadata.confState;
    this.#available = undefined;
    operations.push(put(logKeys.anchor, encodeAnchor(this.#anchor)));
    operations.push(put(logKeys.stateDirectory, encodeStateDirectory(stateDirectory)));
    operations.push(put(logKeys.tail, encodeTail(metadata.index, chain)));
  }

  /** Adds entries, after cutting off what they overwrite. Returns the segments to be written. */
  #append(entries: readonly Entry[], operations: Operation[]): readonly Segment[] {
    const first = entries[0];
    if (first === undefined) return [];
    assert(first.index > this.#anchor.index, `entry ${first.index} is compacted already`);
    assert(first.index <= this.lastIndex() + 1, `entry ${first.index} would leave a gap`);
    const written: Segment[] = [];
    if (first.index <= this.lastIndex()) this.#truncate(first.index, operations, written);
    let from = 0;
    let term = this.#terms.term(first.index - 1);
    while (from < entries.length) {
      let bytes = 0;
      let to = from;
      for (; to < entries.length; to++) {
        const entry = present(entries[to], 'an entry');
        if (entry.index !== first.index + to) assert(false, `entry ${entry.index} is out of order`);
        bytes += entryBytes(entry);
        if (bytes > recordLimitBytes && to > from) break;
        if (entry.term !== term) {
          this.#terms.set(entry.index, entry.term);
          term = entry.term;
        }
      }
      const slice = from === 0 && to === entries.length ? entries : entries.slice(from, to);
      written.push(this.#pack(slice, operations));
      from = to;
    }
    operations.push(put(logKeys.tail, encodeTail(this.lastIndex(), this.#lastChain())));
    return written;
  }

  #pack(entries: readonly Entry[], operations: Operation[]): Segment {
    const { header, bytes } = packEntries(entries, this.#lastChain());
    const segment = { ...header, entries, bytes: bytes.length, stored: false };
    this.#segments.push(segment);
    this.#cachedBytes += segment.bytes;
    const key = numberedKey(logKeys.entries, header.firstIndex);
    operations.push({ type: 'put', key, value: bytes });
    return segment;
  }

  #lastChain(): number {
    return this.#segments.at(-1)?.chainAfter ?? this.#anchor.chain;
  }

  /** Removes `index` and everything after it; a record that it falls into is written anew. */
  #truncate(index: number, operations: Operation[], written: Segment[]): void {
    let kept: readonly Entry[] = [];
    for (;;) {
      const segment = this.#segments.at(-1);
      if (segment === undefined || segment.lastIndex < index) break;
      if (segment.firstIndex < index) {
        kept = this.#read(segment).slice(0, index - segment.firstIndex);
      }
      const { chainBefore } = segment;
      operations.push(remove(segment));
      this.#forget(segment);
      this.#segments.pop();
      assert(chainBefore === this.#lastChain() || this.#segments.length === 0, 'broken chain');
    }
    this.#firstCached = Math.min(this.#firstCached, this.#segments.length);
    this.#terms.truncate(index);
    if (kept.length > 0) this.#keep(kept, operations, written);
  }

  /** Writes what remains of a record after its end was cut off. */
  #keep(kept: readonly Entry[], operations: Operation[], written: Segment[]): void {
    // The record may begin at or below the anchor: what is below has no place in a new record.
    const live = kept.filter((entry) => entry.index > this.#anchor.index);
    if (live.length > 0) written.push(this.#pack(live, operations));
  }

  /** Position of the segment that holds `index`. */
  #position(index: number): number {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#segments[middle]?.firstIndex ?? Infinity) <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #read(segment: Segment): readonly Entry[] {
    if (segment.entries !== undefined) return segment.entries;
    if (this.#lastRead?.segment === segment) return this.#lastRead.entries;
    const { firstIndex } = segment;
    const stored = this.#engine.getSync(numberedKey(logKeys.entries, firstIndex));
    if (stored === undefined) throw new CorruptionError(`the log record of ${firstIndex} is gone`);
    const header = readHeader(stored, firstIndex);
    if (header.lastIndex !== segment.lastIndex || header.chainAfter !== segment.chainAfter) {
      throw new CorruptionError(`the log record of ${firstIndex} is not the one written last`);
    }
    const entries = unpackEntries(stored, header);
    this.#lastRead = { segment, entries };
    return entries;
  }

  #forget(segment: Segment): void {
    if (segment.entries !== undefined) this.#cachedBytes -= segment.bytes;
    segment.entries = undefined;
    if (this.#lastRead?.segment === segment) this.#lastRead = undefined;
  }

  /** Lets the oldest entries go from memory until the budget holds; only what is on disk goes. */
  #evict(): void {
    while (this.#cachedBytes > this.#cacheBytes) {
      const segment = this.#segments[this.#firstCached];
      if (segment === undefined || !segment.stored) return;
      this.#forget(segment);
      this.#firstCached += 1;
    }
  }
}

function remove(segment: Segment): Operation {
  return { type: 'delete', key: numberedKey(logKeys.entries, segment.firstIndex) };
}
