/** What executing a request needs of the store; a plain view or a write transaction. */
import type { KeyValue } from '../gen/kv.ts';
import type { KeyChange } from '../lease/lessor.ts';

export interface RangeQuery {
  readonly key: string;
  /** Undefined for a single key; one zero byte for every key from `key` on. */
  readonly end: string | undefined;
  /** 0 or below: the newest. */
  readonly revision: number;
  /** 0: no limit. */
  readonly limit: number;
  readonly countOnly: boolean;
  /** Ends with the key value with which they hold so many bytes; no limit if absent. */
  readonly bytesLimit?: number;
}

export interface RangeResult {
  readonly kvs: readonly KeyValue[];
  /** Whether `bytesLimit` kept out some. */
  readonly truncated: boolean;
  /** Keys in the range at that revision, whatever the limit. */
  readonly count: number;
  /** The store's revision, not the one asked for. */
  readonly revision: number;
}

export interface RangeReader {
  /** @throws EtcdError `compacted` or `futureRevision` */
  range(query: RangeQuery): RangeResult;
}

export interface WriteTransaction extends RangeReader {
  /** The revision its reads see: one more than before it once it changed something. */
  readonly revision: number;
  /** Returns the revision that the change belongs to. */
  put(key: string, value: Uint8Array, lease: bigint): number;
  /** Returns how many keys were deleted. */
  deleteRange(key: string, end: string | undefined): number;
  /** Ends the transaction; its changes, in order. */
  end(): readonly KeyChange[];
}
