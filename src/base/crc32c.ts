/**
 * CRC-32C (Castagnoli), where a foreign format asks for it: LevelDB's logs and tables, etcd's
 * write-ahead log. For our own records `zlib.crc32` is native and faster.
 */

const polynomial = 0x82f63b78;
const sliceBytes = 8;
/** What LevelDB adds when it masks a checksum that is itself stored in checksummed data. */
const maskDelta = 0xa282ead8;

/** Eight tables of 256, for eight bytes a step. */
const tables = buildTables();

function buildTables(): Uint32Array {
  const table = new Uint32Array(sliceBytes * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    table[byte] = crc;
  }
  for (let i = 256; i < table.length; i++) {
    const before = at(table, i - 256);
    table[i] = (before >>> 8) ^ at(table, before & 0xff);
  }
  return table;
}

/** Typed arrays are read within their bounds only, here by construction of the index. */
function at(array: Uint32Array | Uint8Array, index: number): number {
  return array[index] as number;
}

/** The checksum of `bytes`, or of what came before (its checksum being `before`) and `bytes`. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  let i = 0;
  for (const end = bytes.length - (sliceBytes - 1); i < end; i += sliceBytes) {
    crc ^=
      at(bytes, i) | (at(bytes, i + 1) << 8) | (at(bytes, i + 2) << 16) | (at(bytes, i + 3) << 24);
    crc =
      at(tables, 0x700 + (crc & 0xff)) ^
      at(tables, 0x600 + ((crc >>> 8) & 0xff)) ^
      at(tables, 0x500 + ((crc >>> 16) & 0xff)) ^
      at(tables, 0x400 + (crc >>> 24)) ^
      at(tables, 0x300 + at(bytes, i + 4)) ^
      at(tables, 0x200 + at(bytes, i + 5)) ^
      at(tables, 0x100 + at(bytes, i + 6)) ^
      at(tables, at(bytes, i + 7));
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ at(tables, (crc ^ at(bytes, i)) & 0xff);
  return ~crc >>> 0;
}

/** LevelDB stores checksums rotated and offset. */
export function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + maskDelta) >>> 0;
}

export function unmaskCrc(masked: number): number {
  const rotated = (masked - maskDelta) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}
