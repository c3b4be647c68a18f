/** What the parts of the state machine need of the state database. */
import type { StringRange } from '../storage/keyspace.ts';

export interface StateBackend {
  get(key: string): Uint8Array | undefined;
  /** Takes effect at once; the bytes must not change any more. */
  put(key: string, value: Uint8Array): void;
  delete(key: string): void;
  /** Reads what is on disk, in key order and in slices. For the start only. */
  scan(
    range: StringRange,
    limit: number,
    onEntries: (entries: readonly (readonly [key: string, value: Uint8Array])[]) => void,
    done: (error: Error | undefined) => void,
  ): void;
}

/** For parts that are kept in memory as a whole, and read at the start only. */
export type RecordBackend = Pick<StateBackend, 'put' | 'delete' | 'scan'>;
