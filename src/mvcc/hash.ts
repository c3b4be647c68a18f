/**
 * etcd's HashKV: a CRC-32C over the bucket's name and every (revision, key value) pair that a
 * compacted store holds up to a revision, encoded as in etcd's database, so that equal histories
 * give the number that an etcd gives. Two passes in slices: the first gathers the revisions from
 * the index in sorted runs, the second merges the runs and reads the records.
 *
 * etcd remembers the hashes that its last compactions computed on the way and answers with them;
 * those cover revisions that are gone by now and are lost at a restart, so we do not imitate that.
 */
import { fromLatin1 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { crc32c } from '../base/crc32c.ts';
import type { KeyIndex } from './key-index.ts';
import { noRevision } from './key-index.ts';
import { stop } from './key-tree.ts';
import { isTombstone, keyValueOf } from './record.ts';
import type { StoreState } from './store-state.ts';

/** Keys gathered in one slice. */
const keysPerSlice = 4096;
/** Bytes hashed in one slice: about two milliseconds. */
const bytesPerSlice = 512 * 1024;
/** Reading a record costs about as much as hashing this many bytes. */
const recordCostBytes = 1024;

const bucketName = fromLatin1('key');
const separator = '_'.charCodeAt(0);
const tombstoneMark = 't'.charCodeAt(0);
const etcdKeyBytes = 17;

export interface KeyValueHash {
  readonly hash: number;
  /** Of the store when the hash began. */
  readonly compactedRevision: number;
  /** Up to which it covers. */
  readonly hashRevision: number;
  /** Of the store when the hash began. */
  readonly currentRevision: number;
}

/** Ascending pairs of main and sub. */
interface Run {
  readonly revisions: readonly number[];
  at: number;
}

export class HashTask {
  readonly #state: StoreState;
  readonly #clock: Clock;
  readonly #compacted: number;
  readonly #revision: number;
  readonly #current: number;
  readonly #done: (error: Error | undefined, hash: KeyValueHash | undefined) => void;
  readonly #merge = new RunMerge();
  /** Revisions that count only if no key is live at the hashed revision, as in etcd. */
  readonly #supersededRuns: Run[] = [];
  #liveFound = false;
  #ended = false;
  #next = '';
  #crc = crc32c(bucketName);

  /** The caller keeps a pin at `state.compactedRevision` until `done` is called. */
  constructor(
    state: StoreState,
    clock: Clock,
    revision: number,
    done: (error: Error | undefined, hash: KeyValueHash | undefined) => void,
  ) {
    this.#state = state;
    this.#clock = clock;
    this.#compacted = state.compactedRevision;
    this.#revision = revision;
    this.#current = state.revision;
    this.#done = done;
  }

  start(): void {
    this.#slice(() => this.#gather());
  }

  #slice(work: () => void): void {
    this.#clock.defer(() => {
      try {
        work();
      } catch (error) {
        // Not what the receiver of the result threw.
        if (this.#ended) throw error;
        this.#ended = true;
        this.#done(error instanceof Error ? error : new Error(String(error)), undefined);
      }
    });
  }

  #gather(): void {
    if (this.#gatherSome()) {
      this.#slice(() => this.#gather());
      return;
    }
    if (!this.#liveFound) for (const run of this.#supersededRuns) this.#merge.add(run);
    this.#supersededRuns.length = 0;
    this.#slice(() => this.#hash());
  }

  /** Returns whether there are more keys. */
  #gatherSome(): boolean {
    const included: number[] = [];
    const superseded: number[] = [];
    let visited = 0;
    let more = false;
    this.#state.tree.visit(this.#next, undefined, (key, index) => {
      if (visited === keysPerSlice) {
        this.#next = key;
        more = true;
        return stop;
      }
      visited++;
      this.#gatherKey(index, included, superseded);
      return undefined;
    });
    this.#merge.add(sortedRun(included));
    if (superseded.length > 0) this.#supersededRuns.push(sortedRun(superseded));
    return more;
  }

  #gatherKey(index: KeyIndex, included: number[], superseded: number[]): void {
    const last = index.placeAt(this.#revision);
    if (last === noRevision) return;
    const live = !index.isTombstone(last);
    if (live) this.#liveFound = true;
    // The newest revision that the compaction left, then all after it.
    const base = index.placeAt(this.#compacted);
    if (base !== noRevision && !index.isTombstone(base)) {
      const target = base === last ? included : superseded;
      target.push(index.mainAt(base), index.subAt(base));
    }
    for (let place = base === noRevision ? 0 : base + 2; place <= last; place += 2) {
      included.push(index.mainAt(place), index.subAt(place));
    }
  }

  #hash(): void {
    let budget = bytesPerSlice;
    while (budget > 0) {
      const run = this.#merge.take();
      if (run === undefined) {
        this.#finish();
        return;
      }
      const main = run.revisions[run.at] as number;
      const sub = run.revisions[run.at + 1] as number;
      this.#merge.putBack(run);
      const record = this.#state.record(main, sub);
      this.#crc = crc32c(etcdKey(main, sub, isTombstone(record)), this.#crc);
      this.#crc = crc32c(keyValueOf(record, sub), this.#crc);
      budget -= record.length + recordCostBytes;
    }
    this.#slice(() => this.#hash());
  }

  #finish(): void {
    this.#ended = true;
    this.#done(undefined, {
      hash: this.#crc,
      compactedRevision: this.#compacted,
      hashRevision: this.#revision,
      currentRevision: this.#current,
    });
  }
}

