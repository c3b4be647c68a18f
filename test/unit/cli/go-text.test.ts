import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { bytesOf, textOf } from '../../../src/cli/byte-text.ts';
import {
  clampToNumber,
  formatNanoseconds,
  formatSize,
  hexText,
  parseInt64,
  quote,
  scanQuoted,
  splitWords,
  unquote,
} from '../../../src/cli/go-text.ts';

describe('texts that hold any bytes', () => {
  test.each([
    [[0x61, 0xff, 0x62]],
    [[0xc3, 0x28]],
    [[0xed, 0xa0, 0x80]],
    [[0xf0, 0x9f, 0x8e, 0x89, 0xf0, 0x9f]],
    [[0xef, 0xbb, 0xbf, 0x61]],
    [[0x00, 0x7f, 0x80]],
    [[]],
  ])('%j comes back as it was', (bytes) => {
    expect([...bytesOf(textOf(Uint8Array.from(bytes)))]).toEqual(bytes);
  });

  test('of valid text, nothing is escaped', () => {
    expect(textOf(utf8('grüße 🎉'))).toBe('grüße 🎉');
    expect(bytesOf('grüße 🎉')).toEqual(utf8('grüße 🎉'));
  });
});

describe('quoting', () => {
  test.each([
    ['plain', '"plain"'],
    ['a "b" \\', '"a \\"b\\" \\\\"'],
    ['\x07\b\f\n\r\t\v', '"\\a\\b\\f\\n\\r\\t\\v"'],
    ['\x00\x1b\x7f', '"\\x00\\x1b\\x7f"'],
    ['grüße 日本 🎉', '"grüße 日本 🎉"'],
    ['\u00a0\u200b\ufeff', '"\\u00a0\\u200b\\ufeff"'],
    ['\u{e0001}', '"\\U000e0001"'],
  ])('%j', (text, quoted) => {
    expect(quote(text)).toBe(quoted);
    expect(unquote(quoted.slice(1, -1))).toBe(text);
  });

  test('bytes that are no text', () => {
    expect(quote(Uint8Array.of(0x61, 0xff, 0xc3))).toBe('"a\\xff\\xc3"');
    expect([...bytesOf(unquote('a\\xff\\303\\251') ?? '')]).toEqual([0x61, 0xff, 0xc3, 0xa9]);
    expect(unquote('\\303\\251')).toBe('é');
  });

  test.each(['\\', '\\q', '\\x1', '\\u12', '\\ud800', '\\U00110000', '\\400', '\\8', 'a\nb'])(
    '%j is no literal',
    (body) => expect(unquote(body)).toBeUndefined(),
  );

  test.each([
    ['"key") > "0"', { value: 'key', rest: ') > "0"' }],
    ['  "a\\"b" c', { value: 'a"b', rest: ' c' }],
    ['`raw\\n`)', { value: 'raw\\n', rest: ')' }],
    ['key"', undefined],
    ['"open', undefined],
    ["'single'", undefined],
  ])('scanned from %j', (input, found) => expect(scanQuoted(input)).toEqual(found));
});

describe('words of a line', () => {
  test.each([
    ['put a b', ['put', 'a', 'b']],
    ['put "a b" \'c "d"\'', ['put', 'a b', 'c "d"']],
    ['put "a\\"b\\n" \'\\n\'', ['put', 'a"b\n', '\\n']],
    ['  put\ta  ', ['put', 'a']],
    ['put a="b c"', ['put', 'a="b', 'c"']],
    ['put "" x', ['put', '', 'x']],
    ['', []],
  ])('%j', (line, words) => expect(splitWords(line)).toEqual({ value: words }));

  test('an escape that does not exist is refused', () => {
    expect(splitWords('put "\\q"')).toEqual({ error: 'invalid syntax' });
  });
});

describe('numbers', () => {
  test.each([
    ['0', 10, 0n],
    ['-12', 10, -12n],
    ['+7', 10, 7n],
    ['9223372036854775807', 10, 2n ** 63n - 1n],
    ['7fffffffffffffff', 16, 2n ** 63n - 1n],
    ['-8000000000000000', 16, -(2n ** 63n)],
  ] as const)('%s in base %i', (text, base, value) => {
    expect(parseInt64(text, base)).toEqual({ value });
  });

  test.each([
    ['', 10, 'invalid syntax'],
    ['1_0', 10, 'invalid syntax'],
    ['0x10', 16, 'invalid syntax'],
    ['1f', 10, 'invalid syntax'],
    ['9223372036854775808', 10, 'value out of range'],
  ] as const)('%j in base %i is refused', (text, base, reason) => {
    const error = `strconv.ParseInt: parsing "${text}": ${reason}`;
    expect(parseInt64(text, base)).toEqual({ error });
  });

  test('beyond what numbers hold exactly lies the far future', () => {
    expect(clampToNumber(2n ** 63n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
    expect(clampToNumber(-(2n ** 63n))).toBe(-Number.MAX_SAFE_INTEGER);
  });
});

test.each([
  [0n, '0s'],
  [999n, '999ns'],
  [1500n, '1.5µs'],
  [1_059_267n, '1.059267ms'],
  [20_000_000n, '20ms'],
  [12_500_000_000n, '12.5s'],
  [60_500_000_000n, '1m0.5s'],
  [3_600_000_000_000n, '1h0m0s'],
])('a duration of %d ns reads %s', (nanoseconds, text) => {
  expect(formatNanoseconds(nanoseconds)).toBe(text);
});

test.each([
  [0, '0 B'],
  [9, '9 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [2240, '2.2 kB'],
  [20_480, '20 kB'],
  [21_500, '22 kB'],
  [24_576, '25 kB'],
  [2_147_483_648, '2.1 GB'],
  [9_949, '9.9 kB'],
  [9_950, '10 kB'],
])('%d bytes read %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));

test('hex has two digits a byte', () => {
  expect(hexText(Uint8Array.of(0x61, 0x0a))).toBe('\\x61\\x0a');
});
