/**
 * Reads a database of bbolt that may come from anywhere: every number in it is bounded before it is
 * used, and what contradicts itself is an {@link InvalidDatabaseError}. Walks end because keys must
 * ascend and no page but a root may be empty: a page that is reached twice shows its keys twice.
 */
import { compareBytes, latin1 } from '../base/bytes.ts';
import type { FileSource } from './file-source.ts';
import {
  bucketHeaderBytes,
  countInFirstElement,
  decodeMeta,
  InvalidDatabaseError,
  metaBytes,
  pageHeaderBytes,
  pageSizes,
  readNumber,
  readPageHeader,
  type Meta,
} from './format.ts';
import { kindOf, readElements, type LeafElement, type Page } from './page.ts';

export type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** Branch levels of a tree; with at least two children each, more would not fit into any file. */
const depthMax = 48;
/** Metas, one page each. */
const metaPages = 2;
/** What a page with its overflow may have: more than the largest value etcd ever takes. */
const spanBytesMax = 1024 * 1024 * 1024;
const freePageBytes = 8;

/** A bucket: the page that its tree begins with, or that is its tree. */
interface Root {
  readonly page: number;
  readonly inline: Page | undefined;
}

/** Bounds that a branch sets for the keys of a child: from `low` on, below `high`. */
interface Bounds {
  readonly low: Uint8Array | undefined;
  readonly high: Uint8Array | undefined;
}

const unbounded: Bounds = { low: undefined, high: undefined };

export class DatabaseReader {
  readonly #source: FileSource;
  readonly #meta: Meta;
  readonly #buckets = new Map<string, Root>();

  /** Reads metas and buckets. @throws InvalidDatabaseError, or the error of the source */
  constructor(source: FileSource) {
    this.#source = source;
    this.#meta = readMeta(source);
    const { pages, root, pageBytes } = this.#meta;
    if (pages * pageBytes > source.sizeBytes) {
      invalid(`it has ${source.sizeBytes} bytes, but its pages take ${pages * pageBytes}`);
    }
    for (const { key, value, isBucket } of this.#walk({ page: root, inline: undefined })) {
      if (!isBucket) invalid('a pair lies outside of all buckets');
      this.#buckets.set(latin1(key), this.#rootOf(value));
    }
  }

  /** Bytes of all pages, as bbolt counts the size of a database. */
  get sizeBytes(): number {
    return this.#meta.pages * this.#meta.pageBytes;
  }

  /** In ascending order, one character for each byte. */
  get buckets(): readonly string[] {
    return [...this.#buckets.keys()];
  }

  /** The pairs of a bucket in key order; nothing if it is not there. */
  *pairs(bucket: string): Generator<Pair, void, undefined> {
    const root = this.#buckets.get(bucket);
    if (root === undefined) return;
    for (const { key, value, isBucket } of this.#walk(root)) {
      if (isBucket) invalid(`the bucket ${bucket} holds another`);
      yield [key, value];
    }
  }

  /**
   * Proves that every page belongs to exactly one bucket or is free, as bbolt's own check does, and
   * that all keys are in order.
   */
  check(): void {
    const used = new PageSet(this.#meta.pages);
    for (let page = 0; page < metaPages; page++) used.add(page, 1);
    this.#addFreelist(used);
    for (const _ of this.#walk({ page: this.#meta.root, inline: undefined }, used));
    for (const root of this.#buckets.values()) for (const _ of this.#walk(root, used));
    const lost = used.firstMissing();
    if (lost !== undefined && this.#meta.freelist !== undefined) {
      invalid(`page ${lost} is neither used nor free`);
    }
  }

  #addFreelist(used: PageSet): void {
    const { freelist, pages } = this.#meta;
    if (freelist === undefined) return;
    const page = this.#page(freelist);
    if (kindOf(page) !== 'freelist') invalid(`page ${freelist} is no list of free pages`);
    used.add(freelist, page.header.overflow + 1);
    const first = page.header.count === countInFirstElement ? 1 : 0;
    const room = (page.bytes.length - pageHeaderBytes) / freePageBytes;
    if (first > room) invalid('the list of free pages has no length');
    const count = first === 0 ? page.header.count : readNumber(page.bytes, pageHeaderBytes);
    if (first + count > room) invalid(`the list of free pages has ${count} in too little room`);
    for (let i = first; i < first + count; i++) {
      const free = readNumber(page.bytes, pageHeaderBytes + i * freePageBytes);
      if (free < metaPages || free >= pages) invalid(`page ${free}, said to be free, is not there`);
      used.add(free, 1);
    }
  }

  /** All elements below a root, in order. */
  *#walk(root: Root, used?: PageSet): Generator<LeafElement, void, undefined> {
    let last: Uint8Array | undefined;
    const page = root.inline ?? this.#page(root.page);
    if (root.inline === undefined) used?.add(root.page, page.header.overflow + 1);
    for (const element of this.#below(page, unbounded, 0, used)) {
      if (last !== undefined && compareBytes(last, element.key) >= 0) {
        invalid(`keys do not ascend below page ${root.page}`);
      }
      last = element.key;
      yield element;
    }
  }

  *#below(
    page: Page,
    bounds: Bounds,
    depth: number,
    used: PageSet | undefined,
  ): Generator<LeafElement, void, undefined> {
    const { number, count } = page.header;
    const kind = kindOf(page);
    if (kind !== 'leaf' && kind !== 'branch') invalid(`page ${number} is not part of a tree`);
    if (depth > depthMax) invalid(`its trees are deeper than ${depthMax} levels`);
    if (count === 0 && (depth > 0 || kind === 'branch')) invalid(`page ${number} is empty`);
    const elements = readElements(page);
    for (const { key } of elements) {
      const { low, high } = bounds;
      const within =
        (low === undefined || compareBytes(key, low) >= 0) &&
        (high === undefined || compareBytes(key, high) < 0);
      if (!within) invalid(`page ${number} has a key that belongs to another page`);
    }
    for (const [i, element] of elements.entries()) {
      if ('value' in element) {
        yield element;
        continue;
      }
      const child = this.#page(element.child);
      used?.add(element.child, child.header.overflow + 1);
      const high = elements[i + 1]?.key ?? bounds.high;
      yield* this.#below(child, { low: element.key, high }, depth + 1, used);
    }
  }

  #rootOf(value: Buffer): Root {
    if (value.length < bucketHeaderBytes) invalid('a bucket has no header');
    const page = readNumber(value, 0);
    if (page !== 0) return { page, inline: undefined };
    const bytes = value.subarray(bucketHeaderBytes);
    if (bytes.length < pageHeaderBytes) invalid('a bucket has no page');
    const inline = { header: readPageHeader(bytes), bytes };
    if (kindOf(inline) !== 'leaf') invalid('the page within a bucket is no leaf');
    return { page, inline };
  }

