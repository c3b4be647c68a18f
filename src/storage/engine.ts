/** An ordered store of byte keys and values with atomic, synced batches; LevelDB in production. */

export type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: Uint8Array };

/** Bounds of an iteration: from `low` (included) to `high` (excluded); both may be absent. */
export interface KeyRange {
  readonly low?: Uint8Array;
  readonly high?: Uint8Array;
}

/** A consistent view that later writes do not change. Must be closed. */
export interface EngineView {
  getSync(key: Uint8Array): Uint8Array | undefined;
  /** Reads up to `limit` entries in key order; the callback gets an empty array at the end. */
  read(
    range: KeyRange,
    limit: number,
    done: (error: Error | undefined, entries: readonly (readonly [Uint8Array, Uint8Array])[]) => void,
  ): void;
  close(): void;
}

/**
 * One database directory. Writes take effect in the order of the calls; at most one is under way
 * in LevelDB, the rest wait. After the first failed write every later one fails too, with the same
 * error: a failed sync must not be retried (reliability rules; cockroach#37102).
 */
export interface Engine {
  getSync(key: Uint8Array): Uint8Array | undefined;
  /** Writes all operations or none. With `sync`, `done` means that it survives a power cut. */
  write(operations: readonly Operation[], sync: boolean, done: (error: Error | undefined) => void): void;
  view(): EngineView;
  /** Waits for writes under way, then closes. */
  close(done: (error: Error | undefined) => void): void;
}
