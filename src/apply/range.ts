/**
 * Range as clients see it: the store's range, then filters, order and limit (etcd: txn/range.go).
 */
import { compareBytes, emptyBytes, latin1 } from '../base/bytes.ts';
import { preencoded } from '../base/wire.ts';
import type { KeyValue } from '../gen/kv.ts';
import { SortOrder, SortTarget } from '../gen/rpc.ts';
import type { RangeRequest, RangeResponse, ResponseHeader } from '../gen/rpc.ts';
import type { RangeQuery, RangeReader, RangeResult } from './reader.ts';

/** Turns a wire range end into the store's: undefined for a single key. */
export function rangeEnd(end: Uint8Array): string | undefined {
  return end.length === 0 ? undefined : latin1(end);
}

/** A header that carries only a revision, as inside the operations of a txn. */
export function revisionHeader(revision: number): ResponseHeader {
  return { clusterId: 0n, memberId: 0n, revision, raftTerm: 0 };
}

/** @throws EtcdError `compacted` or `futureRevision` */
export function executeRange(reader: RangeReader, request: RangeRequest): RangeResponse {
  return assembleRange(request, reader.range(rangeQuery(request)));
}

/** What to ask the store for. */
export function rangeQuery(request: RangeRequest): RangeQuery {
  return {
    key: latin1(request.key),
    end: rangeEnd(request.rangeEnd),
    revision: request.revision,
    limit: storeLimit(request),
    countOnly: request.countOnly,
  };
}

/** Makes the answer of what the store gave. */
export function assembleRange(request: RangeRequest, result: RangeResult): RangeResponse {
  let kvs: KeyValue[] = [...result.kvs];
  if (hasRevisionFilters(request)) kvs = kvs.filter((kv) => passesFilters(kv, request));
  sortKeyValues(kvs, request);
  let more = false;
  if (request.limit > 0 && kvs.length > request.limit) {
    kvs.length = request.limit;
    more = true;
  }
  if (request.keysOnly) kvs = kvs.map(withoutValue);
  return { header: revisionHeader(result.revision), kvs, more, count: result.count };
}

/** What of a part of the range the answer needs; the rest need not be kept until it is whole. */
export function reducePart(request: RangeRequest, part: readonly KeyValue[]): readonly KeyValue[] {
  const passed = hasRevisionFilters(request)
    ? part.filter((kv) => passesFilters(kv, request))
    : part;
  const needsValues = !request.keysOnly || request.sortTarget === SortTarget.value;
  return needsValues ? passed : passed.map(withoutValue);
}

/** Of a key value when it is encoded; about, of one that is reduced to its key. */
export function keyValueBytes(kv: KeyValue): number {
  return kv[preencoded]?.length ?? kv.key.length;
}

/** One more than asked for tells whether there are more; filters and orders need everything. */
function storeLimit(request: RangeRequest): number {
  if (request.limit <= 0 || !isDefaultOrder(request) || hasRevisionFilters(request)) return 0;
  return Math.min(request.limit + 1, Number.MAX_SAFE_INTEGER);
}

export function isDefaultOrder(request: RangeRequest): boolean {
  const { sortOrder, sortTarget } = request;
  return (
    sortOrder === SortOrder.none ||
    (sortTarget === SortTarget.key && sortOrder === SortOrder.ascend)
  );
}

/** Whether the answer has key values as they are stored, and in the order of keys. */
export function isAsStored(request: RangeRequest): boolean {
  return !request.keysOnly && !hasRevisionFilters(request) && !isSorted(request);
}

/** A target other than the key sorts even without an order; then it ascends. */
function isSorted({ sortTarget, sortOrder }: RangeRequest): boolean {
  return sortTarget !== SortTarget.key || sortOrder === SortOrder.descend;
}

export function hasRevisionFilters(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}

function passesFilters(kv: KeyValue, request: RangeRequest): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return (
    (maxModRevision === 0 || kv.modRevision <= maxModRevision) &&
    (minModRevision === 0 || kv.modRevision >= minModRevision) &&
    (maxCreateRevision === 0 || kv.createRevision <= maxCreateRevision) &&
    (minCreateRevision === 0 || kv.createRevision >= minCreateRevision)
  );
}

function sortKeyValues(kvs: KeyValue[], request: RangeRequest): void {
  if (!isSorted(request)) return;
  const { sortTarget, sortOrder } = request;
  const compare = comparisons[sortTarget];
  const sign = sortOrder === SortOrder.descend ? -1 : 1;
  kvs.sort((a, b) => sign * compare(a, b));
}

const comparisons = {
  [SortTarget.key]: (a: KeyValue, b: KeyValue) => compareBytes(a.key, b.key),
  [SortTarget.version]: (a: KeyValue, b: KeyValue) => a.version - b.version,
  [SortTarget.create]: (a: KeyValue, b: KeyValue) => a.createRevision - b.createRevision,
  [SortTarget.mod]: (a: KeyValue, b: KeyValue) => a.modRevision - b.modRevision,
  [SortTarget.value]: (a: KeyValue, b: KeyValue) => compareBytes(a.value, b.value),
} as const;

/** The key is copied, because as a view it would keep the value's memory. */
function withoutValue(kv: KeyValue): KeyValue {
  return {
    key: Buffer.from(kv.key),
    createRevision: kv.createRevision,
    modRevision: kv.modRevision,
    version: kv.version,
    value: emptyBytes,
    lease: kv.lease,
  };
}
