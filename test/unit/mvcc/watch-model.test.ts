import fc from 'fast-check';
import { expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { WatchableStore } from '../../../src/mvcc/watchable-store.ts';
import type { WatchDelivery, WatchOptions, WatchOutput } from '../../../src/mvcc/watch-stream.ts';
import { ManualClock, MapBackend, openStore } from './fakes.ts';
import { type Change, inRange, Model, type ModelEvent } from './model.ts';

const key = fc.constantFrom('a', 'b', 'c', 'ca', 'd');
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ put: key, value: fc.constantFrom('', 'xyz'), lease: fc.constant(0n) }),
  fc.record({ delete: key, end: fc.constantFrom(undefined, 'c', 'e', '\0') }),
);
const options = fc.record({
  id: fc.constant(0),
  key,
  end: fc.constantFrom(undefined, 'cb', 'e', '\0'),
  startRevision: fc.nat(40),
  noPut: fc.boolean(),
  noDelete: fc.boolean(),
  prevKv: fc.boolean(),
  progressNotify: fc.boolean(),
  fragment: fc.constant(false),
});

const streamCount = 3;
const stream = fc.nat(streamCount - 1);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      // Two deletes or two puts of different keys: no key changes twice in one revision.
      changes: fc.oneof(
        fc.tuple(change),
        fc.uniqueArray(fc.record({ put: key, value: fc.constant('v'), lease: fc.constant(0n) }), {
          selector: (each) => each.put,
          minLength: 1,
        }),
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('watch' as const), stream, options }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('take' as const), stream, count: fc.nat(6) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('round' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('cancel' as const), stream, id: fc.nat(3) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('tick' as const), stream }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(3) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** One watcher as its client sees it. */
interface Seen {
  readonly options: WatchOptions;
  readonly from: number;
  readonly events: WatchDelivery['events'][number][];
  ended: 'cancelled' | 'compacted' | undefined;
}

class World {
  readonly #clock = new ManualClock();
  readonly #store = openStore({ backend: new MapBackend(), clock: this.#clock });
  readonly #watchable = new WatchableStore({ store: this.#store, clock: this.#clock });
  readonly #model = new Model();
  readonly #streams = Array.from({ length: streamCount }, (_, i) =>
    this.#watchable.openStream({ onReadable: () => undefined, unsentDeliveries: 1 + 2 * i }),
  );
  readonly #seen: Map<number, Seen>[] = this.#streams.map(() => new Map<number, Seen>());

  run(each: Step): void {
    switch (each.kind) {
      case 'change':
        this.#change(each.changes);
        break;
      case 'watch': {
        const id = this.#streams[each.stream]?.create(each.options) ?? -1;
        const from = each.options.startRevision || this.#store.revision + 1;
        const seen = { options: each.options, from, events: [], ended: undefined };
        if (id >= 0) this.#seen[each.stream]?.set(id, seen);
        break;
      }
      case 'take':
        for (let i = 0; i < each.count; i++) this.#take(each.stream);
        break;
      case 'round':
        this.#clock.round();
        break;
      case 'cancel':
        this.#streams[each.stream]?.cancel(each.id);
        break;
      case 'tick':
        this.#streams[each.stream]?.tick();
        break;
      case 'compact': {
        const revision = this.#store.revision - each.back;
        if (revision > this.#store.compactedRevision) this.#store.compact(revision);
        while (this.#store.compactionStep() === 'more');
        break;
      }
    }
  }

  #change(changes: readonly Change[]): void {
    this.#model.change(changes);
    const txn = this.#store.begin();
    for (const each of changes) {
      if ('put' in each) txn.put(each.put, utf8(each.value), each.lease);
      else txn.deleteRange(each.delete, each.end);
    }
    txn.end();
  }

  /** Takes one output as a client would. Returns whether there was one. */
  #take(streamIndex: number): boolean {
    const output = this.#streams[streamIndex]?.take();
    if (output === undefined) return false;
    if (output.kind === 'refused' || output.kind === 'created') return true;
    const seen = this.#seen[streamIndex]?.get(output.watchId);
    // Nothing follows an end, but for the answer to a client that cancels what has ended.
    const answersCancel = output.kind === 'cancelled' && seen?.ended === 'compacted';
    if (!answersCancel) expect(seen?.ended).toBeUndefined();
    if (seen !== undefined) this.#see(seen, output);
    return true;
  }

  #see(seen: Seen, output: WatchOutput): void {
    switch (output.kind) {
      case 'events': {
        expect(output.events.length).toBeGreaterThan(0);
        seen.events.push(...output.events);
        // A delivery ends where a revision ends, and its header covers it.
        const last = output.events.at(-1)?.modRevision ?? 0;
        const expected = this.#expected(seen).filter(({ revision }) => revision <= last);
        expect(seen.events).toHaveLength(expected.length);
        expect(output.revision).toBeGreaterThanOrEqual(last);
        break;
      }
      case 'progress': {
        const owed = this.#expected(seen).filter(({ revision }) => revision <= output.revision);
        expect(seen.events).toHaveLength(owed.length);
        break;
      }
      case 'cancelled':
        seen.ended = 'cancelled';
        break;
      case 'compacted': {
        seen.ended = 'compacted';
        const next = this.#expected(seen)[seen.events.length]?.revision ?? Infinity;
        expect(next === Infinity || seen.from < output.compactRevision).toBe(true);
        break;
      }
      default:
        break;
    }
  }

  #expected({ options, from }: Seen): ModelEvent[] {
    return this.#model.events.filter(
      ({ revision, key: changed, kv }) =>
        revision >= from &&
        inRange(changed, options.key, options.end) &&
        !(kv === undefined ? options.noDelete : options.noPut),
    );
  }

  finish(): void {
    for (let busy = true; busy;) {
      this.#clock.settle();
      busy = false;
      for (let i = 0; i < streamCount; i++) while (this.#take(i)) busy = true;
    }
    expect(this.#watchable.slowWatcherCount).toBe(0);
    for (const streamSeen of this.#seen) for (const seen of streamSeen.values()) this.#check(seen);
  }

  #check(seen: Seen): void {
    const expected = this.#expected(seen);
    if (seen.ended === undefined) expect(seen.events).toHaveLength(expected.length);
    seen.events.forEach((event, i) => {
      const { revision, key: changed, kv, previous } = expected[i] as ModelEvent;
      expect([event.modRevision, event.keyText, event.isDelete]).toEqual([
        revision,
        changed,
        kv === undefined,
      ]);
      if (!seen.options.prevKv) expect(event.prevKv).toBeUndefined();
      else if (event.prevKv !== undefined) {
        expect(event.prevKv.modRevision).toBe(previous?.modRevision);
      }
    });
  }
}

test('each watcher sees each event once and in order, or is told that it cannot', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const world = new World();
      for (const each of steps) world.run(each);
      world.finish();
    }),
    { numRuns: 150 },
  );
});
