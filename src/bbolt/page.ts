/** The elements of one page, each within its bounds. */
import {
  branchElementBytes,
  bucketFlag,
  InvalidDatabaseError,
  keyBytesMax,
  leafElementBytes,
  pageHeaderBytes,
  pageKinds,
  readNumber,
  type PageHeader,
} from './format.ts';

export interface Page {
  readonly header: PageHeader;
  /** The page with its header and overflow. */
  readonly bytes: Buffer;
}

export interface LeafElement {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly isBucket: boolean;
}

export interface BranchElement {
  readonly key: Buffer;
  readonly child: number;
}

type PageKind = keyof typeof pageKinds;

/** Undefined if the page is of no kind, or of several. */
export function kindOf({ header }: Page): PageKind | undefined {
  const kinds = Object.keys(pageKinds) as PageKind[];
  return kinds.find((kind) => pageKinds[kind] === header.kind);
}

/** Of a leaf or a branch. */
export function readElements(page: Page): readonly (LeafElement | BranchElement)[] {
  const isLeaf = kindOf(page) === 'leaf';
  const { count } = page.header;
  const size = isLeaf ? leafElementBytes : branchElementBytes;
  if (pageHeaderBytes + count * size > page.bytes.length) {
    invalid(page, `has ${count} elements in ${page.bytes.length} bytes`);
  }
  const elements: (LeafElement | BranchElement)[] = [];
  // Without overlaps, a page cannot hold more bytes in its elements than it has.
  let from = pageHeaderBytes + count * size;
  for (let i = 0; i < count; i++) {
    const at = pageHeaderBytes + i * size;
    const { element, begin, end } = isLeaf ? readLeaf(page, at) : readBranch(page, at);
    if (begin < from) invalid(page, 'has keys or values that overlap');
    from = end;
    elements.push(element);
  }
  return elements;
}

interface Read<Element> {
  readonly element: Element;
  /** Where its key and value lie in the page. */
  readonly begin: number;
  readonly end: number;
}

function readLeaf(page: Page, at: number): Read<LeafElement> {
  const { bytes } = page;
  const keyAt = at + bytes.readUInt32LE(at + 4);
  const valueAt = keyAt + keyLength(page, bytes.readUInt32LE(at + 8));
  const end = valueAt + bytes.readUInt32LE(at + 12);
  if (end > bytes.length) invalid(page, 'has a pair that goes on behind its end');
  const key = bytes.subarray(keyAt, valueAt);
  const isBucket = (bytes.readUInt32LE(at) & bucketFlag) !== 0;
  return { element: { key, value: bytes.subarray(valueAt, end), isBucket }, begin: keyAt, end };
}

function readBranch(page: Page, at: number): Read<BranchElement> {
  const { bytes } = page;
  const keyAt = at + bytes.readUInt32LE(at);
  const end = keyAt + keyLength(page, bytes.readUInt32LE(at + 4));
  if (end > bytes.length) invalid(page, 'has a key that goes on behind its end');
  const child = readNumber(bytes, at + 8);
  return { element: { key: bytes.subarray(keyAt, end), child }, begin: keyAt, end };
}

function keyLength(page: Page, length: number): number {
  if (length === 0 || length > keyBytesMax) invalid(page, `has a key of ${length} bytes`);
  return length;
}

function invalid({ header }: Page, how: string): never {
  throw new InvalidDatabaseError(`page ${header.number} ${how}`);
}
