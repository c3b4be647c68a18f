/**
 * The end of the log that is kept in memory: what is not durable yet, and what will be read soon.
 */
import { fail } from '../check.ts';
import type { Entry, SnapshotMetadata } from '../types.ts';
import { entriesSizeBytes, fittingCount } from './entry-size.ts';

/**
 * Entries from `offset` on, and a snapshot that is still to be installed. Everything below
 * `offset` is read from the host's storage; everything from `offset` on is read here, even where
 * the storage still holds other entries that a write in progress is about to replace.
 *
 * Invariant: offset <= handedOut <= end(), where entries below `handedOut` have been given to the
 * host to be written.
 */
export class Tail {
  #offset: number;
  #handedOut: number;
  #entries: Entry[] = [];
  #sizeBytes = 0;
  #snapshot: SnapshotMetadata | undefined;
  #snapshotHandedOut = false;

  constructor(nextIndex: number) {
    this.#offset = nextIndex;
    this.#handedOut = nextIndex;
  }

  get offset(): number {
    return this.#offset;
  }

  get handedOut(): number {
    return this.#handedOut;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The snapshot that replaces everything before `offset`, until it is installed. */
  get snapshot(): SnapshotMetadata | undefined {
    return this.#snapshot;
  }

  /** One past the last entry. */
  end(): number {
    return this.#offset + this.#entries.length;
  }

  hasNew(): boolean {
    return (
      this.end() > this.#handedOut || (this.#snapshot !== undefined && !this.#snapshotHandedOut)
    );
  }

  /** The entry's term, or undefined if neither the entries nor the snapshot cover the index. */
  term(index: number): number | undefined {
    if (index >= this.#offset) return this.#entries[index - this.#offset]?.term;
    return this.#snapshot?.index === index ? this.#snapshot.term : undefined;
  }

  /** Adds entries at the end. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) this.#entries.push(entry);
    this.#sizeBytes += entriesSizeBytes(entries);
  }

  /** Forgets everything from `index` on; what was handed out is handed out anew from there. */
  truncateFrom(index: number): void {
    if (index <= this.#offset) {
      this.#entries = [];
      this.#sizeBytes = 0;
      this.#offset = index;
      this.#handedOut = index;
      return;
    }
    const kept = index - this.#offset;
    this.#sizeBytes -= entriesSizeBytes(this.#entries.slice(kept));
    this.#entries.length = Math.min(kept, this.#entries.length);
    this.#handedOut = Math.min(this.#handedOut, index);
  }

  /** Replaces the whole log by a snapshot. */
  restore(snapshot: SnapshotMetadata): void {
    this.#entries = [];
    this.#sizeBytes = 0;
    this.#offset = snapshot.index + 1;
    this.#handedOut = this.#offset;
    this.#snapshot = snapshot;
    this.#snapshotHandedOut = false;
  }

  /** Entries in [low, high) as far as they fit, at least one. */
  slice(low: number, high: number, limitBytes: number): readonly Entry[] {
    if (low < this.#offset || high > this.end()) fail(`tail does not hold [${low}, ${high})`);
    const start = low - this.#offset;
    const count = fittingCount(this.#entries, start, high - this.#offset, limitBytes);
    return this.#entries.slice(start, start + count);
  }

  /** Takes what has not been given to the host yet. */
  takeNew(): { entries: readonly Entry[]; snapshot: SnapshotMetadata | undefined } {
    const entries =
      this.end() > this.#handedOut ? this.#entries.slice(this.#handedOut - this.#offset) : [];
    const snapshot = this.#snapshotHandedOut ? undefined : this.#snapshot;
    this.#handedOut = this.end();
    this.#snapshotHandedOut = this.#snapshot !== undefined;
    return { entries, snapshot };
  }

  /** The snapshot with this index is installed. An older one says nothing about a newer one. */
  snapshotInstalled(index: number): void {
    if (this.#snapshot?.index !== index) return;
    this.#snapshot = undefined;
    this.#snapshotHandedOut = false;
  }

  /**
   * Lets go of entries up to `index`, which the storage must hold. Copies seldom: half at a time.
   */
  release(index: number): void {
    const count = Math.min(index + 1, this.#handedOut) - this.#offset;
    if (count <= 0 || count * 2 < this.#entries.length) return;
    for (let position = 0; position < count; position++) {
      const entry = this.#entries[position];
      if (entry !== undefined) this.#sizeBytes -= entriesSizeBytes([entry]);
    }
    this.#entries = this.#entries.slice(count);
    this.#offset += count;
  }
}
