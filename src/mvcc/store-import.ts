/**
 * Makes a store of revisions that another server has written, as its snapshot holds them: what a
 * compaction has left, and everything after it. What results is a function of these revisions, so
 * all members that take the same ones begin with equal stores.
 */
import { latin1 } from '../base/bytes.ts';
import { KeyValue } from '../gen/kv.ts';
import { keyValueSize, writeKeyValue } from './key-value.ts';
import { headerSize, writeHeader } from './record.ts';
import {
  compactedGapsMax,
  firstRevision,
  maxChangesPerTransaction,
  neverCompacted,
  revisionKey,
} from './revision.ts';
import { digestOf, StateDigest, stateDigestAlgorithm } from './state-digest.ts';
import { encodeStoreMeta, storeMetaKey } from './store-meta.ts';
import { recordOverheadBytes } from './store-state.ts';

/** The revisions contradict each other, or something is missing. */
export class StoreImportError extends Error {
  override readonly name = 'StoreImportError';
}

/** Leaves as many to come: revisions are counted exactly up to twice this one. */
const revisionMax = 2 ** 52;

export interface ImportedRevision {
  readonly main: number;
  readonly sub: number;
  readonly tombstone: boolean;
  /** Of a tombstone the key alone counts. A change of no key only takes up its revision. */
  readonly keyValue: KeyValue;
}

export interface ImportedStore {
  readonly revision: number;
  readonly compactedRevision: number;
  /** Keys that exist. */
  readonly keyCount: number;
}

/** The newest record of a key. */
interface Newest {
  readonly size: number;
  /** Undefined for a tombstone. */
  readonly digest: number | undefined;
  readonly lease: bigint;
}

/** A record whose header is not complete. */
interface Pending {
  readonly sub: number;
  readonly bytes: Buffer;
  readonly tombstone: boolean;
}

const filler = KeyValue.create();

export class StoreImport {
  readonly #put: (key: string, value: Uint8Array) => void;
  readonly #leases: ReadonlySet<bigint>;
  #compacted: number;
  readonly #newest = new Map<string, Newest>();
  readonly #digest = new StateDigest();
  /** The revision whose changes are coming; 0 before the first. */
  #main = 0;
  /** The first change of it, which says what all of them supersede, and the last one so far. */
  #first: Pending | undefined;
  #last: Pending | undefined;
  /** Changes missing among those of the revision so far. */
  #gaps = 0;
  #superseded = 0;
  #tombstoneBytes = 0;
  #previousTombstoneBytes = 0;
  #writtenBytes = 0;
  #supersededBytes = 0;
  #reclaimedBytes = 0;
  #keyCount = 0;

  /**
   * @param put takes pairs of the state database, in no order
   * @param compactedRevision of the store that the revisions come from; `neverCompacted` if none
   * @param leases those that keys may hang on
   */
  constructor(
    put: (key: string, value: Uint8Array) => void,
    compactedRevision: number,
    leases: ReadonlySet<bigint>,
  ) {
    this.#put = put;
    this.#leases = leases;
    this.#compacted = Math.max(compactedRevision, neverCompacted);
  }

