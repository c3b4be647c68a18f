import { expect, test } from 'vitest';
import { CollectionPace } from '../../../src/api/grpc/collection-pace.ts';

const mebibyte = 1024 * 1024;

test.each([
  [10, 20_000],
  [79, 20_224],
  [160, 40_960],
  [10_000, 60_000],
])('with a heap of %d MiB, V8 is asked every %d calls', (heap, calls) => {
  let asked = 0;
  const pace = new CollectionPace(
    () => asked++,
    () => heap * mebibyte,
  );
  for (let round = 1; round <= 3; round++) {
    for (let i = 1; i < calls; i++) pace.called();
    expect(asked).toBe(round - 1);
    pace.called();
    expect(asked).toBe(round);
  }
});

test('a heap that has become smaller since is asked for', () => {
  let asked = 0;
  let heap = 160 * mebibyte;
  const pace = new CollectionPace(
    () => asked++,
    () => heap,
  );
  for (let i = 0; i < 30_000; i++) pace.called();
  heap = 10 * mebibyte;
  for (let i = 30_000; i < 40_960; i++) pace.called();
  expect(asked).toBe(1);
});
