import { constants, PerformanceObserver } from 'node:perf_hooks';
import { afterEach, expect, test } from 'vitest';
import { CollectionPace, collectionPace } from '../../../src/api/grpc/collection-pace.ts';

/** What Node's types do not know. */
interface Collection {
  readonly detail: { readonly kind: number };
}

let observer: PerformanceObserver | undefined;

afterEach(() => observer?.disconnect());

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

/** Fails with a Node whose V8 takes no notice: see collection-pace.ts. */
test('V8 does as it is asked', async () => {
  let full = 0;
  observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries() as unknown as Collection[]) {
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full++;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  for (let round = 0; round < 3; round++) {
    const before = full;
    for (let i = 0; i < 60_000; i++) collectionPace.called();
    await expect.poll(() => full, { timeout: 10_000 }).toBeGreaterThan(before);
  }
});
