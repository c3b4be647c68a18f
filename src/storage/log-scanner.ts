/**
 * Reads LevelDB's write-ahead logs and MANIFESTs without LevelDB, which drops what it cannot read
 * and goes on. A log may have been made longer ahead of what is written (see level-log.ts): then
 * zeros follow its last record.
 */
import { crc32c, unmaskCrc } from '../base/crc32c.ts';
import { allSteps, type Steps } from '../base/steps.ts';
import { CorruptionError } from './errors.ts';
import {
  blockBytes,
  blockEndAfter,
  fragmentType,
  headerBytes,
  lengthOf,
  nextStart,
  typeOf,
} from './log-format.ts';

/** The unit in which a disk writes or does not write. */
const sectorBytes = 512;
/**
 * LevelDB hands a fragment to the system in pieces of its C library's buffer, a multiple of this;
 * whatever ends the process may come between two of them.
 */
const pieceBytes = 1024;
/** Zeros are looked for in pieces of this size. */
const zeros = Buffer.alloc(4096);

/** What a log holds, and whether it ends in a record whose write never completed. */
export interface ScannedLog {
  /** Whole records; parts of `bytes` where a record is in one piece. */
  readonly records: readonly Uint8Array[];
  /** Where each of them begins. */
  readonly starts: readonly number[];
  readonly torn: boolean;
  /** Where the whole records end: what is torn begins here, or zeros, or the file ends. */
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
  const limit = Math.min(bytes.length, blockEndAfter(at));
  if (at + headerBytes > limit) return undefined;
  const type = typeOf(bytes, at);
  const end = at + headerBytes + lengthOf(bytes, at);
  if (!isKnown(type) || end > limit) return undefined;
  if (crc32c(bytes.subarray(at + 6, end)) !== storedCrc(bytes, at)) return undefined;
  return { type, data: bytes.subarray(at + headerBytes, end), end };
}

function isKnown(type: number): boolean {
  return type >= fragmentType.full && type <= fragmentType.last;
}

/** Whether a record begins with a fragment of this type. */
function isBegin(type: number): boolean {
  return type === fragmentType.full || type === fragmentType.first;
}

function storedCrc(bytes: Buffer, at: number): number {
  return unmaskCrc(bytes.readUInt32LE(at));
}

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length);
    if (!part.equals(zeros.subarray(0, part.length))) return false;
  }
  return true;
}

/** Where the zeros at the end begin; a record may have some of them. */
function zerosBegin(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && isZero(bytes.subarray(Math.max(0, end - zeros.length), end))) {
    end = Math.max(0, end - zeros.length);
  }
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

/**
 * Whether a record begins between `from` and `to`: then what is before it was complete once. In
 * steps of at most a block each, which tell how many bytes they have looked at or checked: what
 * looks like a header costs a checksum.
 */
function* recordBeginsWithin(bytes: Buffer, from: number, to: number): Steps<boolean> {
  for (let at = from; at < to; at = blockEndAfter(at)) {
    const end = Math.min(to, blockEndAfter(at));
    if (yield* recordBeginsInBlock(bytes, at, end)) return true;
    yield end - at;
  }
  return false;
}

/** The same within one block, at whose start fragments follow each other. */
function* recordBeginsInBlock(bytes: Buffer, from: number, to: number): Steps<boolean> {
  let at = from;
  if (at % blockBytes === 0) {
    // What is within a fragment is no record, whatever it looks like.
    while (at < to) {
      const fragment = fragmentAt(bytes, at);
      if (fragment === undefined) break;
      if (isBegin(fragment.type)) return true;
      at = fragment.end;
    }
  }
  for (; at + headerBytes <= to; at++) {
    // An empty record cannot be told from chance; LevelDB writes none here.
    const length = lengthOf(bytes, at);
    if (!isBegin(typeOf(bytes, at)) || length === 0) continue;
    if (fragmentAt(bytes, at) !== undefined) return true;
    yield Math.min(length, blockBytes);
  }
  return false;
}

/** Where a log ends, which a fragment that cannot be read was to make longer. */
interface LogEnd {
  /** Of the fragment before; then there may be the padding of a block. */
  readonly from: number;
  /** From here on there are zeros only. */
  readonly zerosAt: number;
}

/**
 * Whether the unreadable fragment at `at`, with which no record but the last can have to do, can be
 * a write that a power cut or the end of the process cut short. Everything before was synced: the
 * file ends within it, or its last pieces were not written, or sectors of it never became durable,
 * and are still zero. What is all there and yet fails its checksum was damaged later, and may have
 * been acknowledged.
 */
function looksTorn(bytes: Buffer, at: number, { from, zerosAt }: LogEnd): boolean {
  const dataAt = at + headerBytes;
  if (dataAt > bytes.length || hasUnwritten(bytes, at, dataAt)) return true;
  // A header is written as a whole, or with zeros: this one is, so what it says must be right.
  const end = dataAt + lengthOf(bytes, at);
  if (!isKnown(typeOf(bytes, at)) || end > blockEndAfter(at)) return false;
  if (isWholeButForLength(bytes, at)) return false;
  const lastPieceEnd = from + Math.ceil((zerosAt - from) / pieceBytes) * pieceBytes;
  return end > bytes.length || lastPieceEnd < end || hasUnwritten(bytes, at, end);
}

/** Whether a sector in which something between `from` and `to` lies is zero from `from` on. */
function hasUnwritten(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to;) {
    const next = at - (at % sectorBytes) + sectorBytes;
    if (isZero(bytes.subarray(at, next))) return true;
    at = next;
  }
  return false;
}

/** Whether the checksum of the fragment at `at` is right if it ends somewhere else. */
function isWholeButForLength(bytes: Buffer, at: number): boolean {
  const stored = storedCrc(bytes, at);
  const limit = Math.min(bytes.length, blockEndAfter(at));
  let crc = crc32c(bytes.subarray(at + 6, at + headerBytes));
  for (let end = at + headerBytes; end < limit; end++) {
    crc = crc32c(bytes.subarray(end, end + 1), crc);
    if (crc === stored) return true;
  }
  return false;
}

/**
 * Splits a log into its records. Throws {@link CorruptionError} with `name` and an offset if
 * something is unreadable that cannot be the end of a write that never completed.
 */
export function scanLog(bytes: Buffer, name: string): ScannedLog {
  return allSteps(logSteps(bytes, name));
}

/** The same in steps of at most a block each, which tell how many bytes they have checked. */
export function* logSteps(bytes: Buffer, name: string): Steps<ScannedLog> {
  const records: Uint8Array[] = [];
  const starts: number[] = [];
  let endsAt = 0;
  let parts: Buffer[] = [];
  let recordStart = 0;
  let from = 0;
  const damaged = (offset: number, how: string): never => {
    throw new CorruptionError(`${name} is damaged at offset ${offset}: ${how}`);
  };
  const zerosAt = zerosBegin(bytes);
  for (let at = nextStart(from); at < zerosAt; at = nextStart(from)) {
    const fragment = fragmentAt(bytes, at);
    if (fragment === undefined) {
      if (yield* recordBeginsWithin(bytes, at + 1, zerosAt)) {
        damaged(at, 'a record fails its checksum, and valid ones follow');
      }
      if (!looksTorn(bytes, at, { from, zerosAt })) {
        damaged(at, 'the last record is complete but fails its checksum');
      }
      return { records, starts, torn: true, endsAt };
    }
    const begins = isBegin(fragment.type);
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
    from = fragment.end;
  }
  // The file, or what was written of it, may end between the pieces of a record.
  return { records, starts, torn: parts.length > 0, endsAt };
}
