/**
 * Sets of values by half-open key range, to find those whose range holds a key: an AVL tree by
 * range in which every node knows the highest end below it. A search costs a walk down per match.
 */

/** The end of a range without end: above every latin1 string. */
export const noEnd = '\uffff';

interface IntervalNode<Value> {
  low: string;
  high: string;
  values: Set<Value>;
  /** Highest `high` of this node and those below. */
  highest: string;
  height: number;
  left: IntervalNode<Value> | undefined;
  right: IntervalNode<Value> | undefined;
}

type Tree<Value> = IntervalNode<Value> | undefined;

export class IntervalMap<Value> {
  #root: Tree<Value>;

  add(low: string, high: string, value: Value): void {
    this.#root = insert(this.#root, low, high, value);
  }

  /** Removes a value that was added with the same range. */
  delete(low: string, high: string, value: Value): void {
    const node = find(this.#root, low, high);
    if (node === undefined) return;
    node.values.delete(value);
    if (node.values.size === 0) this.#root = remove(this.#root, low, high);
  }

  /** Visits every value whose range holds `key`. */
  match(key: string, visitor: (value: Value) => void): void {
    matchBelow(this.#root, key, visitor);
  }
}

/** Negative if the range [low, high) comes before the node's. */
function compare<Value>(low: string, high: string, node: IntervalNode<Value>): number {
  if (low !== node.low) return low < node.low ? -1 : 1;
  if (high !== node.high) return high < node.high ? -1 : 1;
  return 0;
}

function find<Value>(tree: Tree<Value>, low: string, high: string): Tree<Value> {
  let node = tree;
  while (node !== undefined) {
    const order = compare(low, high, node);
    if (order === 0) return node;
    node = order < 0 ? node.left : node.right;
  }
  return undefined;
}

function matchBelow<Value>(tree: Tree<Value>, key: string, visitor: (value: Value) => void): void {
  let node = tree;
  while (node !== undefined && key < node.highest) {
    matchBelow(node.left, key, visitor);
    if (key < node.low) return;
    if (key < node.high) node.values.forEach(visitor);
    node = node.right;
  }
}

function heightOf<Value>(tree: Tree<Value>): number {
  return tree === undefined ? 0 : tree.height;
}

/** Brings a node's sums up to date with its children. */
function refresh<Value>(node: IntervalNode<Value>): void {
  const { left, right } = node;
  node.height = Math.max(heightOf(left), heightOf(right)) + 1;
  node.highest = node.high;
  if (left !== undefined && left.highest > node.highest) node.highest = left.highest;
  if (right !== undefined && right.highest > node.highest) node.highest = right.highest;
}

function rotateRight<Value>(node: IntervalNode<Value>, left: IntervalNode<Value>): typeof node {
  node.left = left.right;
  left.right = node;
  refresh(node);
  refresh(left);
  return left;
}

function rotateLeft<Value>(node: IntervalNode<Value>, right: IntervalNode<Value>): typeof node {
  node.right = right.left;
  right.left = node;
  refresh(node);
  refresh(right);
  return right;
}

function balance<Value>(node: IntervalNode<Value>): IntervalNode<Value> {
  refresh(node);
  const { left, right } = node;
  const lean = heightOf(left) - heightOf(right);
  if (lean > 1 && left !== undefined) {
    if (left.right !== undefined && heightOf(left.right) > heightOf(left.left)) {
      node.left = rotateLeft(left, left.right);
    }
    return rotateRight(node, node.left ?? left);
  }
  if (lean < -1 && right !== undefined) {
    if (right.left !== undefined && heightOf(right.left) > heightOf(right.right)) {
      node.right = rotateRight(right, right.left);
    }
    return rotateLeft(node, node.right ?? right);
  }
  return node;
}

function insert<Value>(
  tree: Tree<Value>,
  low: string,
  high: string,
  value: Value,
): IntervalNode<Value> {
  if (tree === undefined) {
    const values = new Set([value]);
    return { low, high, values, highest: high, height: 1, left: undefined, right: undefined };
  }
  const order = compare(low, high, tree);
  if (order === 0) {
    tree.values.add(value);
    return tree;
  }
  if (order < 0) tree.left = insert(tree.left, low, high, value);
  else tree.right = insert(tree.right, low, high, value);
  return balance(tree);
}

function remove<Value>(tree: Tree<Value>, low: string, high: string): Tree<Value> {
  if (tree === undefined) return undefined;
  const order = compare(low, high, tree);
  if (order < 0) {
    tree.left = remove(tree.left, low, high);
  } else if (order > 0) {
    tree.right = remove(tree.right, low, high);
  } else {
    if (tree.left === undefined) return tree.right;
    if (tree.right === undefined) return tree.left;
    let next = tree.right;
    while (next.left !== undefined) next = next.left;
    tree.low = next.low;
    tree.high = next.high;
    tree.values = next.values;
    tree.right = remove(tree.right, next.low, next.high);
  }
  return balance(tree);
}