  /** Revisions must come in order. @throws StoreImportError if this one cannot be kept */
  add({ main, sub, tombstone, keyValue }: ImportedRevision): void {
    if (main !== this.#main) this.#begin(main);
    this.#checkSub(sub);
    const key = latin1(keyValue.key);
    if (tombstone || key === '') {
      this.#add(key, sub, { ...filler, key: keyValue.key });
      return;
    }
    const { createRevision, modRevision, version } = keyValue;
    const sound =
      modRevision === main && createRevision > 0 && createRevision <= main && version > 0;
    if (!sound) {
      refuse(
        `revision ${main}.${sub} has a key with create revision ${createRevision}, ` +
          `mod revision ${modRevision} and version ${version}`,
      );
    }
    this.#add(key, sub, keyValue);
  }

  /**
   * Completes the store.
   * @param bump how much its revision is to be ahead of the newest one that came; if any, all
   * before it counts as compacted, so that clients who saw later revisions notice
   */
  finish(bump = 0): ImportedStore {
    this.#checkLeases();
    if (this.#main < this.#compacted) this.#fill(this.#compacted);
    else this.#end();
    let revision = Math.max(this.#main, firstRevision);
    if (bump > 0) {
      revision += bump;
      if (revision <= revisionMax) {
        this.#compacted = revision;
        this.#fill(revision);
      }
    }
    if (revision > revisionMax) refuse(`revision ${revision} is too large`);
    this.#put(
      storeMetaKey,
      encodeStoreMeta({
        revision,
        compactedRevision: this.#compacted,
        // What an earlier compaction should have removed, the first one here removes.
        finishedCompaction: neverCompacted,
        writtenBytes: this.#writtenBytes,
        supersededBytes: this.#supersededBytes,
        reclaimedBytes: this.#reclaimedBytes,
        tombstoneBytes: this.#previousTombstoneBytes,
        digestAlgorithm: stateDigestAlgorithm,
        digestHigh: this.#digest.high,
        digestLow: this.#digest.low,
      }),
    );
    return { revision, compactedRevision: this.#compacted, keyCount: this.#keyCount };
  }

  #checkLeases(): void {
    for (const [key, { lease }] of this.#newest) {
      if (lease === 0n || this.#leases.has(lease)) continue;
      const hex = BigInt.asUintN(64, lease).toString(16);
      refuse(`the key ${JSON.stringify(key)} hangs on lease ${hex}, which is missing`);
    }
  }

  #begin(main: number): void {
    if (main <= Math.max(this.#main, firstRevision)) refuse(`revision ${main} is out of order`);
    if (main > this.#compacted && this.#main < this.#compacted) this.#fill(this.#compacted);
    else this.#end();
    const next = Math.max(this.#main, this.#compacted, firstRevision) + 1;
    if (main > this.#compacted && main !== next) refuse(`revision ${next} is missing`);
    this.#main = main;
    this.#gaps = 0;
  }

  /** Compactions leave gaps among the changes of a revision, but not after themselves. */
  #checkSub(sub: number): void {
    const next = this.#last === undefined ? 0 : this.#last.sub + 1;
    const gap = sub - next;
    this.#gaps += gap;
    const inOrder = gap === 0 || (this.#main <= this.#compacted && gap > 0);
    const readable = this.#main !== this.#compacted || this.#gaps <= compactedGapsMax;
    if (inOrder && readable && sub < maxChangesPerTransaction) return;
    refuse(`revision ${this.#main}.${sub} comes where ${this.#main}.${next} should`);
  }

  /** Takes up a revision with the deletion of the empty key, which nobody can ask for. */
  #fill(main: number): void {
    this.#end();
    if (main <= firstRevision) return;
    this.#main = main;
    this.#add('', 0, filler);
    this.#end();
  }

  #add(key: string, sub: number, keyValue: KeyValue): void {
    const tombstone = keyValue.version === 0;
    const fields = { ...keyValue, key };
    const header = headerSize(sub);
    const bytes = Buffer.allocUnsafeSlow(header + keyValueSize(fields));
    writeKeyValue(bytes, header, fields);
    const before = this.#newest.get(key);
    if (before?.digest !== undefined) {
      this.#superseded += before.size + recordOverheadBytes;
      this.#digest.remove(before.digest);
      this.#keyCount -= 1;
    }
    const digest = tombstone ? undefined : digestOf(bytes.subarray(header));
    this.#newest.set(key, { size: bytes.length, digest, lease: keyValue.lease });
    if (digest === undefined) {
      this.#tombstoneBytes += bytes.length + recordOverheadBytes;
    } else {
      this.#digest.add(digest);
      this.#keyCount += 1;
    }
    this.#writtenBytes += bytes.length + recordOverheadBytes;
    this.#writeLast(false);
    this.#last = { sub, bytes, tombstone };
    if (sub === 0) this.#first = this.#last;
  }

  /** Ends the changes of a revision: now it is known what they supersede. */
  #end(): void {
    if (this.#last === undefined) return;
    this.#supersededBytes += this.#superseded + this.#previousTombstoneBytes;
    this.#previousTombstoneBytes = this.#tombstoneBytes;
    this.#superseded = 0;
    this.#tombstoneBytes = 0;
    const only = this.#first === this.#last;
    if (!only) this.#writeLast(true);
    if (this.#first !== undefined) this.#write(this.#first, only);
    this.#first = undefined;
    this.#last = undefined;
    if (this.#main <= this.#compacted) this.#reclaimedBytes = this.#supersededBytes;
  }

  #writeLast(last: boolean): void {
    if (this.#last !== undefined && this.#last !== this.#first) this.#write(this.#last, last);
  }

  #write({ sub, bytes, tombstone }: Pending, last: boolean): void {
    writeHeader(bytes, sub, { tombstone, last, supersededBytes: this.#supersededBytes });
    this.#put(revisionKey(this.#main, sub), bytes);
  }
}

function refuse(how: string): never {
  throw new StoreImportError(how);
}
