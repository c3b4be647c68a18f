import { expect, test } from 'vitest';
import { fromKeyEnd, prefixEnd, prefixRange } from '../../../src/client/index.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test.each([
  ['a key', bytes(0x61, 0x62), bytes(0x61, 0x63)],
  ['a key with the last byte', bytes(0x61, 0xff), bytes(0x62)],
  ['only last bytes', bytes(0xff, 0xff), fromKeyEnd],
  ['nothing', bytes(), fromKeyEnd],
])('the end of a prefix of %s', (_name, key, end) => {
  const before = Buffer.from(key);
  expect(prefixEnd(before)).toEqual(end);
  expect(before).toEqual(Buffer.from(key));
});

test('a range is never one that servers refuse', () => {
  expect(prefixRange('')).toEqual({ key: bytes(0), rangeEnd: bytes(0) });
  expect(prefixRange('k')).toEqual({ key: bytes(0x6b), rangeEnd: bytes(0x6c) });
  expect(prefixEnd('\u00fc')).toEqual(bytes(0xc3, 0xbd));
});
