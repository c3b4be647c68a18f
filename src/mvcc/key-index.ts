/** What the index knows of one key: its newest revision in full, older ones as numbers. */
import { assert } from '../base/assert.ts';
import type { KeyIndexChunk, KeyIndexes } from './key-indexes.ts';
import { notCached } from './slab-cache.ts';

/** Where a revision stands in a {@link KeyIndex}: an index into `older`, or one of these. */
export const noRevision = -1;

/** The same number, for V8 to go on with as a small integer where it is one. */
function integer(value: number): number {
  const small = value | 0;
  return small === value ? small : value;
}

/** A view of what the index knows of a key, valid until the key is removed from the index. */
export class KeyIndex {
  #chunk: KeyIndexChunk;
  #at: number;

  constructor(indexes: KeyIndexes, key: number) {
    this.#chunk = indexes.chunkOf(key);
    this.#at = indexes.placeOf(key);
  }

  /** Makes it a view of another key. */
  moveTo(indexes: KeyIndexes, key: number): this {
    this.#chunk = indexes.chunkOf(key);
    this.#at = indexes.placeOf(key);
    return this;
  }

  /** For a key that is new. */
  begin(main: number, sub: number, createRevision: number, version: number): void {
    this.#setNewest(main, sub, createRevision, version);
    this.size = 0;
    this.digest = 0;
    this.position = notCached;
  }

  #setNewest(main: number, sub: number, createRevision: number, version: number): void {
    const [chunk, at] = [this.#chunk, this.#at];
    chunk.mains[at] = main;
    chunk.subs[at] = sub;
    chunk.createRevisions[at] = createRevision;
    chunk.versions[at] = version;
  }

  /** Newest revision. */
  get main(): number {
    return integer(this.#chunk.mains[this.#at] as number);
  }

  get sub(): number {
    return this.#chunk.subs[this.#at] as number;
  }

  /** Of the newest generation; 0 for a tombstone. */
  get createRevision(): number {
    return integer(this.#chunk.createRevisions[this.#at] as number);
  }

  /** Changes since creation; 0 means that the newest revision is a tombstone. */
  get version(): number {
    return integer(this.#chunk.versions[this.#at] as number);
  }

  /** Bytes of the newest record, its header included. */
  get size(): number {
    return this.#chunk.sizes[this.#at] as number;
  }

  set size(bytes: number) {
    this.#chunk.sizes[this.#at] = bytes;
  }

  /** Checksum of the newest key value, as a signed integer. */
  get digest(): number {
    return this.#chunk.digests[this.#at] as number;
  }

  set digest(checksum: number) {
    this.#chunk.digests[this.#at] = checksum;
  }

  /** Where the newest record is in the cache. */
  get position(): number {
    return integer(this.#chunk.positions[this.#at] as number);
  }

  set position(position: number) {
    this.#chunk.positions[this.#at] = position;
  }

  /** Pairs of main and sub, ascending; the sub of a tombstone is inverted, so negative. */
  get older(): readonly number[] | undefined {
    return this.#chunk.olderAt(this.#at);
  }

  get live(): boolean {
    return this.version > 0;
  }

  /** Makes another revision the newest. */
  advance(main: number, sub: number, createRevision: number, version: number): void {
    assert(main > this.main || (main === this.main && sub > this.sub), 'revisions go forward');
    const older = this.#chunk.olderAt(this.#at) ?? [];
    older.push(this.main, this.live ? this.sub : ~this.sub);
    if (older.length === 2) this.#chunk.setOlder(this.#at, older);
    this.#setNewest(main, sub, createRevision, version);
  }

  /** The place of the newest revision at or before `revision`: `older.length` for the newest. */
  placeAt(revision: number): number {
    const { older } = this;
    if (this.main <= revision) return older === undefined ? 0 : older.length;
    if (older === undefined) return noRevision;
    // Readers ask for recent revisions far more often than for old ones.
    let low = 0;
    let high = older.length / 2;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((older[2 * middle] as number) <= revision) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? noRevision : 2 * (low - 1);
  }

  isNewest(place: number): boolean {
    return this.older === undefined ? place === 0 : place === this.older.length;
  }

  mainAt(place: number): number {
    return this.isNewest(place) ? this.main : ((this.older as readonly number[])[place] as number);
  }

  subAt(place: number): number {
    if (this.isNewest(place)) return this.sub;
    const sub = (this.older as readonly number[])[place + 1] as number;
    return sub < 0 ? ~sub : sub;
  }

  isTombstone(place: number): boolean {
    if (this.isNewest(place)) return !this.live;
    return ((this.older as readonly number[])[place + 1] as number) < 0;
  }

  /** Whether the key exists at `revision`. */
  existsAt(revision: number): boolean {
    if (this.main <= revision) return this.live;
    const place = this.placeAt(revision);
    return place !== noRevision && !this.isTombstone(place);
  }

  /**
   * Forgets what a compaction at `revision` removes: all before the newest revision at or before
   * it, and that one too if it is an earlier tombstone.
   * @param limit most revisions to forget now, the oldest first; at least one
   * @param removed called with main and sub of each
   * @returns whether nothing of the key remains
   */
  compact(revision: number, limit: number, removed: (main: number, sub: number) => void): boolean {
    const place = this.placeAt(revision);
    if (place === noRevision) return false;
    const dropsPlace = this.isTombstone(place) && this.mainAt(place) < revision;
    const dropped = Math.min(place / 2 + (dropsPlace ? 1 : 0), limit);
    for (let i = 0; i < dropped; i++) removed(this.mainAt(2 * i), this.subAt(2 * i));
    const { older } = this;
    if (older === undefined) return dropped > 0;
    const dropsNewest = 2 * dropped > older.length;
    const kept = older.slice(2 * dropped);
    this.#chunk.setOlder(this.#at, kept.length > 0 ? kept : undefined);
    return dropsNewest;
  }
}
