import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeHuffman } from '../../../src/http2/huffman.ts';

/** RFC 7541 appendix B: the code of each byte and of the end of a string, with its bits. */
const table = `
1ff8/13 7fffd8/23 fffffe2/28 fffffe3/28 fffffe4/28 fffffe5/28 fffffe6/28 fffffe7/28 fffffe8/28
ffffea/24 3ffffffc/30 fffffe9/28 fffffea/28 3ffffffd/30 fffffeb/28 fffffec/28 fffffed/28
fffffee/28 fffffef/28 ffffff0/28 ffffff1/28 ffffff2/28 3ffffffe/30 ffffff3/28 ffffff4/28
ffffff5/28 ffffff6/28 ffffff7/28 ffffff8/28 ffffff9/28 ffffffa/28 ffffffb/28 14/6 3f8/10 3f9/10
ffa/12 1ff9/13 15/6 f8/8 7fa/11 3fa/10 3fb/10 f9/8 7fb/11 fa/8 16/6 17/6 18/6 0/5 1/5 2/5 19/6
1a/6 1b/6 1c/6 1d/6 1e/6 1f/6 5c/7 fb/8 7ffc/15 20/6 ffb/12 3fc/10 1ffa/13 21/6 5d/7 5e/7 5f/7
60/7 61/7 62/7 63/7 64/7 65/7 66/7 67/7 68/7 69/7 6a/7 6b/7 6c/7 6d/7 6e/7 6f/7 70/7 71/7 72/7
fc/8 73/7 fd/8 1ffb/13 7fff0/19 1ffc/13 3ffc/14 22/6 7ffd/15 3/5 23/6 4/5 24/6 5/5 25/6 26/6 27/6
6/5 74/7 75/7 28/6 29/6 2a/6 7/5 2b/6 76/7 2c/6 8/5 9/5 2d/6 77/7 78/7 79/7 7a/7 7b/7 7ffe/15
7fc/11 3ffd/14 1ffd/13 ffffffc/28 fffe6/20 3fffd2/22 fffe7/20 fffe8/20 3fffd3/22 3fffd4/22
3fffd5/22 7fffd9/23 3fffd6/22 7fffda/23 7fffdb/23 7fffdc/23 7fffdd/23 7fffde/23 ffffeb/24
7fffdf/23 ffffec/24 ffffed/24 3fffd7/22 7fffe0/23 ffffee/24 7fffe1/23 7fffe2/23 7fffe3/23
7fffe4/23 1fffdc/21 3fffd8/22 7fffe5/23 3fffd9/22 7fffe6/23 7fffe7/23 ffffef/24 3fffda/22
1fffdd/21 fffe9/20 3fffdb/22 3fffdc/22 7fffe8/23 7fffe9/23 1fffde/21 7fffea/23 3fffdd/22 3fffde/22
fffff0/24 1fffdf/21 3fffdf/22 7fffeb/23 7fffec/23 1fffe0/21 1fffe1/21 3fffe0/22 1fffe2/21
7fffed/23 3fffe1/22 7fffee/23 7fffef/23 fffea/20 3fffe2/22 3fffe3/22 3fffe4/22 7ffff0/23 3fffe5/22
3fffe6/22 7ffff1/23 3ffffe0/26 3ffffe1/26 fffeb/20 7fff1/19 3fffe7/22 7ffff2/23 3fffe8/22
1ffffec/25 3ffffe2/26 3ffffe3/26 3ffffe4/26 7ffffde/27 7ffffdf/27 3ffffe5/26 fffff1/24 1ffffed/25
7fff2/19 1fffe3/21 3ffffe6/26 7ffffe0/27 7ffffe1/27 3ffffe7/26 7ffffe2/27 fffff2/24 1fffe4/21
1fffe5/21 3ffffe8/26 3ffffe9/26 ffffffd/28 7ffffe3/27 7ffffe4/27 7ffffe5/27 fffec/20 fffff3/24
fffed/20 1fffe6/21 3fffe9/22 1fffe7/21 1fffe8/21 7ffff3/23 3fffea/22 3fffeb/22 1ffffee/25
1ffffef/25 fffff4/24 fffff5/24 3ffffea/26 7ffff4/23 3ffffeb/26 7ffffe6/27 3ffffec/26 3ffffed/26
7ffffe7/27 7ffffe8/27 7ffffe9/27 7ffffea/27 7ffffeb/27 ffffffe/28 7ffffec/27 7ffffed/27 7ffffee/27
7ffffef/27 7fffff0/27 3ffffee/26 3fffffff/30`;
const endOfString = 256;

