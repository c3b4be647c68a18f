/** Logs as LevelDB writes them (doc/log_format.md), for tests of those who read them. */
import { crc32c, maskCrc } from '../../src/base/crc32c.ts';
import {
  blockEndAfter,
  fragmentType,
  headerBytes,
  nextStart,
} from '../../src/storage/log-format.ts';

/** The bytes of a log with `records`, and where each of them begins. */
export function encodeLog(records: readonly Uint8Array[]): { bytes: Buffer; starts: number[] } {
  const pieces: Buffer[] = [];
  const starts: number[] = [];
  let at = 0;
  for (const record of records) {
    let rest = record;
    for (let begins = true, ends = false; !ends; begins = false) {
      const start = nextStart(at);
      if (begins) starts.push(start);
      // A block may have room for a header only: then the first fragment has no data.
      const data = rest.subarray(0, blockEndAfter(start) - start - headerBytes);
      rest = rest.subarray(data.length);
      ends = rest.length === 0;
      pieces.push(Buffer.alloc(start - at), fragment(typeOf(begins, ends), data));
      at = start + headerBytes + data.length;
    }
  }
  return { bytes: Buffer.concat(pieces), starts };
}

function typeOf(begins: boolean, ends: boolean): number {
  if (begins) return ends ? fragmentType.full : fragmentType.first;
  return ends ? fragmentType.last : fragmentType.middle;
}

function fragment(type: number, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(headerBytes + data.length);
  bytes.writeUInt16LE(data.length, 4);
  bytes[6] = type;
  bytes.set(data, headerBytes);
  bytes.writeUInt32LE(maskCrc(crc32c(bytes.subarray(6))), 0);
  return bytes;
}
