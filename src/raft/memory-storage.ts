/** A log in memory: for tests and simulations. */
import { check } from './check.ts';
import { compacted, unavailable, type LogStorage } from './storage.ts';
import { fittingCount } from './log/entry-size.ts';
import type { ConfState, Entry, HardState, SnapshotMetadata } from './types.ts';

export const noConfState: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export class MemoryStorage implements LogStorage {
  #hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  #confState: ConfState;
  /** Index and term before the first entry. */
  #base = { index: 0, term: 0 };
  #entries: Entry[] = [];
  #snapshot: SnapshotMetadata | undefined;

  constructor(confState: ConfState = noConfState) {
    this.#confState = confState;
  }

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#confState };
  }

  firstIndex(): number {
    return this.#base.index + 1;
  }

  lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  term(index: number): number | typeof compacted | typeof unavailable {
    if (index < this.#base.index) return compacted;
    if (index === this.#base.index) return this.#base.term;
    return this.#entries[index - this.#base.index - 1]?.term ?? unavailable;
  }

  entries(
    low: number,
    high: number,
    sizeLimitBytes: number,
  ): readonly Entry[] | typeof compacted | typeof unavailable {
    if (low <= this.#base.index) return compacted;
    if (high > this.lastIndex() + 1) return unavailable;
    const start = low - this.#base.index - 1;
    const count = fittingCount(this.#entries, start, high - this.#base.index - 1, sizeLimitBytes);
    return this.#entries.slice(start, start + count);
  }

  snapshot(): SnapshotMetadata | typeof unavailable {
    return this.#snapshot ?? unavailable;
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  /** The configuration as of the index that the host has applied. */
  setConfState(confState: ConfState): void {
    this.#confState = confState;
  }

  /** Adds entries, replacing those from the first one's index on. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    const kept = first.index - this.#base.index - 1;
    check(kept >= 0 && kept <= this.#entries.length, `a gap before entry ${first.index}`);
    if (kept < this.#entries.length) this.#entries.length = kept;
    for (const entry of entries) this.#entries.push(entry);
  }

  /** Replaces everything by a snapshot received. */
  install(snapshot: SnapshotMetadata): void {
    this.#snapshot = snapshot;
    this.#confState = snapshot.confState;
    this.#base = { index: snapshot.index, term: snapshot.term };
    this.#entries = [];
  }

  /** Notes that a snapshot of the applied state could be sent. */
  createSnapshot(index: number, confState: ConfState): SnapshotMetadata {
    const term = this.term(index);
    check(typeof term === 'number', `no snapshot can be made at ${index}`);
    this.#snapshot = { index, term, confState };
    return this.#snapshot;
  }

  /** Drops entries up to `index`. */
  compact(index: number): void {
    const term = this.term(index);
    check(typeof term === 'number', `cannot compact to ${index}`);
    this.#entries = this.#entries.slice(index - this.#base.index);
    this.#base = { index, term };
  }

  /** A copy that later writes do not touch. */
  clone(): MemoryStorage {
    const copy = new MemoryStorage(this.#confState);
    copy.#hardState = this.#hardState;
    copy.#base = this.#base;
    copy.#entries = [...this.#entries];
    copy.#snapshot = this.#snapshot;
    return copy;
  }
}
