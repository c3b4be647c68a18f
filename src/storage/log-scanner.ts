/**
 * Reads LevelDB's log format (its write-ahead logs and MANIFESTs) without LevelDB, which drops what
 * it cannot read and goes on. The format: blocks of 32 KiB; in them fragments with a header of
 * masked CRC-32C over type and data, length, type; no header in the last 6 bytes of a block.
 */
import { crc32c, unmaskCrc } from '../base/crc32c.ts';
import { CorruptionError } from './errors.ts';

const blockBytes = 32 * 1024;
const headerBytes = 7;
/** The unit in which a disk writes or does not write. */
const sectorBytes = 512;
const fragmentType = { full: 1, first: 2, middle: 3, last: 4 } as const;

/** How a log ends: with a whole record, or in one whose write never completed. */
export interface ScannedLog {
  /** Whole records; parts of `bytes` where a record is in one piece. */
  readonly records: readonly Uint8Array[];
  /** Where each of them begins. */
  readonly starts: readonly number[];
  readonly torn: boolean;
  /** Where the whole records end: what is torn begins here, or behind the padding of a block. */
  readonly endsAt: number;
}

interface Fragment {
  readonly type: number;
  readonly data: Buffer;
  /** Offset of what follows. */
  readonly end: number;
}

/** The fragment at `at`, if its checksum is right. */
function fragmentAt(bytes: Buffer, at: number): Fragment | undefined {
  const blockEnd = Math.min(bytes.length, at - (at % blockBytes) + blockBytes);
  if (at + headerBytes > blockEnd) return undefined;
  const type = bytes[at + 6] ?? 0;
  const end = at + headerBytes + bytes.readUInt16LE(at + 4);
  if (type < fragmentType.full || type > fragmentType.last || end > blockEnd) return undefined;
  const stored = unmaskCrc(bytes.readUInt32LE(at));
  if (crc32c(bytes.subarray(at + 6, end)) !== stored) return undefined;
  return { type, data: bytes.subarray(at + headerBytes, end), end };
}

/** Where the next fragment begins, given that one ended at `at`: skips the padding of a block. */
function nextStart(at: number): number {
  const left = blockBytes - (at % blockBytes);
  return left < headerBytes ? at + left : at;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Whether a record begins somewhere from `from` on: then what is before it was complete once. */
function recordBeginsAfter(bytes: Buffer, from: number): boolean {
  for (let at = from; at + headerBytes <= bytes.length; at++) {
    const type = bytes[at + 6];
    if (type !== fragmentType.full && type !== fragmentType.first) continue;
    // An empty record cannot be told from chance; LevelDB writes none here.
    if (bytes.readUInt16LE(at + 4) > 0 && fragmentAt(bytes, at) !== undefined) return true;
  }
  return false;
}

/**
 * Whether the unreadable end from `at` on can be a write that the power cut short. Everything
 * before was synced, so only this one record can be incomplete: the file ends within it, or sectors
 * of it are still zero because they were never written. A record that is all there and yet fails
 * its checksum was damaged later, and may have been acknowledged.
 */
function looksTorn(bytes: Buffer, at: number): boolean {
  const blockEnd = Math.min(bytes.length, at - (at % blockBytes) + blockBytes);
  if (at + headerBytes > bytes.length) return true;
  const claimedEnd = at + headerBytes + bytes.readUInt16LE(at + 4);
  if (claimedEnd > blockEnd && blockEnd === bytes.length) {
    // Whole but for its length: the data up to the end of the file has the right checksum.
    const stored = unmaskCrc(bytes.readUInt32LE(at));
    return crc32c(bytes.subarray(at + 6)) !== stored;
  }
  for (let sector = at; sector < bytes.length;) {
    const next = Math.min(bytes.length, sector - (sector % sectorBytes) + sectorBytes);
    if (isZero(bytes.subarray(sector, next))) return true;
    sector = next;
  }
  return false;
}

/**
 * Splits a log into its records. Throws {@link CorruptionError} with `name` and an offset if
 * something is unreadable that cannot be the end of a write that never completed.
 */
export function scanLog(bytes: Buffer, name: string): ScannedLog {
  const steps = logSteps(bytes, name);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps of at most a block each, which tell how many bytes they have checked. */
export function* logSteps(bytes: Buffer, name: string): Generator<number, ScannedLog> {
  const records: Uint8Array[] = [];
  const starts: number[] = [];
  let endsAt = 0;
  let parts: Buffer[] = [];
  let recordStart = 0;
  let at = 0;
  const damaged = (offset: number, how: string): never => {
    throw new CorruptionError(`${name} is damaged at offset ${offset}: ${how}`);
  };
  while ((at = nextStart(at)) < bytes.length) {
    const fragment = fragmentAt(bytes, at);
    if (fragment === undefined) {
      if (recordBeginsAfter(bytes, at + 1)) {
        damaged(at, 'a record fails its checksum, and valid ones follow');
      }
      if (!looksTorn(bytes, at)) damaged(at, 'the last record is complete but fails its checksum');
      return { records, starts, torn: true, endsAt };
    }
    const begins = fragment.type === fragmentType.full || fragment.type === fragmentType.first;
    if (begins !== (parts.length === 0)) damaged(at, 'pieces of a record are missing');
    if (begins) recordStart = at;
    parts.push(fragment.data);
    if (fragment.type === fragmentType.full || fragment.type === fragmentType.last) {
      records.push(parts.length === 1 ? fragment.data : Buffer.concat(parts));
      starts.push(recordStart);
      endsAt = fragment.end;
      parts = [];
    }
    yield fragment.end - at;
    at = fragment.end;
  }
  // The file may end between the pieces of a record.
  return { records, starts, torn: parts.length > 0, endsAt };
}
