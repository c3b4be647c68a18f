/**
 * The packed record of log entries and the chain over them.
 *
 * The chain is a CRC-32 over the encodings of all entries since the beginning of the log, each
 * being a fixed header and its data. It does not depend on how entries are grouped into records, so
 * it is the same on all members, and one native call carries it over a whole record.
 */
import { crc32 } from 'node:zlib';
import { buffer } from '../base/bytes.ts';
import { EntryKind, type Entry } from '../raft/index.ts';
import { CorruptionError, NewerVersionError } from './errors.ts';
import { readSafe, writeSafe } from './record.ts';

const recordVersion = 1;
/**
 * Version (1 byte, 3 reserved), checksum of version and header's rest, first index, last index,
 * last index of the record before, chain before, chain after, length of the entries.
 */
const headerBytes = 4 + 4 + 8 + 8 + 8 + 4 + 4 + 4;
/** Data length, kind, term. */
const entryHeaderBytes = 4 + 4 + 8;
/** The chain before the first entry of a log. */
export const firstChain = 0;

/** What is known of a record without its entries. */
export interface RecordHeader {
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly chainBefore: number;
  readonly chainAfter: number;
}

export interface PackedRecord {
  readonly header: RecordHeader;
  readonly bytes: Buffer;
}

/** Bytes of an entry on disk; also what it counts for in budgets of memory. */
export function entryBytes(entry: Entry): number {
  return entryHeaderBytes + entry.data.length;
}

function writeEntry(target: Buffer, entry: Entry, at: number): number {
  target.writeUInt32LE(entry.data.length, at);
  target.writeUInt32LE(entry.kind, at + 4);
  writeSafe(target, entry.term, at + 8);
  target.set(entry.data, at + entryHeaderBytes);
  return at + entryHeaderBytes + entry.data.length;
}

/** Packs consecutive entries, at least one, that follow an entry with chain value `chainBefore`. */
export function packEntries(entries: readonly Entry[], chainBefore: number): PackedRecord {
  let length = headerBytes;
  for (const entry of entries) length += entryBytes(entry);
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = headerBytes;
  for (const entry of entries) at = writeEntry(bytes, entry, at);
  const firstIndex = entries[0]?.index ?? 0;
  const lastIndex = firstIndex + entries.length - 1;
  const chainAfter = crc32(bytes.subarray(headerBytes), chainBefore);
  bytes.writeUInt32LE(recordVersion, 0);
  writeSafe(bytes, firstIndex, 8);
  writeSafe(bytes, lastIndex, 16);
  writeSafe(bytes, firstIndex - 1, 24);
  bytes.writeUInt32LE(chainBefore, 32);
  bytes.writeUInt32LE(chainAfter, 36);
  bytes.writeUInt32LE(length - headerBytes, 40);
  bytes.writeUInt32LE(headerChecksum(bytes, recordVersion), 4);
  return { header: { firstIndex, lastIndex, chainBefore, chainAfter }, bytes };
}

/** Begins with the version, in every version, so that a damaged one is no other version. */
function headerChecksum(bytes: Buffer, version: number): number {
  return crc32(bytes.subarray(8, headerBytes), (version - 1) >>> 0);
}

function corrupt(index: number, how: string): never {
  throw new CorruptionError(`the log record of index ${index} ${how}`);
}

/** Checks a stored record, that it is the one of `firstIndex`, and gives its header. */
export function readHeader(stored: Uint8Array, firstIndex: number): RecordHeader {
  const bytes = buffer(stored);
  if (bytes.length < headerBytes) corrupt(firstIndex, 'is too short');
  const version = bytes.readUInt32LE(0);
  if (headerChecksum(bytes, version) !== bytes.readUInt32LE(4)) {
    corrupt(firstIndex, 'fails the checksum of its header');
  }
  if (version !== recordVersion) {
    throw new NewerVersionError(`the log record of index ${firstIndex}`, version, recordVersion);
  }
  const header = {
    firstIndex: readSafe(bytes, 8),
    lastIndex: readSafe(bytes, 16),
    chainBefore: bytes.readUInt32LE(32),
    chainAfter: bytes.readUInt32LE(36),
  };
  const previous = readSafe(bytes, 24);
  if (header.firstIndex !== firstIndex) corrupt(firstIndex, `says it is of ${header.firstIndex}`);
  if (header.lastIndex < firstIndex || previous !== firstIndex - 1) {
    corrupt(firstIndex, 'contradicts itself about its indexes');
  }
  if (bytes.readUInt32LE(40) !== bytes.length - headerBytes) {
    corrupt(firstIndex, 'has the wrong length');
  }
  if (crc32(bytes.subarray(headerBytes), header.chainBefore) !== header.chainAfter) {
    corrupt(firstIndex, 'fails the checksum of its entries');
  }
  return header;
}

/** The entries of a record that {@link readHeader} accepted; their data shares its memory. */
export function unpackEntries(stored: Uint8Array, header: RecordHeader): Entry[] {
  const bytes = buffer(stored);
  const entries: Entry[] = [];
  let at = headerBytes;
  for (let index = header.firstIndex; index <= header.lastIndex; index++) {
    if (at + entryHeaderBytes > bytes.length) corrupt(header.firstIndex, 'has too few entries');
    const end = at + entryHeaderBytes + bytes.readUInt32LE(at);
    if (end > bytes.length) corrupt(header.firstIndex, 'ends within an entry');
    const kind = bytes.readUInt32LE(at + 4);
    if (kind !== EntryKind.normal && kind !== EntryKind.confChange) {
      corrupt(header.firstIndex, `has an entry of unknown kind ${kind}`);
    }
    const term = readSafe(bytes, at + 8);
    entries.push({ index, term, kind, data: bytes.subarray(at + entryHeaderBytes, end) });
    at = end;
  }
  if (at !== bytes.length) corrupt(header.firstIndex, 'has bytes after its entries');
  return entries;
}

/** The chain value after `entries`, which follow an entry with chain value `chainBefore`. */
export function chainOver(entries: readonly Entry[], chainBefore: number): number {
  let length = 0;
  for (const entry of entries) length += entryBytes(entry);
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const entry of entries) at = writeEntry(bytes, entry, at);
  return crc32(bytes, chainBefore);
}
