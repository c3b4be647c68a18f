/** The replicated log as this member sees it: the host's storage plus the tail in memory. */
import { check, fail } from '../check.ts';
import { compacted, unavailable, type LogStorage } from '../storage.ts';
import type { Entry, SnapshotMetadata } from '../types.ts';
import { entriesSizeBytes } from './entry-size.ts';
import { Tail } from './tail.ts';
import { WriteQueue } from './write-queue.ts';

/**
 * Entries that are durable but not yet applied stay in memory up to this size, so that applying
 * them reads nothing back from the storage. Past it, a member that applies slowly reads them again.
 */
export const tailCacheLimitBytes = 32 * 1024 * 1024;

/** Where one entry stands, by which logs are compared (Raft 5.4.1). */
export interface LogPosition {
  readonly index: number;
  readonly term: number;
}

/**
 * Invariants: applied <= applying <= min(committed, durable) unless a snapshot is on its way in;
 * committed <= lastIndex; durable <= lastIndex.
 */
export class RaftLog {
  readonly #storage: LogStorage;
  readonly tail: Tail;
  readonly writes = new WriteQueue();
  #lastIndex: number;
  /** Last index known to be on stable storage with the entry that the log holds now. */
  #durable: number;
  #committed: number;
  /** Last index handed to the host for applying. */
  #applying: number;
  #applied: number;
  /** Last index and size of each slice handed out and not yet applied. */
  readonly #applyingSlices: { last: number; sizeBytes: number }[] = [];
  #applyingBytes = 0;

  constructor(storage: LogStorage, committed: number, applied: number) {
    const first = storage.firstIndex();
    const last = storage.lastIndex();
    check(first >= 1 && last >= first - 1, `storage holds an impossible range [${first}, ${last}]`);
    check(committed <= last, `commit index ${committed} is beyond the log's end ${last}`);
    check(applied <= committed, `applied index ${applied} is beyond the commit index ${committed}`);
    this.#storage = storage;
    this.tail = new Tail(last + 1);
    this.#lastIndex = last;
    this.#durable = last;
    // What a snapshot or the compaction covers was committed and applied.
    this.#committed = Math.max(committed, first - 1);
    this.#applying = Math.max(applied, first - 1);
    this.#applied = this.#applying;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get durable(): number {
    return this.#durable;
  }

  get committed(): number {
    return this.#committed;
  }

  get applying(): number {
    return this.#applying;
  }

  get applied(): number {
    return this.#applied;
  }

  firstIndex(): number {
    return this.tail.snapshot ? this.tail.snapshot.index + 1 : this.#storage.firstIndex();
  }

