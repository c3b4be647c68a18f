/**
 * A revision as the backend stores it: a flags byte, for the first change of a transaction the
 * bytes superseded so far, then the key value as etcd encodes it (for a tombstone its key alone).
 */
import { buffer } from '../base/bytes.ts';

const tombstoneFlag = 1;
/** The last change of its transaction: readers that go by revision need not probe for another. */
const lastFlag = 2;

const flagsBytes = 1;
const supersededBytesLength = 8;
const firstHeaderBytes = flagsBytes + supersededBytesLength;

/** Bytes before the key value. */
export function headerSize(sub: number): number {
  return sub === 0 ? firstHeaderBytes : flagsBytes;
}

/** Completes the header once the transaction is known whole. */
export function writeHeader(record: Buffer, sub: number, header: RecordHeader): void {
  record[0] = (header.tombstone ? tombstoneFlag : 0) | (header.last ? lastFlag : 0);
  if (sub === 0) record.writeDoubleBE(header.supersededBytes, flagsBytes);
}

export interface RecordHeader {
  readonly tombstone: boolean;
  readonly last: boolean;
  /** Bytes that a compaction at this record's revision would free, of all ever written. */
  readonly supersededBytes: number;
}

export function isTombstone(record: Uint8Array): boolean {
  return ((record[0] as number) & tombstoneFlag) !== 0;
}

export function isLast(record: Uint8Array): boolean {
  return ((record[0] as number) & lastFlag) !== 0;
}

/** Of the first record of a transaction. */
export function supersededBytesOf(record: Uint8Array): number {
  return buffer(record).readDoubleBE(flagsBytes);
}

/** The encoded key value. */
export function keyValueOf(record: Uint8Array, sub: number): Uint8Array {
  return record.subarray(headerSize(sub));
}
