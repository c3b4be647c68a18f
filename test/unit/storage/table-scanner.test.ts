/** Tables that are not what LevelDB writes, each block with its right checksum. */
import { describe, expect, test } from 'vitest';
import { crc32c } from '../../../src/base/crc32c.ts';
import { CorruptionError, NewerVersionError } from '../../../src/storage/errors.ts';
import { checkTable } from '../../support/engines.ts';

const trailerBytes = 5;

/** As LevelDB stores it, so that a checksum of checksums is no weak one (util/crc32c.h). */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function stored(block: Buffer, type = 0): Buffer {
  const typed = Buffer.concat([block, Buffer.from([type])]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(masked(crc32c(typed)));
  return Buffer.concat([typed, sum]);
}

/** A block with one entry, which begins at 0. */
function blockOf(key: string, value: Buffer): Buffer {
  const entry = Buffer.from([0, key.length, value.length]);
  const end = Buffer.alloc(8);
  end.writeUInt32LE(1, 4);
  return Buffer.concat([entry, Buffer.from(key), value, end]);
}

const empty = Buffer.from([0, 0, 0, 0, 1, 0, 0, 0]);

/** A table of one block of data; all offsets are below 128, so that each is one byte. */
function table(data: Buffer, { type = 0, meta = empty, index = undefined as Buffer | undefined }) {
  const metaAt = data.length + trailerBytes;
  const entries = index ?? blockOf('k', Buffer.from([0, data.length]));
  const indexAt = metaAt + meta.length + trailerBytes;
  const footer = Buffer.alloc(48);
  footer.set([metaAt, meta.length, indexAt, entries.length]);
  footer.writeBigUInt64LE(0xdb4775248b80fb57n, 40);
  return Buffer.concat([stored(data, type), stored(meta), stored(entries), footer]);
}

function check(bytes: Buffer): unknown {
  const read = (offset: number, length: number): Buffer => bytes.subarray(offset, offset + length);
  return checkTable(read, bytes.length, 'a.ldb');
}

const data = blockOf('a', Buffer.from('value'));

test('a table as LevelDB writes it passes', () => {
  expect(check(table(data, {}))).toEqual({ first: Buffer.from('a'), last: Buffer.from('a') });
});

describe('blocks that are too short for their end are damage', () => {
  const lengths = [0, 1, 3].map((length) => Buffer.alloc(length, 1));
  const claims = Buffer.from([9, 0, 0, 0]);

  test.each([...lengths, claims].map((block) => [block.toString('hex'), block] as const))(
    '%s',
    (_hex, block) => {
      for (const bytes of [
        table(block, {}),
        table(data, { meta: block }),
        table(data, { index: block }),
      ]) {
        expect(() => check(bytes)).toThrow(CorruptionError);
        expect(() => check(bytes)).toThrow(/a\.ldb is damaged at offset \d+: a block is too short/);
      }
    },
  );
});

test('a block that is compressed is of another version, not damaged', () => {
  expect(() => check(table(data, { type: 1 }))).toThrow(NewerVersionError);
});
