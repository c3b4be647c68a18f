import { expect, test } from 'vitest';
import {
  formatDuration,
  parseBoolean,
  parseDurationMs,
  parseInteger,
} from '../../../src/base/go-values.ts';

test.each([
  ['0', 0],
  ['300ms', 300],
  ['1.5h', 5_400_000],
  ['1h15m30.918s', 4_530_918],
  ['.5s', 500],
  ['1us', 0.001],
  ['1\u00b5s', 0.001],
  ['-2s', -2000],
  ['+2s', 2000],
])('duration %s', (text, ms) => {
  expect(parseDurationMs(text)).toEqual({ value: ms });
});

test.each(['', '5', '.s', 's', '1x', '1s ', '1e3s', '--1s', '300000000h'])(
  'no duration: %j',
  (text) => {
    expect(parseDurationMs(text)).toEqual({ error: 'parse error' });
  },
);

test.each([
  [0, '0s'],
  [100, '100ms'],
  [1500, '1.5s'],
  [600_000, '10m0s'],
  [7_200_000, '2h0m0s'],
])('format of %d ms', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
  expect(parseDurationMs(text)).toEqual({ value: ms });
});

test.each([
  ['0x10', 16],
  ['0b11', 3],
  ['0o17', 15],
  ['017', 15],
  ['1_000', 1000],
  ['18446744073709551615', Number.MAX_SAFE_INTEGER],
])('integer %s', (text, value) => {
  expect(parseInteger(text, 0n, 2n ** 64n - 1n)).toEqual({ value });
});

test.each([
  ...['', 'x', '1.5', '-1', '+1', '08', '0x', '1e3', ' 1'],
  ...['0o', '0b', '0x_', '0_', '1_', '1__0', '_1', '0o_', '0x1_'],
])('no unsigned integer: %j', (text) => {
  expect(parseInteger(text, 0n, 2n ** 64n - 1n)).toEqual({ error: 'parse error' });
});

test('out of range', () => {
  expect(parseInteger('18446744073709551616', 0n, 2n ** 64n - 1n)).toEqual({
    error: 'value out of range',
  });
  expect(parseInteger('-9', -8n, 7n)).toEqual({ error: 'value out of range' });
  expect(parseInteger('-8', -8n, 7n)).toEqual({ value: -8 });
});

test('booleans', () => {
  expect(parseBoolean('T')).toEqual({ value: true });
  expect(parseBoolean('0')).toEqual({ value: false });
  expect(parseBoolean('yes')).toEqual({ error: 'parse error' });
});
