/** What the index knows of one key: its newest revision in full, older ones as numbers. */
import { assert } from '../base/assert.ts';
import { notCached } from './slab-cache.ts';

/** Where a revision stands in a {@link KeyIndex}: an index into `older`, or one of these. */
export const noRevision = -1;

/**
 * Fields instead of an object per revision, because most keys have one revision: about 100 bytes
 * of heap, and all of them small integers until revision 2^31.
 */
export class KeyIndex {
  /** Newest revision. */
  main: number;
  sub: number;
  /** Of the newest generation; 0 for a tombstone. */
  createRevision: number;
  /** Changes since creation; 0 means that the newest revision is a tombstone. */
  version: number;
  /** Bytes of the newest record, its header included. */
  size: number;
  /** Checksum of the newest key value, as a signed integer so that it needs no object. */
  digest: number;
  /** Where the newest record is in the cache. */
  position: number = notCached;
  /** Pairs of main and sub, ascending; the sub of a tombstone is inverted, so negative. */
  older: number[] | undefined;

  constructor(main: number, sub: number, createRevision: number, version: number) {
    this.main = main;
    this.sub = sub;
    this.createRevision = createRevision;
    this.version = version;
    this.size = 0;
    this.digest = 0;
  }

  get live(): boolean {
    return this.version > 0;
  }

  /** Makes another revision the newest. */
  advance(main: number, sub: number, createRevision: number, version: number): void {
    assert(main > this.main || (main === this.main && sub > this.sub), 'revisions go forward');
    const older = (this.older ??= []);
    older.push(this.main, this.live ? this.sub : ~this.sub);
    this.main = main;
    this.sub = sub;
    this.createRevision = createRevision;
    this.version = version;
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
    return this.isNewest(place) ? this.main : ((this.older as number[])[place] as number);
  }

  subAt(place: number): number {
    if (this.isNewest(place)) return this.sub;
    const sub = (this.older as number[])[place + 1] as number;
    return sub < 0 ? ~sub : sub;
  }

  isTombstone(place: number): boolean {
    if (this.isNewest(place)) return !this.live;
    return ((this.older as number[])[place + 1] as number) < 0;
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
    if (this.older === undefined) return dropped > 0;
    const dropsNewest = 2 * dropped > this.older.length;
    const kept = this.older.slice(2 * dropped);
    this.older = kept.length > 0 ? kept : undefined;
    return dropsNewest;
  }
}