  /** A page with its overflow. */
  #page(number: number): Page {
    const { pages, pageBytes } = this.#meta;
    if (number < metaPages || number >= pages) invalid(`page ${number} is not there`);
    const first = this.#source.read(number * pageBytes, pageBytes);
    const header = readPageHeader(first);
    if (header.number !== number) {
      invalid(`page ${number} says that it is page ${header.number}`);
    }
    const span = header.overflow + 1;
    if (number + span > pages) invalid(`page ${number} goes on behind the last page`);
    if (span * pageBytes > spanBytesMax) invalid(`page ${number} takes ${span} pages`);
    const bytes = span === 1 ? first : this.#source.read(number * pageBytes, span * pageBytes);
    return { header, bytes };
  }
}

function invalid(how: string): never {
  throw new InvalidDatabaseError(how);
}

/** The newer of two metas, or the one that is whole. */
function readMeta(source: FileSource): Meta {
  const at = (offset: number): Meta | undefined =>
    offset + pageHeaderBytes + metaBytes <= source.sizeBytes
      ? decodeMeta(source.read(offset + pageHeaderBytes, metaBytes))
      : undefined;
  const first = at(0);
  const sizes = first === undefined ? pageSizes : [first.pageBytes];
  // The second page begins where the first one ends, which a damaged first one does not tell.
  const second = sizes
    .map((size) => ({ size, meta: at(size) }))
    .find(({ size, meta }) => meta?.pageBytes === size)?.meta;
  const newest =
    first !== undefined && second !== undefined
      ? first.transaction >= second.transaction
        ? first
        : second
      : (first ?? second);
  return newest ?? invalid('none of its meta pages is whole');
}

/** Pages by number, one bit each. */
class PageSet {
  readonly #bits: Uint8Array;
  readonly #pages: number;

  constructor(pages: number) {
    this.#pages = pages;
    this.#bits = new Uint8Array(Math.ceil(pages / 8));
  }

  /** Adds pages of which none may be in it. */
  add(first: number, count: number): void {
    for (let page = first; page < first + count; page++) {
      const bit = 1 << (page & 7);
      const byte = this.#bits[page >>> 3] ?? 0;
      if ((byte & bit) !== 0) invalid(`page ${page} is used twice`);
      this.#bits[page >>> 3] = byte | bit;
    }
  }

  firstMissing(): number | undefined {
    for (let page = 0; page < this.#pages; page++) {
      if (((this.#bits[page >>> 3] ?? 0) & (1 << (page & 7))) === 0) return page;
    }
    return undefined;
  }
}
