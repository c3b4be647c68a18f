/**
 * Writes one B+ tree from pairs in key order. A page is written once it is full, so memory holds
 * one page for each level of the tree, whatever its size; children come before their parents.
 */
import { assert, present } from '../base/assert.ts';
import { emptyBytes } from '../base/bytes.ts';
import {
  branchElementBytes,
  bucketFlag,
  inlineBytesMax,
  leafElementBytes,
  pageBytes,
  pageHeaderBytes,
  pageKinds,
  writeNumber,
  writePageHeader,
} from './format.ts';

/**
 * Takes a page of so many bytes, which its overflow includes, and returns its number. Numbers are
 * given in the order of the calls. `encode` is only called if somebody wants the page.
 */
export type PageOutput = (bytes: number, encode: (number: number) => Buffer) => number;

/** Where a tree is: its root page or, of a small one, its only page with the number 0. */
export type WrittenTree = { readonly root: number } | { readonly inline: Buffer };

interface LeafElement {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly isBucket: boolean;
}

interface BranchElement {
  readonly key: Uint8Array;
  readonly child: number;
}

export class TreeWriter {
  readonly #output: PageOutput;
  #leaf: LeafElement[] = [];
  #leafBytes = pageHeaderBytes;
  #leavesWritten = 0;
  /** Branch pages in the making, the lowest first. */
  readonly #levels: BranchLevel[] = [];

  constructor(output: PageOutput) {
    this.#output = output;
  }

