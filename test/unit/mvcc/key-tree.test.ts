import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KeyIndex } from '../../../src/mvcc/key-index.ts';
import { KeyTree, stop } from '../../../src/mvcc/key-tree.ts';

const name = fc.nat(400).map((number) => number.toString(36).padStart(2, '0'));
const bounds = fc.tuple(name, fc.option(name, { nil: undefined }));
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key: name }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('kill' as const), key: name }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('forget' as const), key: name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('look' as const), bounds }) },
);

/** What a tree should know of a key. */
interface Known {
  readonly main: number;
  readonly createRevision: number;
  live: boolean;
  /** Revisions before the newest. */
  changes: number;
}

class TreeAndMap {
  readonly #tree = new KeyTree();
  readonly #map = new Map<string, Known>();
  #revision = 0;

  put(key: string): void {
    const index = this.#tree.get(key);
    const known = this.#map.get(key);
    expectKnown(index, known);
    const main = ++this.#revision;
    if (index === undefined || known === undefined) {
      const created = this.#tree.insert(key, main, 3, main, 1);
      created.size = main + 1;
      created.position = main + 2;
      created.digest = -main;
      this.#map.set(key, { main, createRevision: main, live: true, changes: 0 });
    } else if (!index.live) {
      this.#advance(key, known, true);
      this.#tree.adjustLive(key, 1);
    }
  }

  #advance(key: string, known: Known, live: boolean): void {
    const main = ++this.#revision;
    const createRevision = live ? main : 0;
    const index = this.#tree.get(key);
    index?.advance(main, 3, createRevision, live ? 1 : 0);
    if (index !== undefined) {
      index.size = main + 1;
      index.position = main + 2;
      index.digest = -main;
    }
    this.#map.set(key, { main, createRevision, live, changes: known.changes + 1 });
  }

  kill(key: string): void {
    const known = this.#map.get(key);
    if (known?.live !== true) return;
    this.#advance(key, known, false);
    this.#tree.adjustLive(key, -1);
  }

  forget(key: string): void {
    const known = this.#map.get(key);
    if (known === undefined || known.live) return;
    this.#map.delete(key);
    this.#tree.delete(key);
  }

  look([low, high]: readonly [string, string | undefined]): void {
    const expected = [...this.#map.keys()]
      .filter((key) => key >= low && (high === undefined || key < high))
      .sort();
    const found: string[] = [];
    this.#tree.visit(low, high, (key, index) => {
      expectKnown(index, this.#map.get(key));
      found.push(key);
      return undefined;
    });
    expect(found).toEqual(expected);
    const live = expected.filter((key) => this.#map.get(key)?.live);
    expect(this.#tree.countLive(low, high)).toBe(live.length);
    const foundLive: string[] = [];
    this.#tree.visitLive(low, high, (key, index) => {
      expectKnown(index, this.#map.get(key));
      foundLive.push(key);
      return undefined;
    });
    expect(foundLive).toEqual(live);
    expect(this.#tree.size).toBe(this.#map.size);
    expect(this.#tree.live).toBe([...this.#map.values()].filter((index) => index.live).length);
  }
}

/** A key that took the place of another must show nothing of it. */
function expectKnown(index: KeyIndex | undefined, known: Known | undefined): void {
  expect(index === undefined).toBe(known === undefined);
  if (index === undefined || known === undefined) return;
  const { main, createRevision, live, changes } = known;
  expect([index.main, index.sub, index.createRevision, index.live]).toEqual([
    main,
    3,
    createRevision,
    live,
  ]);
  expect([index.size, index.position, index.digest]).toEqual([main + 1, main + 2, -main]);
  expect(index.older?.length ?? 0).toBe(2 * changes);
}

test('the tree holds, counts and visits what a sorted map does', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 1500, size: 'max' }), (actions) => {
      const both = new TreeAndMap();
      for (const each of actions) {
        if (each.kind === 'look') both.look(each.bounds);
        else both[each.kind](each.key);
      }
      both.look(['', undefined]);
    }),
    { numRuns: 20 },
  );
});

test('keys may come in any order and all go again', () => {
  for (const order of [1, -1]) {
    const tree = new KeyTree();
    const keys = Array.from({ length: 20_000 }, (_, i) => String(i).padStart(5, '0'));
    const inOrder = order === 1 ? keys : keys.toReversed();
    for (const key of inOrder) tree.insert(key, 1, 0, 1, 1);
    expect(tree.countLive('00100', '10000')).toBe(9900);
    let visited = 0;
    tree.visit('05000', undefined, () => (++visited === 10 ? stop : undefined));
    expect(visited).toBe(10);
    for (const key of inOrder) {
      tree.get(key)?.advance(2, 0, 0, 0);
      tree.adjustLive(key, -1);
      tree.delete(key);
    }
    expect([tree.size, tree.live]).toEqual([0, 0]);
    tree.insert('a', 1, 0, 1, 1);
    expect(tree.get('a')?.older).toBeUndefined();
    expect(tree.countLive('', undefined)).toBe(1);
  }
});
