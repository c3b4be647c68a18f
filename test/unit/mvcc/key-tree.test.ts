import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyIndex } from '../../../src/mvcc/key-index.ts';
import { KeyTree, stop } from '../../../src/mvcc/key-tree.ts';

const name = fc.nat(400).map((number) => number.toString(36).padStart(2, '0'));
const bounds = fc.tuple(name, fc.option(name, { nil: undefined }));
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key: name }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('kill' as const), key: name }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('forget' as const), key: name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('look' as const), bounds }) },
);

class TreeAndMap {
  readonly #tree = new KeyTree();
  readonly #map = new Map<string, KeyIndex>();

  put(key: string): void {
    const index = this.#tree.get(key);
    expect(index).toBe(this.#map.get(key));
    if (index === undefined) {
      const created = new KeyIndex(1, 0, 1, 1);
      this.#map.set(key, created);
      this.#tree.insert(key, created);
    } else if (!index.live) {
      index.version = 1;
      this.#tree.adjustLive(key, 1);
    }
  }

  kill(key: string): void {
    const index = this.#map.get(key);
    if (index?.live !== true) return;
    index.version = 0;
    this.#tree.adjustLive(key, -1);
  }

  forget(key: string): void {
    const index = this.#map.get(key);
    if (index === undefined || index.live) return;
    this.#map.delete(key);
    this.#tree.delete(key);
  }

  look([low, high]: readonly [string, string | undefined]): void {
    const expected = [...this.#map.keys()]
      .filter((key) => key >= low && (high === undefined || key < high))
      .sort();
    const found: string[] = [];
    this.#tree.visit(low, high, (key, index) => {
      expect(index).toBe(this.#map.get(key));
      found.push(key);
      return undefined;
    });
    expect(found).toEqual(expected);
    const live = expected.filter((key) => this.#map.get(key)?.live);
    expect(this.#tree.countLive(low, high)).toBe(live.length);
    const foundLive: string[] = [];
    this.#tree.visitLive(low, high, (key) => {
      foundLive.push(key);
      return undefined;
    });
    expect(foundLive).toEqual(live);
    expect(this.#tree.size).toBe(this.#map.size);
    expect(this.#tree.live).toBe([...this.#map.values()].filter((index) => index.live).length);
  }
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
    for (const key of inOrder) tree.insert(key, new KeyIndex(1, 0, 1, 1));
    expect(tree.countLive('00100', '10000')).toBe(9900);
    let visited = 0;
    tree.visit('05000', undefined, () => (++visited === 10 ? stop : undefined));
    expect(visited).toBe(10);
    for (const key of inOrder) {
      const index = tree.get(key);
      if (index !== undefined) index.version = 0;
      tree.adjustLive(key, -1);
      tree.delete(key);
    }
    expect([tree.size, tree.live]).toEqual([0, 0]);
    tree.insert('a', new KeyIndex(1, 0, 1, 1));
    expect(tree.countLive('', undefined)).toBe(1);
  }
});
