/**
 * The index: a B+ tree from keys to the numbers by which {@link KeyIndexes} knows them. Every node
 * counts the live keys below it, so that the number of keys in a range costs a walk down and not a
 * walk along: clients that page through a prefix ask for that number with every page.
 *
 * Deletes remove nodes only once they are empty, as most production B-trees do. Walks are from
 * start to end in one call; a caller that works in slices starts again after the last key.
 */
import { present } from '../base/assert.ts';
import { KeyIndex } from './key-index.ts';
import { KeyIndexes } from './key-indexes.ts';

/** Most entries of a node: an insert moves half of them on average, 256 bytes. */
const nodeEntriesMax = 64;
/** Where a full last node is split when keys arrive in order: the left part stays nearly full. */
const appendSplitAt = 60;

interface Leaf {
  readonly leaf: true;
  live: number;
  keys: string[];
  /** By which the columns know them. */
  numbers: number[];
}

interface Branch {
  readonly leaf: false;
  live: number;
  /** `keys[i]` is at most every key below `children[i]`; that of the first child is not used. */
  keys: string[];
  children: Node[];
}

type Node = Leaf | Branch;

/** Ends a walk. */
export const stop = Symbol('stop');
/** The view is of another key at the next call. */
export type Visitor = (key: string, index: KeyIndex) => typeof stop | undefined;