/** The key of a revision in etcd's database. */
function etcdKey(main: number, sub: number, tombstone: boolean): Uint8Array {
  const key = Buffer.allocUnsafe(etcdKeyBytes + (tombstone ? 1 : 0));
  key.writeBigUInt64BE(BigInt(main), 0);
  key[8] = separator;
  key.writeBigUInt64BE(BigInt(sub), 9);
  if (tombstone) key[etcdKeyBytes] = tombstoneMark;
  return key;
}

function sortedRun(revisions: readonly number[]): Run {
  const pairs: (readonly [number, number])[] = [];
  for (let i = 0; i < revisions.length; i += 2) {
    pairs.push([revisions[i] as number, revisions[i + 1] as number]);
  }
  pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return { revisions: pairs.flat(), at: 0 };
}

/** A heap of sorted runs, the one with the smallest next revision on top. */
class RunMerge {
  readonly #heap: Run[] = [];

  add(run: Run): void {
    if (run.revisions.length > 0) this.#push(run);
  }

  /** The run whose next revision is the smallest of all; give it back by `putBack`. */
  take(): Run | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined) return undefined;
    if (heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    return top;
  }

  /** Moves a run on and keeps it unless it is used up. */
  putBack(run: Run): void {
    run.at += 2;
    if (run.at < run.revisions.length) this.#push(run);
  }

  #push(run: Run): void {
    const heap = this.#heap;
    heap.push(run);
    for (let i = heap.length - 1; i > 0;) {
      const parent = (i - 1) >>> 1;
      if (!this.#swapIfBefore(i, parent)) return;
      i = parent;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    for (let i = 0; ;) {
      let least = 2 * i + 1;
      if (least >= heap.length) return;
      const right = least + 1;
      if (right < heap.length && isBefore(heap[right] as Run, heap[least] as Run)) least = right;
      if (!this.#swapIfBefore(least, i)) return;
      i = least;
    }
  }

  #swapIfBefore(low: number, high: number): boolean {
    const below = this.#heap[low] as Run;
    const above = this.#heap[high] as Run;
    if (!isBefore(below, above)) return false;
    this.#heap[low] = above;
    this.#heap[high] = below;
    return true;
  }
}

function isBefore(a: Run, b: Run): boolean {
  const aMain = a.revisions[a.at] as number;
  const bMain = b.revisions[b.at] as number;
  if (aMain !== bMain) return aMain < bMain;
  return (a.revisions[a.at + 1] as number) < (b.revisions[b.at + 1] as number);
}