  lastPosition(): LogPosition {
    return { index: this.#lastIndex, term: this.termOrZero(this.#lastIndex) };
  }

  /** Term of the entry, or why it cannot be told: below the first index or past the last. */
  term(index: number): number | typeof compacted | typeof unavailable {
    const known = this.tail.term(index);
    if (known !== undefined) return known;
    if (index > this.#lastIndex) return unavailable;
    if (this.tail.snapshot !== undefined || index < this.#storage.firstIndex() - 1)
      return compacted;
    return this.#storage.term(index);
  }

  /** Term of the entry, or 0, which no entry has, if the log does not know it. */
  termOrZero(index: number): number {
    const term = this.term(index);
    return typeof term === 'number' ? term : 0;
  }

  matches(position: LogPosition): boolean {
    return this.term(position.index) === position.term;
  }

  /** Whether a log that ends at `other` holds at least everything committed here (Raft 5.4.1). */
  isUpToDate(other: LogPosition): boolean {
    const last = this.lastPosition();
    return other.term > last.term || (other.term === last.term && other.index >= last.index);
  }

  /** Entries in [low, high) as far as they fit into `limitBytes`, at least one if there is one. */
  slice(low: number, high: number, limitBytes: number): readonly Entry[] | typeof compacted {
    if (low >= high) return [];
    if (low < this.firstIndex()) return compacted;
    if (high > this.#lastIndex + 1) fail(`read past the log's end ${this.#lastIndex}: ${high}`);
    const offset = this.tail.offset;
    if (low >= offset) return this.tail.slice(low, high, limitBytes);
    const wanted = Math.min(high, offset) - low;
    const stored = this.#storage.entries(low, low + wanted, limitBytes);
    if (stored === compacted) return compacted;
    if (stored === unavailable || stored.length === 0) {
      fail(`storage lost the durable entries from ${low} on`);
    }
    if (stored.length < wanted || high <= offset) return stored;
    const left = limitBytes - entriesSizeBytes(stored);
    return left > 0 ? stored.concat(this.#fitting(offset, high, left)) : stored;
  }

  #fitting(low: number, high: number, limitBytes: number): readonly Entry[] {
    const found = this.tail.slice(low, high, limitBytes);
    // The tail returns one entry even if it is too large, which is right only for a first entry.
    return found.length === 1 && entriesSizeBytes(found) > limitBytes ? [] : found;
  }

  /** A leader's own entries: always at the end. */
  append(entries: readonly Entry[]): void {
    this.tail.append(entries);
    this.#lastIndex += entries.length;
  }

  /**
   * A follower's entries (Raft figure 2, AppendEntries 2 to 5). Returns the index of the last
   * entry known to match the leader's log, or undefined if the entry before them does not match.
   */
  tryAppend(
    previousIndex: number,
    previousTerm: number,
    entries: readonly Entry[],
    commit: number,
  ): number | undefined {
    if (this.term(previousIndex) !== previousTerm) return undefined;
    const lastNew = previousIndex + entries.length;
    const conflict = this.#firstDifference(entries);
    if (conflict !== undefined) {
      if (conflict <= this.#committed) {
        fail(`entry ${conflict} conflicts with a committed entry (committed ${this.#committed})`);
      }
      if (conflict <= this.#lastIndex) this.#truncateFrom(conflict);
      this.append(
        conflict === previousIndex + 1 ? entries : entries.slice(conflict - previousIndex - 1),
      );
    }
    this.commitTo(Math.min(commit, lastNew));
    return lastNew;
  }

  /** First index at which the log lacks the entry or holds another one. */
  #firstDifference(entries: readonly Entry[]): number | undefined {
    for (const entry of entries) {
      if (entry.index > this.#lastIndex || !this.matches(entry)) return entry.index;
    }
    return undefined;
  }

  #truncateFrom(index: number): void {
    this.tail.truncateFrom(index);
    this.#lastIndex = index - 1;
    this.#durable = Math.min(this.#durable, index - 1);
    this.writes.overwrittenFrom(index);
  }

  /**
   * The largest index up to `index` whose term is at most `term`: where the logs may match at
   * best. Stops at what was compacted away.
   */
  findMatchCandidate(index: number, term: number): LogPosition {
    let position = Math.min(index, this.#lastIndex);
    for (; position > 0; position--) {
      const own = this.term(position);
      if (typeof own !== 'number') return { index: position, term: 0 };
      if (own <= term) return { index: position, term: own };
    }
    return { index: 0, term: 0 };
  }

  commitTo(index: number): void {
    if (index <= this.#committed) return;
    if (index > this.#lastIndex) {
      fail(
        `told to commit ${index}, past the log's end ${this.#lastIndex}: ` +
          'acknowledged entries were lost',
      );
    }
    this.#committed = index;
  }

  /**
   * Commits up to `index` if its entry is of `term`: older terms commit only along (Raft 5.4.2).
   */
  tryCommit(index: number, term: number): boolean {
    if (index <= this.#committed || this.termOrZero(index) !== term) return false;
    this.commitTo(index);
    return true;
  }

  restore(snapshot: SnapshotMetadata): void {
    this.writes.overwrittenFrom(1);
    this.#durable = Math.min(this.#durable, this.#committed);
    this.tail.restore(snapshot);
    this.#lastIndex = snapshot.index;
    this.#committed = snapshot.index;
  }

  /** The host acknowledged writes: these indexes are now on stable storage. */
  durableTo(index: number): void {
    if (index <= this.#durable) return;
    if (index > this.#lastIndex) {
      fail(`acknowledged ${index}, past the log's end ${this.#lastIndex}`);
    }
    this.#durable = index;
    this.#releaseTail();
  }

  snapshotInstalled(index: number): void {
    this.tail.snapshotInstalled(index);
    if (this.tail.snapshot === undefined) this.durableTo(index);
    this.#applying = Math.max(this.#applying, index);
    this.appliedTo(Math.max(this.#applied, index));
  }

  /** Whether there is something to apply, and room for it. */
  hasCommitted(limitBytes: number): boolean {
    return (
      this.#applying < Math.min(this.#committed, this.#durable) &&
      this.#applyingBytes < limitBytes &&
      this.tail.snapshot === undefined
    );
  }

  /** Hands out the next committed and durable entries. */
  takeCommitted(limitBytes: number): readonly Entry[] {
    if (!this.hasCommitted(limitBytes)) return [];
    const high = Math.min(this.#committed, this.#durable) + 1;
    const entries = this.slice(this.#applying + 1, high, limitBytes - this.#applyingBytes);
    if (entries === compacted) fail(`entry ${this.#applying + 1} was compacted, not applied`);
    const sizeBytes = entriesSizeBytes(entries);
    this.#applying += entries.length;
    this.#applyingSlices.push({ last: this.#applying, sizeBytes });
    this.#applyingBytes += sizeBytes;
    this.#releaseTail();
    return entries;
  }

  appliedTo(index: number): void {
    if (index <= this.#applied) return;
    // A host may report a snapshot as applied before it acknowledges the write; the latter counts.
    if (index > this.#applying && index === this.tail.snapshot?.index) return;
    if (index > this.#applying) {
      fail(`applied ${index}, but only ${this.#applying} was handed out`);
    }
    this.#applied = index;
    let done = 0;
    for (const slice of this.#applyingSlices) {
      if (slice.last > index) break;
      this.#applyingBytes -= slice.sizeBytes;
      done++;
    }
    if (done > 0) this.#applyingSlices.splice(0, done);
  }

  #releaseTail(): void {
    const needed = this.tail.sizeBytes > tailCacheLimitBytes ? this.#durable : this.#applying;
    this.tail.release(Math.min(this.#durable, needed));
  }
}