/** Codes as texts of zeros and ones. */
const codes: readonly string[] = table
  .trim()
  .split(/\s/)
  .map((entry) => {
    const [code, bits] = entry.split('/');
    return parseInt(code!, 16).toString(2).padStart(Number(bits), '0');
  });
const symbols = new Map(codes.map((code, symbol) => [code, symbol]));

/** @param padding of which as many bits are taken as the last byte has room for */
function pack(bits: string, padding = '1111111'): Buffer {
  const padded = bits + padding.slice(0, -bits.length & 7);
  return Buffer.from((padded.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
}

function bitsOf(text: Iterable<number>): string {
  return Array.from(text, (symbol) => codes[symbol]).join('');
}

function encode(text: Iterable<number>): Buffer {
  return pack(bitsOf(text));
}

function latin1(text: Iterable<number>): string {
  return Buffer.from([...text]).toString('latin1');
}

function decode(encoded: Uint8Array): string | undefined {
  return decodeHuffman(encoded, 0, encoded.length);
}

/** What the table says of any bytes: their text, or that they have none. */
function lookUp(encoded: Uint8Array): string | undefined {
  const bits = Array.from(encoded, (byte) => byte.toString(2).padStart(8, '0')).join('');
  const text: number[] = [];
  let from = 0;
  for (let to = 1; to <= bits.length; to++) {
    const symbol = symbols.get(bits.slice(from, to));
    if (symbol === undefined) continue;
    if (symbol === endOfString) return undefined;
    text.push(symbol);
    from = to;
  }
  return /^1{0,7}$/.test(bits.slice(from)) ? latin1(text) : undefined;
}

const everyByte = Array.from({ length: 256 }, (_, byte) => byte);
const text = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 100, size: 'max' });

test('the table of this test has a code for each byte, none the beginning of another', () => {
  expect(codes).toHaveLength(257);
  expect(codes.reduce((sum, code) => sum + 2 ** -code.length, 0)).toBe(1);
  expect(symbols.size).toBe(257);
});

