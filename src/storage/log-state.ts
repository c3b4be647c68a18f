/** Codecs of the single records of the log database. */
import { fromLatin1 } from '../base/bytes.ts';
import type { HardState, MemberId } from '../raft/index.ts';
import type { Operation } from './engine.ts';
import { RecordReader, RecordWriter } from './record.ts';

const version = 1;

/** Index, term and chain value of the last entry that the log does not hold any more. */
export interface LogAnchor {
  readonly index: number;
  readonly term: number;
  readonly chain: number;
}

/** Whose log it is, so that a file of another member is noticed, and how much was written to it. */
export interface LogOrigin {
  readonly memberId: MemberId;
  /** Counts synced appends. */
  readonly writes: number;
}

/**
 * What a flush of the state says of the log. A log that has fewer writes, or another chain value,
 * is not the one that was written. And should the log be lost, a new one can begin after the state.
 */
export interface LogMark extends LogOrigin {
  /** The index that the flush covers, and the chain value there. */
  readonly index: number;
  readonly chain: number;
}

/** Writes one of the records below under its key. */
export function put(key: string, value: Uint8Array): Operation {
  return { type: 'put', key: fromLatin1(key), value };
}

export function encodeHardState(state: HardState): Buffer {
  return new RecordWriter(version).u64(state.term).id(state.vote).u64(state.commit).finish();
}

export function decodeHardState(bytes: Uint8Array): HardState {
  const reader = new RecordReader(bytes, version, 'the hard state');
  const state = { term: reader.u64(), vote: reader.id(), commit: reader.u64() };
  reader.finish();
  return state;
}

export function encodeAnchor(anchor: LogAnchor): Buffer {
  return new RecordWriter(version).u64(anchor.index).u64(anchor.term).u32(anchor.chain).finish();
}

export function decodeAnchor(bytes: Uint8Array): LogAnchor {
  const reader = new RecordReader(bytes, version, "the log's anchor");
  const anchor = { index: reader.u64(), term: reader.u64(), chain: reader.u32() };
  reader.finish();
  return anchor;
}

export function encodeTail(index: number, chain: number): Buffer {
  return new RecordWriter(version).u64(index).u32(chain).finish();
}

export function decodeTail(bytes: Uint8Array): { readonly index: number; readonly chain: number } {
  const reader = new RecordReader(bytes, version, "the log's tail");
  const tail = { index: reader.u64(), chain: reader.u32() };
  reader.finish();
  return tail;
}

export function encodeStateDirectory(name: string): Buffer {
  return new RecordWriter(version).text(name).finish();
}

export function decodeStateDirectory(bytes: Uint8Array): string {
  const reader = new RecordReader(bytes, version, 'the name of the state directory');
  const name = reader.text();
  reader.finish();
  return name;
}

export function encodeOrigin(origin: LogOrigin): Buffer {
  return new RecordWriter(version).id(origin.memberId).u64(origin.writes).finish();
}

export function decodeOrigin(bytes: Uint8Array): LogOrigin {
  const reader = new RecordReader(bytes, version, 'the origin of the log');
  const origin = { memberId: reader.id(), writes: reader.u64() };
  reader.finish();
  return origin;
}

export function encodeLogMark(mark: LogMark): Buffer {
  const writer = new RecordWriter(version).id(mark.memberId).u64(mark.writes);
  return writer.u64(mark.index).u32(mark.chain).finish();
}

export function decodeLogMark(bytes: Uint8Array): LogMark {
  const reader = new RecordReader(bytes, version, "the state's mark of the log");
  const origin = { memberId: reader.id(), writes: reader.u64() };
  const mark = { ...origin, index: reader.u64(), chain: reader.u32() };
  reader.finish();
  return mark;
}

export function encodeRepairTerm(term: number): Buffer {
  return new RecordWriter(version).u64(term).finish();
}

export function decodeRepairTerm(bytes: Uint8Array): number {
  const reader = new RecordReader(bytes, version, 'the mark of a repair');
  const term = reader.u64();
  reader.finish();
  return term;
}
