/**
 * The index: a B+ tree from keys to {@link KeyIndex}. Every node counts the live keys below it, so
 * that the number of keys in a range costs a walk down and not a walk along: clients that page
 * through a prefix ask for that number with every page.
 *
 * Deletes remove nodes only once they are empty, as most production B-trees do. Walks are from
 * start to end in one call; a caller that works in slices starts again after the last key.
 */
import { present } from '../base/assert.ts';
import type { KeyIndex } from './key-index.ts';

/** Most entries of a node: an insert moves half of them on average, 256 bytes. */
const nodeEntriesMax = 64;
/** Where a full last node is split when keys arrive in order: the left part stays nearly full. */
const appendSplitAt = 60;

interface Leaf {
  readonly leaf: true;
  live: number;
  keys: string[];
  values: KeyIndex[];
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
export type Visitor = (key: string, value: KeyIndex) => typeof stop | undefined;

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
  #root: Node = { leaf: true, live: 0, keys: [], values: [] };
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
    return node.keys[place] === key ? node.values[place] : undefined;
  }

  /** Adds a key that is not there. */
  insert(key: string, value: KeyIndex): void {
    const right = insertBelow(this.#root, key, value);
    this.#size++;
    if (right === undefined) return;
    const left = this.#root;
    const keys = ['', right.key];
    const live = left.live + right.node.live;
    this.#root = { leaf: false, live, keys, children: [left, right.node] };
  }

  /** Removes a key that is there, and that is not live. */
  delete(key: string): void {
    deleteBelow(this.#root, key);
    this.#size--;
    while (!this.#root.leaf && this.#root.children.length === 1) this.#root = child(this.#root, 0);
    if (!this.#root.leaf && this.#root.children.length === 0) {
      this.#root = { leaf: true, live: 0, keys: [], values: [] };
    }
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
    const below = liveBelow(this.#root, low);
    const upper = high === undefined ? this.#root.live : liveBelow(this.#root, high);
    return Math.max(upper - below, 0);
  }

  /** Visits the keys of [low, high) in order until the visitor returns {@link stop}. */
  visit(low: string, high: string | undefined, visitor: Visitor): void {
    visitBelow(this.#root, low, high, visitor, false);
  }

  /** The same for live keys only; many deleted ones in a row cost little. */
  visitLive(low: string, high: string | undefined, visitor: Visitor): void {
    visitBelow(this.#root, low, high, visitor, true);
  }
}

interface Split {
  readonly key: string;
  readonly node: Node;
}

function insertBelow(node: Node, key: string, value: KeyIndex): Split | undefined {
  if (value.live) node.live++;
  if (node.leaf) {
    const place = lowerBound(node.keys, key);
    node.keys.splice(place, 0, key);
    node.values.splice(place, 0, value);
    if (node.keys.length <= nodeEntriesMax) return undefined;
    return splitLeaf(node, place === nodeEntriesMax ? appendSplitAt : nodeEntriesMax / 2);
  }
  const place = childOf(node, key);
  const split = insertBelow(child(node, place), key, value);
  if (split === undefined) return undefined;
  node.keys.splice(place + 1, 0, split.key);
  node.children.splice(place + 1, 0, split.node);
  if (node.children.length <= nodeEntriesMax) return undefined;
  const appended = place + 1 === nodeEntriesMax;
  return splitBranch(node, appended ? appendSplitAt : nodeEntriesMax / 2);
}

function splitLeaf(leaf: Leaf, at: number): Split {
  const keys = leaf.keys.splice(at);
  const values = leaf.values.splice(at);
  let live = 0;
  for (const value of values) if (value.live) live++;
  leaf.live -= live;
  return {
    key: present(keys[0], 'first key of a split'),
    node: { leaf: true, live, keys, values },
  };
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

/** Returns whether the node is empty now. */
function deleteBelow(node: Node, key: string): boolean {
  if (node.leaf) {
    const place = lowerBound(node.keys, key);
    if (node.keys[place] === key) {
      node.keys.splice(place, 1);
      node.values.splice(place, 1);
    }
    return node.keys.length === 0;
  }
  const place = childOf(node, key);
  if (deleteBelow(child(node, place), key)) {
    node.keys.splice(place, 1);
    node.children.splice(place, 1);
  }
  return node.children.length === 0;
}

function liveBelow(root: Node, key: string): number {
  let node = root;
  let count = 0;
  while (!node.leaf) {
    const place = childOf(node, key);
    for (let i = 0; i < place; i++) count += child(node, i).live;
    node = child(node, place);
  }
  const end = lowerBound(node.keys, key);
  for (let i = 0; i < end; i++) if ((node.values[i] as KeyIndex).live) count++;
  return count;
}

function visitBelow(
  node: Node,
  low: string,
  high: string | undefined,
  visitor: Visitor,
  liveOnly: boolean,
): typeof stop | undefined {
  if (liveOnly && node.live === 0) return undefined;
  if (node.leaf) {
    const { keys, values } = node;
    for (let i = lowerBound(keys, low); i < keys.length; i++) {
      const key = keys[i] as string;
      if (high !== undefined && key >= high) return stop;
      const value = values[i] as KeyIndex;
      if (liveOnly && !value.live) continue;
      if (visitor(key, value) === stop) return stop;
    }
    return undefined;
  }
  for (let i = childOf(node, low); i < node.children.length; i++) {
    // Keys at or above `high` end the walk in a leaf; leaves without live keys are passed by.
    if (liveOnly && i > 0 && high !== undefined && (node.keys[i] as string) >= high) return stop;
    if (visitBelow(child(node, i), low, high, visitor, liveOnly) === stop) return stop;
  }
  return undefined;
}
