/** An ordered store of byte keys and values with atomic, synced batches; LevelDB in production. */

export type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: Uint8Array };

/** Bounds of an iteration: from `low` (included) to `high` (excluded); both may be absent. */
export interface KeyRange {
  readonly low?: Uint8Array;
  readonly high?: Uint8Array;
}

export type EngineEntry = readonly [key: Uint8Array, value: Uint8Array];

/** How a write or another piece of work without a result ends. */
export type Completion = (error: Error | undefined) => void;

/** A consistent view that later writes do not change. Must be closed. */
export interface EngineView {
  getSync(key: Uint8Array): Uint8Array | undefined;
  /**
   * Reads up to `limit` entries in key order; the callback gets an empty array at the end. Fewer
   * than `limit` do not mean the end: continue after the last key that came.
   */
  read(
    range: KeyRange,
    limit: number,
    done: (error: Error | undefined, entries: readonly EngineEntry[]) => void,
  ): void;
  close(): void;
}

/**
 * One database directory. Writes take effect in the order of the calls; at most one is under way
 * in LevelDB, the rest wait, and several that wait may become one. A write is readable when its
 * completion is called. Completions are never called from within `write`. After the first failed
 * write every later one fails too, with the same error: a failed sync must not be retried
 * (reliability rules; cockroach#37102).
 */
export interface Engine {
  /** Bytes of keys and values whose writes have not completed: the measure for back-pressure. */
  readonly backlogBytes: number;
  getSync(key: Uint8Array): Uint8Array | undefined;
  /**
   * Writes all operations or none. With `sync`, `done` means that it survives a power cut. Without
   * operations nothing is written, and `done` is called after the writes asked for before.
   */
  write(operations: readonly Operation[], sync: boolean, done: Completion): void;
  view(): EngineView;
  /**
   * Gives the space of a range's deleted pairs back to the file system; others go on meanwhile, but
   * {@link close} waits for it.
   */
  compact(range: KeyRange, done: Completion): void;
  /** About how many bytes of files a range takes, deleted pairs included. */
  sizeOnDisk(range: KeyRange, done: (error: Error | undefined, bytes: number) => void): void;
  /** Waits for writes under way, then closes. */
  close(done: Completion): void;
}

/** The bytes an operation counts for in {@link Engine.backlogBytes}. */
export function operationBytes(operation: Operation): number {
  return operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
}

/** The smallest key after `key`: where reading goes on. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
