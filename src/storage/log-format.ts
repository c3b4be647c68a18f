/**
 * LevelDB's log format, of its write-ahead logs and MANIFESTs (doc/log_format.md): blocks of
 * 32 KiB; in them fragments of records with a header of masked CRC-32C over type and data, length
 * and type; no header in the last 6 bytes of a block.
 */
export const blockBytes = 32 * 1024;
export const headerBytes = 7;
/** `none` is what a file holds where nothing was written. */
export const fragmentType = { none: 0, full: 1, first: 2, middle: 3, last: 4 } as const;

/** Where the next fragment begins, given that one ended at `at`: skips the padding of a block. */
export function nextStart(at: number): number {
  const left = blockBytes - (at % blockBytes);
  return left < headerBytes ? at + left : at;
}

/** Where the block ends that `at` lies in. */
export function blockEndAfter(at: number): number {
  return at - (at % blockBytes) + blockBytes;
}

/** Of the header at `at`: the bytes of data behind it. */
export function lengthOf(bytes: Buffer, at: number): number {
  return bytes.readUInt16LE(at + 4);
}

/** Of the header at `at`: one of {@link fragmentType}, or damage. */
export function typeOf(bytes: Buffer, at: number): number {
  return bytes[at + 6] as number;
}
