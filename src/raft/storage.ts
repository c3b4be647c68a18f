/**
 * What the core reads of the host's stable log. Reads are synchronous; writing is the host's job.
 */
import type { ConfState, Entry, HardState, SnapshotMetadata } from './types.ts';

/** The entries asked for were compacted away; a snapshot stands in for them. */
export const compacted = Symbol('compacted');
/** The storage does not hold the entries asked for yet. */
export const unavailable = Symbol('unavailable');

export interface LogStorage {
  /** State as of the last start; read once. `confState` is that of the last applied index. */
  initialState(): { readonly hardState: HardState; readonly confState: ConfState };
  /** Index of the first entry that can be read: one after the compaction point or snapshot. */
  firstIndex(): number;
  /** Index of the last entry, or of the snapshot if there are no entries. */
  lastIndex(): number;
  /** Term of an entry between firstIndex - 1 and lastIndex, both included. */
  term(index: number): number | typeof compacted | typeof unavailable;
  /**
   * Entries in [low, high), at least one if there is one, else as many as fit into
   * `sizeLimitBytes`.
   */
  entries(
    low: number,
    high: number,
    sizeLimitBytes: number,
  ): readonly Entry[] | typeof compacted | typeof unavailable;
  /** The newest snapshot that could be sent now. */
  snapshot(): SnapshotMetadata | typeof unavailable;
}
