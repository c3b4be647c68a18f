/** Writes a whole database in one go, in bounded memory, from buckets of sorted pairs. */
import { assert, present } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import {
  bucketHeaderBytes,
  encodeMetaPage,
  keyBytesMax,
  pageBytes,
  pageKinds,
  valueBytesMax,
  writeNumber,
  writePageHeader,
} from './format.ts';
import { pagesOf, TreeWriter, type WrittenTree } from './tree-writer.ts';

const freelistPage = 2;
const firstTreePage = 3;
/** Of the two metas; bbolt takes the higher one, and puts even ones into page 0. */
const transactions = [2, 1] as const;

/** What the first pages of a file say of all others. */
export interface DatabaseLayout {
  readonly root: number;
  /** Pages of the file. */
  readonly pages: number;
}

export function layoutBytes(layout: DatabaseLayout): number {
  return layout.pages * pageBytes;
}

/**
 * Pages go to `output` in the order of their numbers, so that they can be streamed. The first ones
 * hold what is only known at the end. So a database is written twice from the same pairs: first
 * without a layout, when nothing goes to `output` and {@link finish} returns it, and then with it.
 */
export class DatabaseWriter {
  readonly #output: (page: Buffer) => void;
  readonly #layout: DatabaseLayout | undefined;
  readonly #buckets: { readonly name: Uint8Array; readonly value: Buffer }[] = [];
  #next = firstTreePage;
  #bucket: { readonly name: Uint8Array; readonly tree: TreeWriter } | undefined;
  #lastKey: Uint8Array | undefined;

  constructor(layout?: DatabaseLayout, output: (page: Buffer) => void = () => {}) {
    this.#output = output;
    this.#layout = layout;
    if (layout !== undefined) this.#writeFirstPages(layout);
  }

  /** Begins a bucket, after the one before was ended. They may come in any order. */
  beginBucket(name: Uint8Array): void {
    assert(this.#bucket === undefined, 'a bucket begins within another');
    this.#bucket = { name, tree: this.#tree() };
    this.#lastKey = undefined;
  }

  /** Keys of a bucket must ascend. Keys and values must not change any more. */
  put(key: Uint8Array, value: Uint8Array): void {
    const { tree } = present(this.#bucket, 'a bucket');
    assert(key.length > 0 && key.length <= keyBytesMax, `a key has ${key.length} bytes`);
    assert(value.length <= valueBytesMax, `a value has ${value.length} bytes`);
    const ascends = this.#lastKey === undefined || compareBytes(this.#lastKey, key) < 0;
    assert(ascends, 'keys of a bucket do not ascend');
    this.#lastKey = key;
    tree.put(key, value);
  }

  endBucket(): void {
    const { name, tree } = present(this.#bucket, 'a bucket');
    this.#bucket = undefined;
    this.#buckets.push({ name, value: bucketValue(tree.finish(true)) });
  }

  /** Writes what is left. */
  finish(): DatabaseLayout {
    assert(this.#bucket === undefined, 'a bucket has no end');
    const root = this.#tree();
    const sorted = this.#buckets.toSorted((a, b) => compareBytes(a.name, b.name));
    for (const { name, value } of sorted) root.put(name, value, true);
    const written = root.finish(false);
    assert('root' in written, 'the bucket of buckets has a page of its own');
    const layout = { root: written.root, pages: this.#next };
    const expected = this.#layout ?? layout;
    const same = expected.root === layout.root && expected.pages === layout.pages;
    assert(same, 'a database was written from other pairs than before');
    return layout;
  }

  #tree(): TreeWriter {
    return new TreeWriter((bytes, encode) => {
      const number = this.#next;
      this.#next += pagesOf(bytes);
      if (this.#layout !== undefined) this.#output(encode(number));
      return number;
    });
  }

  #writeFirstPages({ root, pages }: DatabaseLayout): void {
    transactions.forEach((transaction, number) => {
      const meta = { pageBytes, root, freelist: freelistPage, pages, transaction };
      this.#output(encodeMetaPage(number, meta));
    });
    const freelist = Buffer.alloc(pageBytes);
    const header = { number: freelistPage, kind: pageKinds.freelist, count: 0, overflow: 0 };
    writePageHeader(freelist, header);
    this.#output(freelist);
  }
}

function bucketValue(written: WrittenTree): Buffer {
  const header = Buffer.alloc(bucketHeaderBytes);
  if ('inline' in written) return Buffer.concat([header, written.inline]);
  writeNumber(header, written.root, 0);
  return header;
}