  /** The key must be above the one before; it and the value must not change any more. */
  put(key: Uint8Array, value: Uint8Array, isBucket = false): void {
    const bytes = leafElementBytes + key.length + value.length;
    if (this.#leaf.length > 0 && this.#leafBytes + bytes > pageBytes) this.#writeLeaf();
    this.#leaf.push({ key, value, isBucket });
    this.#leafBytes += bytes;
  }

  /** @param mayInline whether a small tree is to be handed back instead of written */
  finish(mayInline: boolean): WrittenTree {
    if (this.#leavesWritten === 0) {
      if (mayInline && this.#leafBytes <= inlineBytesMax) {
        return { inline: encodeLeaf(0, this.#leaf, this.#leafBytes) };
      }
      // A root may be empty, other pages are not.
      this.#writeLeaf();
    } else if (this.#leaf.length > 0) {
      this.#writeLeaf();
    }
    for (let depth = 0; ; depth++) {
      const level = present(this.#levels[depth], 'the level above the last one written');
      const root = level.onlyChild;
      if (root !== undefined) return { root };
      for (const elements of level.rest()) this.#writeBranch(depth, elements);
    }
  }

  #writeLeaf(): void {
    const elements = this.#leaf;
    const bytes = this.#leafBytes;
    const child = this.#output(bytes, (number) => encodeLeaf(number, elements, bytes));
    this.#leaf = [];
    this.#leafBytes = pageHeaderBytes;
    this.#leavesWritten += 1;
    this.#push(0, { key: elements[0]?.key ?? emptyBytes, child });
  }

  #push(depth: number, element: BranchElement): void {
    const level = (this.#levels[depth] ??= new BranchLevel());
    const full = level.push(element);
    if (full !== undefined) this.#writeBranch(depth, full);
  }

  #writeBranch(depth: number, elements: readonly BranchElement[]): void {
    const bytes = pageHeaderBytes + sum(elements);
    const child = this.#output(bytes, (number) => encodeBranch(number, elements, bytes));
    const { key } = present(elements[0], 'the first element of a branch');
    this.#push(depth + 1, { key, child });
  }
}

/**
 * Elements of one level that no page has yet. As many are held back as a page of its own needs:
 * bbolt takes no branch with a single child.
 */
class BranchLevel {
  /** What the next page will have, and what comes after it. */
  #page: BranchElement[] = [];
  #pageBytes = pageHeaderBytes;
  #after: BranchElement[] = [];
  #written = false;

  /** The elements of a page that is to be written now, if there is one. */
  push(element: BranchElement): readonly BranchElement[] | undefined {
    if (this.#after.length === 0 && this.#fits(element)) {
      this.#page.push(element);
      this.#pageBytes += bytesOf(element);
      return undefined;
    }
    this.#after.push(element);
    if (this.#after.length < childrenMin) return undefined;
    const full = this.#page;
    this.#page = this.#after;
    this.#pageBytes = pageHeaderBytes + sum(this.#page);
    this.#after = [];
    this.#written = true;
    return full;
  }

  /** The child, if the level has no other: then it is the tree's root. */
  get onlyChild(): number | undefined {
    const count = this.#page.length + this.#after.length;
    return !this.#written && count === 1 ? this.#page[0]?.child : undefined;
  }

  /** What is left, as one page or two. */
  rest(): readonly (readonly BranchElement[])[] {
    if (this.#after.length === 0) return [this.#page];
    // One is left over: it takes another along or, if that leaves too few, makes the page longer.
    if (this.#page.length === childrenMin) return [[...this.#page, ...this.#after]];
    const last = this.#page.slice(-1);
    return [this.#page.slice(0, -1), [...last, ...this.#after]];
  }

  #fits(element: BranchElement): boolean {
    return this.#page.length < childrenMin || this.#pageBytes + bytesOf(element) <= pageBytes;
  }
}

/** Children of a branch page at least (bbolt: MinKeysPerPage). */
const childrenMin = 2;

function bytesOf(element: BranchElement): number {
  return branchElementBytes + element.key.length;
}

function sum(elements: readonly BranchElement[]): number {
  return elements.reduce((bytes, element) => bytes + bytesOf(element), 0);
}

function encodeLeaf(number: number, elements: readonly LeafElement[], bytes: number): Buffer {
  // An inline page, whose number is 0, has only the length of its contents.
  const page = number === 0 ? Buffer.alloc(bytes) : emptyPage(bytes);
  const header = { number, kind: pageKinds.leaf, count: elements.length };
  writePageHeader(page, { ...header, overflow: overflowOf(page) });
  let elementAt = pageHeaderBytes;
  let dataAt = pageHeaderBytes + elements.length * leafElementBytes;
  for (const { key, value, isBucket } of elements) {
    page.writeUInt32LE(isBucket ? bucketFlag : 0, elementAt);
    page.writeUInt32LE(dataAt - elementAt, elementAt + 4);
    page.writeUInt32LE(key.length, elementAt + 8);
    page.writeUInt32LE(value.length, elementAt + 12);
    page.set(key, dataAt);
    page.set(value, dataAt + key.length);
    dataAt += key.length + value.length;
    elementAt += leafElementBytes;
  }
  assert(dataAt === bytes, 'a leaf page has another size than counted');
  return page;
}

function encodeBranch(number: number, elements: readonly BranchElement[], bytes: number): Buffer {
  const page = emptyPage(bytes);
  const header = { number, kind: pageKinds.branch, count: elements.length };
  writePageHeader(page, { ...header, overflow: overflowOf(page) });
  let elementAt = pageHeaderBytes;
  let dataAt = pageHeaderBytes + elements.length * branchElementBytes;
  for (const { key, child } of elements) {
    page.writeUInt32LE(dataAt - elementAt, elementAt);
    page.writeUInt32LE(key.length, elementAt + 4);
    writeNumber(page, child, elementAt + 8);
    page.set(key, dataAt);
    dataAt += key.length;
    elementAt += branchElementBytes;
  }
  return page;
}

function emptyPage(bytes: number): Buffer {
  return Buffer.alloc(pagesOf(bytes) * pageBytes);
}

/** Pages that so many bytes take. */
export function pagesOf(bytes: number): number {
  return Math.ceil(bytes / pageBytes);
}

function overflowOf(page: Buffer): number {
  return Math.max(0, page.length / pageBytes - 1);
}
