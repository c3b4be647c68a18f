/** The Huffman code of header fields (RFC 7541 section 5.2 and appendix B). */

/** Bits of each byte's code, and of the end of a string, in base 32. The codes are canonical. */
const codeBits =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u';
const endOfString = 256;
/** Padding is shorter than a byte. */
const maxPaddingBits = 7;

/** An inner node of the code's tree. Leaves are bytes. */
interface Node {
  readonly next: [Node | number | undefined, Node | number | undefined];
  /** How to get to it, if all of the way is ones, as padding is; else -1. */
  readonly ones: number;
}

function buildTree(): Node {
  const root: Node = { next: [undefined, undefined], ones: 0 };
  const lengths = Array.from(codeBits, (digit) => parseInt(digit, 32));
  let code = 0;
  let codeLength = 0;
  for (let bits = 1; bits <= Math.max(...lengths); bits++) {
    for (const [symbol, length] of lengths.entries()) {
      if (length !== bits) continue;
      code *= 2 ** (bits - codeLength);
      codeLength = bits;
      insert(root, symbol, code, bits);
      code++;
    }
  }
  return root;
}

function insert(root: Node, symbol: number, code: number, bits: number): void {
  let node = root;
  for (let shift = bits - 1; shift > 0; shift--) {
    const bit = Math.floor(code / 2 ** shift) % 2 === 1 ? 1 : 0;
    let next = node.next[bit];
    if (next === undefined) {
      const ones = bit === 1 && node.ones >= 0 ? node.ones + 1 : -1;
      next = { next: [undefined, undefined], ones };
      node.next[bit] = next;
    }
    node = next as Node;
  }
  node.next[code % 2 === 1 ? 1 : 0] = symbol;
}

const noSymbol = 0xffff;
const failed = 0xffff;

/** Half a byte at a time: where it leads from each node, and the byte that ends on the way. */
interface Steps {
  readonly nextState: Uint16Array;
  readonly symbol: Uint16Array;
  /** Whether a string may end in a state. */
  readonly mayEnd: readonly boolean[];
}

function buildSteps(): Steps {
  const root = buildTree();
  const nodes: Node[] = [root];
  const numbers = new Map<Node, number>([[root, 0]]);
  const nextState: number[] = [];
  const symbol: number[] = [];
  const numberOf = (node: Node): number => {
    const known = numbers.get(node);
    if (known !== undefined) return known;
    numbers.set(node, nodes.length);
    return nodes.push(node) - 1;
  };
  for (const node of nodes) {
    for (let nibble = 0; nibble < 16; nibble++) {
      const step = walk(root, node, nibble);
      nextState.push(step.end === undefined ? failed : numberOf(step.end));
      symbol.push(step.symbol);
    }
  }
  return {
    nextState: Uint16Array.from(nextState),
    symbol: Uint16Array.from(symbol),
    mayEnd: nodes.map(({ ones }) => ones >= 0 && ones <= maxPaddingBits),
  };
}

/** No code is shorter than five bits, so at most one ends in four. */
function walk(root: Node, from: Node, nibble: number): { end: Node | undefined; symbol: number } {
  let node = from;
  let symbol = noSymbol;
  for (let shift = 3; shift >= 0; shift--) {
    const next = node.next[((nibble >> shift) & 1) as 0 | 1];
    if (typeof next === 'number') {
      if (next === endOfString) return { end: undefined, symbol };
      symbol = next;
      node = root;
    } else if (next === undefined) return { end: undefined, symbol };
    else node = next;
  }
  return { end: node, symbol };
}

const { nextState, symbol: symbols, mayEnd } = buildSteps();

/** Decoded bytes; grows to what the longest string needs. */
let decoded = Buffer.alloc(1024);

/** The text that was encoded, as Latin-1; undefined if it is no such code. */
export function decodeHuffman(encoded: Uint8Array, start: number, end: number): string | undefined {
  // Five bits for each byte, at least.
  const longest = Math.ceil(((end - start) * 8) / 5);
  const out = longest > decoded.length ? (decoded = Buffer.alloc(longest)) : decoded;
  let length = 0;
  let state = 0;
  for (let at = start; at < end; at++) {
    const byte = encoded[at] as number;
    let step = state * 16 + (byte >> 4);
    let symbol = symbols[step] as number;
    if (symbol !== noSymbol) out[length++] = symbol;
    state = nextState[step] as number;
    if (state === failed) return undefined;
    step = state * 16 + (byte & 15);
    symbol = symbols[step] as number;
    if (symbol !== noSymbol) out[length++] = symbol;
    state = nextState[step] as number;
    if (state === failed) return undefined;
  }
  if (mayEnd[state] !== true) return undefined;
  return out.toString('latin1', 0, length);
}