/** The first place whose key is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child below which `key` is or would be. */
function childOf(branch: Branch, key: string): number {
  let low = 1;
  let high = branch.keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((branch.keys[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function child(branch: Branch, place: number): Node {
  return branch.children[place] as Node;
}

export class KeyTree {
  readonly #indexes = new KeyIndexes();
  #root: Node = { leaf: true, live: 0, keys: [], numbers: [] };
  #size = 0;

  /** Keys with any revision, deleted ones included. */
  get size(): number {
    return this.#size;
  }

  /** Keys that exist at the newest revision. */
  get live(): number {
    return this.#root.live;
  }

  get(key: string): KeyIndex | undefined {
    let node = this.#root;
    while (!node.leaf) node = child(node, childOf(node, key));
    const place = lowerBound(node.keys, key);
    if (node.keys[place] !== key) return undefined;
    return new KeyIndex(this.#indexes, node.numbers[place] as number);
  }

  /** Adds a key that is not there, with its first revision. */
  insert(
    key: string,
    main: number,
    sub: number,
    createRevision: number,
    version: number,
  ): KeyIndex {
    const number = this.#indexes.allocate();
    const index = new KeyIndex(this.#indexes, number);
    index.begin(main, sub, createRevision, version);
    const right = this.#insertBelow(this.#root, key, number);
    this.#size++;
    if (right === undefined) return index;
    const left = this.#root;
    const keys = ['', right.key];
    const live = left.live + right.node.live;
    this.#root = { leaf: false, live, keys, children: [left, right.node] };
    return index;
  }

  #insertBelow(node: Node, key: string, number: number): Split | undefined {
    if (this.#indexes.isLive(number)) node.live++;
    if (node.leaf) {
      const place = lowerBound(node.keys, key);
      node.keys.splice(place, 0, key);
      node.numbers.splice(place, 0, number);
      if (node.keys.length <= nodeEntriesMax) return undefined;
      return this.#splitLeaf(node, place === nodeEntriesMax ? appendSplitAt : nodeEntriesMax / 2);
    }
    const place = childOf(node, key);
    const split = this.#insertBelow(child(node, place), key, number);
    if (split === undefined) return undefined;
    node.keys.splice(place + 1, 0, split.key);
    node.children.splice(place + 1, 0, split.node);
    if (node.children.length <= nodeEntriesMax) return undefined;
    const appended = place + 1 === nodeEntriesMax;
    return splitBranch(node, appended ? appendSplitAt : nodeEntriesMax / 2);
  }

  #splitLeaf(leaf: Leaf, at: number): Split {
    const keys = leaf.keys.splice(at);
    const numbers = leaf.numbers.splice(at);
    let live = 0;
    for (const number of numbers) if (this.#indexes.isLive(number)) live++;
    leaf.live -= live;
    return {
      key: present(keys[0], 'first key of a split'),
      node: { leaf: true, live, keys, numbers },
    };
  }

  /** Removes a key that is there, and that is not live. */
  delete(key: string): void {
    this.#deleteBelow(this.#root, key);
    this.#size--;
    while (!this.#root.leaf && this.#root.children.length === 1) this.#root = child(this.#root, 0);
    if (!this.#root.leaf && this.#root.children.length === 0) {
      this.#root = { leaf: true, live: 0, keys: [], numbers: [] };
    }
  }

  /** Returns whether the node is empty now. */
  #deleteBelow(node: Node, key: string): boolean {
    if (node.leaf) {
      const place = lowerBound(node.keys, key);
      if (node.keys[place] === key) {
        node.keys.splice(place, 1);
        for (const number of node.numbers.splice(place, 1)) this.#indexes.release(number);
      }
      return node.keys.length === 0;
    }
    const place = childOf(node, key);
    if (this.#deleteBelow(child(node, place), key)) {
      node.keys.splice(place, 1);
      node.children.splice(place, 1);
    }
    return node.children.length === 0;
  }

  /** Says that a key that is there became live (1) or was deleted (-1). */
  adjustLive(key: string, by: 1 | -1): void {
    let node = this.#root;
    while (!node.leaf) {
      node.live += by;
      node = child(node, childOf(node, key));
    }
    node.live += by;
  }

  /** Live keys in [low, high); without `high`, from `low` on. */
  countLive(low: string, high: string | undefined): number {
    const below = this.#liveBelow(low);
    const upper = high === undefined ? this.#root.live : this.#liveBelow(high);
    return Math.max(upper - below, 0);
  }

  /** Visits the keys of [low, high) in order until the visitor returns {@link stop}. */
  visit(low: string, high: string | undefined, visitor: Visitor): void {
    if (this.#size === 0) return;
    this.#visitBelow(this.#root, low, high, visitor, false, this.#view());
  }

  /** The same for live keys only; many deleted ones in a row cost little. */
  visitLive(low: string, high: string | undefined, visitor: Visitor): void {
    if (this.live === 0) return;
    this.#visitBelow(this.#root, low, high, visitor, true, this.#view());
  }

  /** For a walk: of any key. */
  #view(): KeyIndex {
    return new KeyIndex(this.#indexes, 0);
  }

  #liveBelow(key: string): number {
    let node = this.#root;
    let count = 0;
    while (!node.leaf) {
      const place = childOf(node, key);
      for (let i = 0; i < place; i++) count += child(node, i).live;
      node = child(node, place);
    }
    const end = lowerBound(node.keys, key);
    for (let i = 0; i < end; i++) if (this.#indexes.isLive(node.numbers[i] as number)) count++;
    return count;
  }

  #visitBelow(
    node: Node,
    low: string,
    high: string | undefined,
    visitor: Visitor,
    liveOnly: boolean,
    view: KeyIndex,
  ): typeof stop | undefined {
    if (liveOnly && node.live === 0) return undefined;
    if (node.leaf) {
      const { keys, numbers } = node;
      for (let i = lowerBound(keys, low); i < keys.length; i++) {
        const key = keys[i] as string;
        if (high !== undefined && key >= high) return stop;
        const number = numbers[i] as number;
        if (liveOnly && !this.#indexes.isLive(number)) continue;
        if (visitor(key, view.moveTo(this.#indexes, number)) === stop) return stop;
      }
      return undefined;
    }
    for (let i = childOf(node, low); i < node.children.length; i++) {
      // Keys at or above `high` end the walk in a leaf; leaves without live keys are passed by.
      if (liveOnly && i > 0 && high !== undefined && (node.keys[i] as string) >= high) return stop;
      if (this.#visitBelow(child(node, i), low, high, visitor, liveOnly, view) === stop)
        return stop;
    }
    return undefined;
  }
}

interface Split {
  readonly key: string;
  readonly node: Node;
}

function splitBranch(branch: Branch, at: number): Split {
  const keys = branch.keys.splice(at);
  const children = branch.children.splice(at);
  let live = 0;
  for (const node of children) live += node.live;
  branch.live -= live;
  return {
    key: present(keys[0], 'first key of a split'),
    node: { leaf: false, live, keys, children },
  };
}
