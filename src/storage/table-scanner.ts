/**
 * Checks LevelDB's table files (*.ldb) without LevelDB, which reads them unchecked: the checksum of
 * every block, and that the blocks cover the file. The format: data blocks, filter, an index of
 * filters and one of data blocks, each followed by a type and a masked CRC-32C; at the end a footer
 * with the places of the two indexes.
 */
import { crc32c, unmaskCrc } from '../base/crc32c.ts';
import type { Steps } from '../base/steps.ts';
import { CorruptionError, NewerVersionError } from './errors.ts';

const footerBytes = 48;
const trailerBytes = 5;
const magic = 0xdb4775248b80fb57n;
const uncompressed = 0;
/** An offset in the list that a block ends with, and the length of the list itself. */
const restartBytes = 4;

/** Reads part of a file. */
export type ReadAt = (offset: number, length: number) => Buffer;

interface Handle {
  readonly offset: number;
  readonly size: number;
}

/** A sequence of LevelDB's variable-length numbers and byte strings. */
export class VarintReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    // Past an unreadable number nothing is where it should be: that is the end as well.
    return !(this.#at < this.#bytes.length);
  }

  /** A number below 2^53; NaN past the end or beyond that. */
  number(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 63; scale *= 128) {
      const byte = this.#bytes[this.#at++] ?? NaN;
      value += (byte % 128) * scale;
      if (!(byte >= 128)) return Number.isSafeInteger(value) ? value : NaN;
    }
    return NaN;
  }

  bytes(length: number): Buffer {
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }
}

/** First and last key of a table. */
export interface TableKeys {
  readonly first: Buffer;
  readonly last: Buffer;
}

/**
 * Throws {@link CorruptionError} with `name` and an offset unless the table is whole. Its steps, of
 * a block each, tell how many bytes they have checked.
 */
export function* tableSteps(read: ReadAt, sizeBytes: number, name: string): Steps<TableKeys> {
  const damaged = (offset: number, how: string): never => {
    throw new CorruptionError(`${name} is damaged at offset ${offset}: ${how}`);
  };
  const footerAt = sizeBytes - footerBytes;
  if (footerAt < 0) damaged(0, 'it is too short for a table');
  const footer = read(footerAt, footerBytes);
  if (footer.readBigUInt64LE(footerBytes - 8) !== magic) damaged(footerAt, 'no footer');
  const handles = new VarintReader(footer);
  const metaIndex = readHandle(handles);
  const index = readHandle(handles);

  const checkBlock = (handle: Handle): Buffer => {
    const { offset, size } = handle;
    // Written so that NaN fails as well.
    if (!(offset + size + trailerBytes <= footerAt)) damaged(offset, 'a block ends nowhere');
    const block = read(offset, size + trailerBytes);
    const type = block.readUInt8(size);
    const stored = unmaskCrc(block.readUInt32LE(size + 1));
    if (crc32c(block.subarray(0, size + 1)) !== stored)
      damaged(offset, 'a block fails its checksum');
    if (type !== uncompressed) {
      throw new NewerVersionError(`the block at offset ${offset} of ${name}`, type, uncompressed);
    }
    return block.subarray(0, size);
  };
  const endOf = (block: Buffer, { offset }: Handle): BlockEnd =>
    blockEnd(block) ?? damaged(offset, 'a block is too short');
  const handlesIn = (handle: Handle): Iterable<Handle> => {
    const block = checkBlock(handle);
    return indexHandles(block.subarray(0, endOf(block, handle).entriesEnd));
  };

  let covered = 0;
  const cover = (handle: Handle): void => {
    if (handle.offset !== covered) damaged(covered, 'a block is missing');
    covered += handle.size + trailerBytes;
  };
  let first: Buffer | undefined;
  let last: Buffer = Buffer.alloc(0);
  for (const handle of handlesIn(index)) {
    cover(handle);
    const block = checkBlock(handle);
    const keys = blockKeys(block, endOf(block, handle));
    first ??= keys.first;
    last = keys.last;
    yield handle.size + trailerBytes;
  }
  // The bloom filter lies between the data and the index that names it.
  for (const handle of handlesIn(metaIndex)) {
    cover(handle);
    checkBlock(handle);
  }
  cover(metaIndex);
  cover(index);
  if (covered !== footerAt) damaged(covered, 'bytes that no block covers');
  return { first: first ?? last, last };
}

/** Where the entries of a block end, and how many places to begin reading at are listed there. */
interface BlockEnd {
  readonly entriesEnd: number;
  readonly restarts: number;
}

/** Undefined for a block that is too short for what it must end with. */
function blockEnd(block: Buffer): BlockEnd | undefined {
  if (block.length < restartBytes) return undefined;
  const restarts = block.readUInt32LE(block.length - restartBytes);
  const entriesEnd = block.length - restartBytes * (restarts + 1);
  return entriesEnd < 0 ? undefined : { entriesEnd, restarts };
}

/** A key is stored as the length of what it shares with the one before, and the rest of it. */
function blockKeys(block: Buffer, { entriesEnd, restarts }: BlockEnd): TableKeys {
  const first = lastKeyFrom(block.subarray(0, entriesEnd), 1);
  // At a restart a key shares nothing, so the last key can be built from there.
  const restart = restarts > 0 ? block.readUInt32LE(block.length - 2 * restartBytes) : 0;
  return { first, last: lastKeyFrom(block.subarray(restart, entriesEnd), Infinity) };
}

/** The last of the first `limit` keys. */
function lastKeyFrom(bytes: Buffer, limit: number): Buffer {
  const entries = new VarintReader(bytes);
  let key: Buffer = Buffer.alloc(0);
  for (let count = 0; count < limit && !entries.ended; count++) {
    const sharedBytes = entries.number();
    const ownBytes = entries.number();
    const valueBytes = entries.number();
    key = Buffer.concat([key.subarray(0, sharedBytes), entries.bytes(ownBytes)]);
    entries.bytes(valueBytes);
  }
  return key;
}

function readHandle(reader: VarintReader): Handle {
  return { offset: reader.number(), size: reader.number() };
}

/** The places of blocks: values of an index block, whose keys do not matter here. */
function* indexHandles(bytes: Buffer): Generator<Handle> {
  const entries = new VarintReader(bytes);
  while (!entries.ended) {
    entries.number();
    const keyBytes = entries.number();
    const valueBytes = entries.number();
    entries.bytes(keyBytes);
    yield readHandle(new VarintReader(entries.bytes(valueBytes)));
  }
}
