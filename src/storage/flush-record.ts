/** What each flush of the state database says about itself. */
import type { ConfState } from '../raft/index.ts';
import { CorruptionError } from './errors.ts';
import { numberedKey, stateKeys } from './keyspace.ts';
import {
  emptyConfState,
  readConfState,
  RecordReader,
  RecordWriter,
  writeConfState,
} from './record.ts';

const version = 1;

/**
 * How many flushes leave a mark. A mark is deleted by the flush this many later, so that a batch
 * lost out of the middle of LevelDB's log shows as a gap.
 */
export const flushMarks = 1024;

/** The state that a flush completes. */
export interface FlushRecord {
  /** Counts flushes from 1. */
  readonly number: number;
  /** Last log entry whose effects are covered. */
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

export const emptyFlushRecord: FlushRecord = {
  number: 0,
  index: 0,
  term: 0,
  confState: emptyConfState,
};

export function encodeFlushRecord(record: FlushRecord): Buffer {
  const writer = new RecordWriter(version);
  writer.u64(record.number).u64(record.index).u64(record.term);
  writeConfState(writer, record.confState);
  return writer.finish();
}

export function decodeFlushRecord(bytes: Uint8Array): FlushRecord {
  const reader = new RecordReader(bytes, version, 'the flush record');
  const number = reader.u64();
  const index = reader.u64();
  const term = reader.u64();
  const confState = readConfState(reader);
  reader.finish();
  return { number, index, term, confState };
}

export function flushMarkKey(number: number): Buffer {
  return numberedKey(stateKeys.flushMark, number);
}

/** A mark repeats the number and the index of its flush. */
export function encodeFlushMark(record: FlushRecord): Buffer {
  return new RecordWriter(version).u64(record.number).u64(record.index).finish();
}

/** Checks that the marks, in key order, are exactly those that the newest flush leaves. */
export class FlushMarkChecker {
  readonly #newest: FlushRecord;
  #expected: number;
  #lastIndex = 0;

  constructor(newest: FlushRecord) {
    this.#newest = newest;
    this.#expected = Math.max(1, newest.number - flushMarks + 1);
  }

  take(key: Uint8Array, value: Uint8Array): void {
    const reader = new RecordReader(value, version, `flush mark ${this.#expected}`);
    const number = reader.u64();
    const index = reader.u64();
    reader.finish();
    if (!flushMarkKey(number).equals(key) || number !== this.#expected) this.#gap();
    if (number > this.#newest.number || index < this.#lastIndex) this.#gap();
    this.#expected += 1;
    this.#lastIndex = index;
  }

  finish(): void {
    if (this.#expected !== this.#newest.number + 1) this.#gap();
    if (this.#newest.number > 0 && this.#lastIndex !== this.#newest.index) this.#gap();
  }

  #gap(): never {
    throw new CorruptionError(
      `flush ${this.#expected} of the state database is missing: it says that it had ` +
        `${this.#newest.number} and its marks do not agree`,
    );
  }
}
