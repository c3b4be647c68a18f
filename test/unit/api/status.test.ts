import { expect, test } from 'vitest';
import { messageHeader } from '../../../src/grpc/call.ts';

test.each([
  ['etcdserver: "k" <is> {not} ^found^ | ~', 'etcdserver: "k" <is> {not} ^found^ | ~'],
  ['100 %', '100 %25'],
  ['a\nb\tc\u007f', 'a%0Ab%09c%7F'],
  ['\u00e4 \u{1f600}', '%C3%A4 %F0%9F%98%80'],
  ['', ''],
])('the status message %j is the header %j, as of grpc-go', (text, header) => {
  expect(messageHeader(text)).toBe(header);
  expect(decodeURIComponent(header)).toBe(text);
});
