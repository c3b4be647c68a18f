/** The state as of one flush, read from the engine: values are checked, own records left out. */
import { fromLatin1, latin1 } from '../base/bytes.ts';
import type { SnapshotMetadata } from '../raft/index.ts';
import { keyAfter, type EngineEntry, type EngineView, type KeyRange } from './engine.ts';
import { asError } from './errors.ts';
import type { FlushRecord } from './flush-record.ts';
import { stateKeys, type StringRange } from './keyspace.ts';
import { openValue } from './record.ts';

export type BackendEntry = readonly [key: string, value: Uint8Array];

/** The state as of one flush; later flushes do not change it. Must be closed. */
export interface BackendView {
  /** The state that the view holds. */
  readonly metadata: SnapshotMetadata;
  /** Pairs as stored: each value ends in its checksum, and the flush's own records are there. */
  readonly raw: EngineView;
  get(key: string): Uint8Array | undefined;
  /** Reads up to `limit` pairs; an empty array is the end. */
  read(
    range: StringRange,
    limit: number,
    done: (error: Error | undefined, entries: readonly BackendEntry[]) => void,
  ): void;
  close(): void;
}

const ownPrefixes = [stateKeys.flush, stateKeys.flushMark, stateKeys.logMark].map((prefix) =>
  prefix.charCodeAt(0),
);

/** Keys of the backend itself: their values are records of their own, without a seal. */
export function isOwnKey(key: Uint8Array): boolean {
  return ownPrefixes.includes(key[0] ?? -1);
}

/** Whether it is what this member notes of its own log, which is nothing to others. */
export function isLogMarkKey(key: Uint8Array): boolean {
  return key[0] === stateKeys.logMark.charCodeAt(0);
}

export class FlushedView implements BackendView {
  readonly metadata: SnapshotMetadata;
  readonly raw: EngineView;
  #onClose: (() => void) | undefined;

  /** @param onClose called when it is closed for the first time */
  constructor(raw: EngineView, flushed: FlushRecord, onClose: () => void) {
    this.raw = raw;
    this.#onClose = onClose;
    const { index, term, confState } = flushed;
    this.metadata = { index, term, confState };
  }

  get(key: string): Uint8Array | undefined {
    const bytes = fromLatin1(key);
    const stored = this.raw.getSync(bytes);
    return stored === undefined ? undefined : openValue(bytes, stored);
  }

  read(
    range: StringRange,
    limit: number,
    done: (error: Error | undefined, entries: readonly BackendEntry[]) => void,
  ): void {
    const bounds = {
      ...keyRangeOf(range),
    };
    this.raw.read(bounds, limit, (error, entries) => {
      let opened: BackendEntry[] = [];
      let failure = error;
      try {
        opened = openEntries(entries);
      } catch (thrown) {
        failure ??= asError(thrown);
      }
      if (failure === undefined && opened.length === 0 && entries.length > 0) {
        // Only the backend's own records were in this slice: the end is further on.
        const last = entries.at(-1)?.[0] ?? new Uint8Array(0);
        this.read({ low: latin1(keyAfter(last)), ...highOf(range) }, limit, done);
        return;
      }
      done(failure, failure === undefined ? opened : []);
    });
  }

  close(): void {
    this.raw.close();
    this.#onClose?.();
    this.#onClose = undefined;
  }
}

function openEntries(entries: readonly EngineEntry[]): BackendEntry[] {
  const opened: BackendEntry[] = [];
  for (const [key, value] of entries) {
    if (!isOwnKey(key)) opened.push([latin1(key), openValue(key, value)]);
  }
  return opened;
}

/** The same range as the engine takes it. */
export function keyRangeOf({ low, high }: StringRange): KeyRange {
  return {
    ...(low === undefined ? {} : { low: fromLatin1(low) }),
    ...(high === undefined ? {} : { high: fromLatin1(high) }),
  };
}

export function highOf(range: StringRange): { readonly high?: string } {
  return range.high === undefined ? {} : { high: range.high };
}
