/**
 * The file format of bbolt, etcd's database (etcd-io/bbolt: internal/common), version 2: pages of
 * one size, the first two of them metas, the rest B+ trees of buckets and a list of free pages. A
 * page that does not hold its contents goes on in the pages after it, its overflow. All numbers are
 * little-endian: bbolt writes the order of its machine, and etcd's machines have this one.
 */
import { buffer } from '../base/bytes.ts';

/** What files that we write have; others are read too. */
export const pageBytes = 4096;

export const pageKinds = { branch: 0x01, leaf: 0x02, meta: 0x04, freelist: 0x10 } as const;

/** Number (8 bytes), kind (2), count of elements (2), overflow pages (4). */
export const pageHeaderBytes = 16;
/** Offset of the key from the element (4 bytes), its length (4), page of the child (8). */
export const branchElementBytes = 16;
/** Flags (4 bytes), offset of the key from the element (4), lengths of key and value (4 + 4). */
export const leafElementBytes = 16;
/** What the value of a bucket begins with: its root page (8 bytes) and its sequence (8). */
export const bucketHeaderBytes = 16;
/** Flag of a leaf element whose value is a bucket. */
export const bucketFlag = 0x01;
/** A bucket whose only page is no larger than this is kept in its parent's value. */
export const inlineBytesMax = pageBytes / 4;
/** Longest key that bbolt takes, and longest value. */
export const keyBytesMax = 32_768;
export const valueBytesMax = 2 ** 31 - 2;
/** A count that says that the true one is the first element of a freelist. */
export const countInFirstElement = 0xffff;

const magic = 0xed0cdaed;
const version = 2;
export const metaBytes = 64;
const checksumAt = metaBytes - 8;
const noFreelist = 0xffff_ffff_ffff_ffffn;
const two32 = 0x1_0000_0000;

export interface PageHeader {
  readonly number: number;
  readonly kind: number;
  readonly count: number;
  /** Pages that follow this one and belong to it. */
  readonly overflow: number;
}

export interface Meta {
  readonly pageBytes: number;
  /** Root page of the bucket that holds the buckets. */
  readonly root: number;
  /** Undefined if the free pages are not listed: they are those that nothing leads to. */
  readonly freelist: number | undefined;
  /** All pages have numbers below this one. */
  readonly pages: number;
  /** Of two whole metas the one with the higher number counts. */
  readonly transaction: number;
}

/** The file is not a whole database of bbolt. */
export class InvalidDatabaseError extends Error {
  override readonly name = 'InvalidDatabaseError';

  constructor(how: string) {
    super(`invalid database: ${how}`);
  }
}

/** A number of 64 bits; one above 2^53 becomes Infinity, which is beyond every bound. */
export function readNumber(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32LE(at + 4);
  return high < 0x20_0000 ? high * two32 + bytes.readUInt32LE(at) : Infinity;
}

export function writeNumber(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % two32, at);
  bytes.writeUInt32LE(Math.floor(value / two32), at + 4);
}

export function readPageHeader(bytes: Uint8Array): PageHeader {
  const header = buffer(bytes);
  return {
    number: readNumber(header, 0),
    kind: header.readUInt16LE(8),
    count: header.readUInt16LE(10),
    overflow: header.readUInt32LE(12),
  };
}

export function writePageHeader(bytes: Buffer, header: PageHeader): void {
  writeNumber(bytes, header.number, 0);
  bytes.writeUInt16LE(header.kind, 8);
  bytes.writeUInt16LE(header.count, 10);
  bytes.writeUInt32LE(header.overflow, 12);
}

/** A whole meta page. */
export function encodeMetaPage(number: number, meta: Meta): Buffer {
  const page = Buffer.alloc(meta.pageBytes);
  writePageHeader(page, { number, kind: pageKinds.meta, count: 0, overflow: 0 });
  const bytes = page.subarray(pageHeaderBytes, pageHeaderBytes + metaBytes);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(version, 4);
  bytes.writeUInt32LE(meta.pageBytes, 8);
  // Flags, and the sequence of the root bucket, stay zero.
  writeNumber(bytes, meta.root, 16);
  if (meta.freelist === undefined) bytes.writeBigUInt64LE(noFreelist, 32);
  else writeNumber(bytes, meta.freelist, 32);
  writeNumber(bytes, meta.pages, 40);
  writeNumber(bytes, meta.transaction, 48);
  bytes.writeBigUInt64LE(metaChecksum(bytes), checksumAt);
  return page;
}

/** The meta behind a page's header; undefined if it is none, or its checksum is wrong. */
export function decodeMeta(source: Uint8Array): Meta | undefined {
  const bytes = buffer(source);
  if (bytes.length < metaBytes) return undefined;
  if (bytes.readUInt32LE(0) !== magic || bytes.readUInt32LE(4) !== version) return undefined;
  if (bytes.readBigUInt64LE(checksumAt) !== metaChecksum(bytes)) return undefined;
  const size = bytes.readUInt32LE(8);
  if (!pageSizes.includes(size)) return undefined;
  return {
    pageBytes: size,
    root: readNumber(bytes, 16),
    freelist: bytes.readBigUInt64LE(32) === noFreelist ? undefined : readNumber(bytes, 32),
    pages: readNumber(bytes, 40),
    transaction: readNumber(bytes, 48),
  };
}

/** Every size that a page may have: the machine's, so a power of two. */
export const pageSizes: readonly number[] = [1, 2, 4, 8, 16, 32, 64].map((kib) => kib * 1024);

/** 64-bit FNV-1a over everything before the checksum. */
function metaChecksum(meta: Buffer): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of meta.subarray(0, checksumAt)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}