describe('what is encoded', () => {
  test('each byte comes back', () => {
    for (const byte of everyByte) expect(decode(encode([byte]))).toBe(latin1([byte]));
  });

  test('each byte comes back whichever bit it begins at', () => {
    // Codes of five bits: so many of them begin the next one at every bit of a byte in turn.
    for (let before = 0; before < 8; before++) {
      for (const byte of everyByte) {
        const around = [...Array<number>(before).fill(0x30), byte, 0x61];
        expect(decode(encode(around))).toBe(latin1(around));
      }
    }
  });

  test('any text comes back', () => {
    fc.assert(
      fc.property(text, (bytes) => {
        expect(decode(encode(bytes))).toBe(latin1(bytes));
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['f1e3c2e5f23a6ba0ab90f4ff', 'www.example.com'],
    ['a8eb10649cbf', 'no-cache'],
    ['25a849e95ba97d7f', 'custom-key'],
    ['25a849e95bb8e8b4bf', 'custom-value'],
    ['6402', '302'],
    ['aec3771a4b', 'private'],
    ['d07abe941054d444a8200595040b8166e082a62d1bff', 'Mon, 21 Oct 2013 20:13:21 GMT'],
    ['9d29ad171863c78f0b97c8e9ae82ae43d3', 'https://www.example.com'],
    ['640eff', '307'],
    ['9bd9ab', 'gzip'],
  ])('%s of the examples in RFC 7541 is %s', (hex, expected) => {
    expect(decode(Buffer.from(hex, 'hex'))).toBe(expected);
  });

  test('no bytes are no text', () => {
    expect(decode(Buffer.alloc(0))).toBe('');
  });

  test('only the bytes between start and end are read', () => {
    const inner = encode(Buffer.from('custom-value'));
    const around = Buffer.concat([Buffer.from('ffff00', 'hex'), inner, Buffer.from('00ff', 'hex')]);
    expect(decodeHuffman(around, 3, 3 + inner.length)).toBe('custom-value');
    expect(decodeHuffman(around, 3, 3)).toBe('');
  });

  test('a text much longer than those before comes back, and so do short ones after it', () => {
    for (const length of [10, 1_024, 1_025, 100_000, 3, 0, 200_000, 7]) {
      // Nothing is shorter than five bits: no text is longer for its bytes.
      const long = Array<number>(length).fill(0x30);
      expect(decode(encode(long))).toBe('0'.repeat(length));
    }
  });
});

describe('what is not', () => {
  test('a whole byte of padding is refused, and more', () => {
    for (const byte of everyByte) {
      const encoded = encode([byte]);
      for (const more of ['ff', 'ffff', 'ffffff']) {
        expect(decode(Buffer.concat([encoded, Buffer.from(more, 'hex')]))).toBeUndefined();
      }
    }
    expect(decode(Buffer.from('ff', 'hex'))).toBeUndefined();
  });

  test('padding that is not all ones is refused', () => {
    // So few bits are no code of a byte, whatever they are.
    const room = (bytes: readonly number[]): number => -bitsOf(bytes).length & 7;
    for (const bytes of [[0x42], [0x25], [0x30], [0x23]]) {
      const bits = room(bytes);
      const ones = 2 ** bits - 1;
      for (let value = 0; value <= ones; value++) {
        const padding = value.toString(2).padStart(bits, '0');
        const expected = value === ones ? latin1(bytes) : undefined;
        expect(decode(pack(bitsOf(bytes), padding))).toBe(expected);
      }
    }
    expect([[0x42], [0x25], [0x30], [0x23]].map(room)).toEqual([1, 2, 3, 4]);
  });

  test('the beginning of a longer code is no padding', () => {
    for (const byte of everyByte) {
      const bits = codes[byte]!;
      for (let length = 8; length < bits.length; length += 8) {
        expect(decode(pack(bits.slice(0, length)))).toBeUndefined();
      }
    }
  });

  test('the end of a string is refused wherever it stands', () => {
    for (const symbols of [
      [endOfString],
      [0x61, endOfString],
      [endOfString, 0x61],
      [0x61, 0x62, endOfString, 0x63],
      [0xff, 0xfe, endOfString],
      [endOfString, endOfString, endOfString, endOfString],
    ]) {
      expect(decode(encode(symbols))).toBeUndefined();
    }
    for (let ones = 1; ones < 20; ones++) {
      expect(decode(Buffer.alloc(ones, 0xff))).toBeUndefined();
    }
  });

  test('after a text that was refused, others are read', () => {
    expect(decode(encode([0x61, endOfString]))).toBeUndefined();
    expect(decode(encode(Buffer.from('private')))).toBe('private');
  });
});

describe('any bytes are what the table says', () => {
  /** Codes of up to 30 bits begin with three bytes of ones at most. */
  test.each(['', 'ff', 'ffff', 'ffffff'])('after %s, all that two bytes can be', (before) => {
    const bytes = Buffer.concat([Buffer.from(before, 'hex'), Buffer.alloc(2)]);
    const wrong: string[] = [];
    for (let value = 0; value <= 0xffff; value++) {
      bytes.writeUInt16BE(value, bytes.length - 2);
      if (decode(bytes) !== lookUp(bytes)) wrong.push(bytes.toString('hex'));
    }
    expect(wrong).toEqual([]);
  });

  test('and any more of them', () => {
    const part = fc.oneof(fc.uint8Array({ maxLength: 6 }), fc.constant(Buffer.from([0xff])));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const bytes = Buffer.concat(parts);
        expect(decode(bytes)).toBe(lookUp(bytes));
      }),
      { numRuns: 2_000 },
    );
  });
});
