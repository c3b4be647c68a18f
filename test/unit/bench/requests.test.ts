import { expect, test } from 'vitest';
import { FrameReader } from '../../bench/connection.ts';
import {
  encoded,
  framed,
  isValueOf,
  keyOf,
  putAnswerBytes,
  valueOf,
} from '../../bench/requests.ts';
import { PutResponse } from '../../../src/gen/rpc.ts';

test('answers of puts are as long as their revisions make them', () => {
  const header = { clusterId: 77n, memberId: 2n ** 63n, revision: 0, raftTerm: 3 };
  const oneByOne = (before: number, last: number): number => {
    let sum = 0;
    for (let revision = before + 1; revision <= last; revision++) {
      sum += framed(encoded(PutResponse, { header: { ...header, revision } })).length;
    }
    return sum;
  };
  for (const [before, last] of [
    [1, 1],
    [1, 127],
    [126, 128],
    [1, 300],
    [16_380, 16_390],
    [100, 40_000],
    [2_097_150, 2_097_153],
  ] as const) {
    expect(putAnswerBytes(header, before, last), `${before} to ${last}`).toBe(
      oneByOne(before, last),
    );
  }
});

test('frames come out whole, however they are cut', () => {
  const messages = [Buffer.from('one'), Buffer.alloc(0), Buffer.alloc(300, 'x')];
  const bytes = Buffer.concat(messages.map(framed));
  for (const size of [1, 4, 5, 7, 100, bytes.length]) {
    const reader = new FrameReader();
    const read: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      read.push(...reader.read(bytes.subarray(at, at + size)));
    }
    expect(read, `in pieces of ${size}`).toEqual(messages);
  }
});

test('a value is of its key and of no other', () => {
  const [key, other] = [keyOf('a', 1), keyOf('a', 2)];
  expect(valueOf(key)).toHaveLength(256);
  expect(isValueOf(valueOf(key), key)).toBe(true);
  expect(isValueOf(valueOf(other), key)).toBe(false);
  expect(Buffer.compare(keyOf('a', 9), keyOf('a', 10))).toBe(-1);
});
