import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RevisionAssembler, revisionOf } from '../../../src/client/revision-assembler.ts';
import { type Event, KeyValue, WatchResponse } from '../../../src/client/index.ts';

const eventsOf = (revisions: readonly number[]): Event[] =>
  revisions.map((modRevision, i) => ({
    type: 0,
    kv: KeyValue.create({ modRevision, version: i }),
    prevKv: undefined,
  }));

/** How often each of a few revisions happens, and where the server cuts. */
const history = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 }),
  cuts: fc.array(fc.nat(40), { maxLength: 12 }),
  emptyPieces: fc.boolean(),
});

test('however a response is cut, every event comes once, in order, and revisions whole', () => {
  fc.assert(
    fc.property(history, ({ sizes, cuts, emptyPieces }) => {
      const revisions = sizes.flatMap((size, i) => Array.from({ length: size }, () => i + 1));
      const events = eventsOf(revisions);
      const ends = cuts.filter((cut) => cut < events.length).sort((a, b) => a - b);
      const assembler = new RevisionAssembler();
      const batches: (readonly Event[])[] = [];
      let from = 0;
      for (const end of [...(emptyPieces ? ends : new Set(ends)), events.length]) {
        const fragment = end < events.length;
        const piece = WatchResponse.create({ events: events.slice(from, end), fragment });
        batches.push(assembler.add(piece));
        from = end;
      }
      expect(batches.flat()).toEqual(events);
      // No revision is in two batches.
      const seen = batches.map((batch) => new Set(batch.map(revisionOf)));
      expect(seen.reduce((sum, set) => sum + set.size, 0)).toBe(sizes.length);
    }),
  );
});

test('what was begun is forgotten on demand', () => {
  const assembler = new RevisionAssembler();
  const begun = WatchResponse.create({ events: eventsOf([1, 2]), fragment: true });
  expect(assembler.add(begun).map(revisionOf)).toEqual([1]);
  assembler.reset();
  expect(assembler.add(WatchResponse.create({ events: eventsOf([2, 3]) })).map(revisionOf)).toEqual(
    [2, 3],
  );
});
