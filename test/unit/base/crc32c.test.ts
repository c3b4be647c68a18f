import { describe, expect, test } from 'vitest';
import { crc32c, maskCrc, unmaskCrc } from '../../../src/base/crc32c.ts';

describe('CRC-32C', () => {
  test('has the values of RFC 3720, appendix B.4', () => {
    const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(ascending)).toBe(0x46dd794e);
    expect(crc32c(ascending.toReversed())).toBe(0x113fdb5c);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  test('goes on from a checksum', () => {
    const bytes = Buffer.from('the quick brown fox jumps over the lazy dog');
    for (let at = 0; at <= bytes.length; at++) {
      expect(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at)))).toBe(crc32c(bytes));
    }
  });

  test('masking is undone', () => {
    for (const crc of [0, 1, 0xffffffff, 0x12345678]) {
      expect(unmaskCrc(maskCrc(crc))).toBe(crc);
      expect(maskCrc(crc)).not.toBe(crc);
    }
  });
});
