/** What requests do to the model and what they are answered, told from etcd's documentation. */
import { compareBytes, emptyBytes, latin1 } from '../../src/base/bytes.ts';
import type { KeyValue } from '../../src/gen/kv.ts';
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseHeader,
  type ResponseOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
  type TxnResponse,
} from '../../src/gen/rpc.ts';
import { intervalOf } from './interval.ts';
import type { View } from './model-view.ts';

/** Thrown by the model in place of an answer. */
export class Refused extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Why a well-formed request is refused: etcd's codes and texts. Made once, because a replay meets
 * refusals by the thousand and where they were thrown tells nothing.
 */
export const refusals = {
  compacted: new Refused(11, 'etcdserver: mvcc: required revision has been compacted'),
  futureRevision: new Refused(11, 'etcdserver: mvcc: required revision is a future revision'),
  keyNotFound: new Refused(3, 'etcdserver: key not found'),
} as const;

export function header(revision: number): ResponseHeader {
  return { clusterId: 0n, memberId: 0n, revision, raftTerm: 0 };
}

/** @throws Refused */
export function range(view: View, request: RangeRequest, compacted: number): RangeResponse {
  const { revision } = request;
  if (revision > view.revision) throw refusals.futureRevision;
  if (revision > 0 && revision < compacted) throw refusals.compacted;
  const interval = intervalOf(request);
  const isPast = revision > 0 && revision <= view.base;
  const found = isPast ? view.listAt(interval, revision) : view.list(interval);
  const shown = request.countOnly ? [] : arranged(found, request);
  const isCut = request.limit > 0 && shown.length > request.limit;
  const kept = isCut ? shown.slice(0, request.limit) : shown;
  return {
    header: header(view.revision),
    kvs: request.keysOnly ? kept.map((kv) => ({ ...kv, value: emptyBytes })) : kept,
    more: isCut,
    // The count is that of the interval, whatever filters and limit leave of it.
    count: found.length,
  };
}

/** Filters, then sorts; key values that compare equal stay in the order of their keys. */
function arranged(found: readonly KeyValue[], request: RangeRequest): KeyValue[] {
  const within = (n: number, min: number, max: number): boolean =>
    (min === 0 || n >= min) && (max === 0 || n <= max);
  const passed = reached(found, request).filter(
    (kv) =>
      within(kv.modRevision, request.minModRevision, request.maxModRevision) &&
      within(kv.createRevision, request.minCreateRevision, request.maxCreateRevision),
  );
  const { sortOrder, sortTarget } = request;
  // A target without an order ascends.
  if (sortTarget === SortTarget.key && sortOrder !== SortOrder.descend) return passed;
  const sign = sortOrder === SortOrder.descend ? -1 : 1;
  return passed.sort((a, b) => sign * orderBy(sortTarget, a, b));
}

/**
 * Without an order and filters etcd reads no farther than one key value past the limit, and that is
 * all that a sort by a target then sees.
 */
function reached(found: readonly KeyValue[], request: RangeRequest): readonly KeyValue[] {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  const filters = [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision];
  const readsAll =
    request.limit <= 0 ||
    request.sortOrder !== SortOrder.none ||
    filters.some((bound) => bound !== 0);
  return readsAll ? found : found.slice(0, request.limit + 1);
}

function orderBy(target: SortTarget, a: KeyValue, b: KeyValue): number {
  switch (target) {
    case SortTarget.key:
      return compareBytes(a.key, b.key);
    case SortTarget.version:
      return a.version - b.version;
    case SortTarget.create:
      return a.createRevision - b.createRevision;
    case SortTarget.mod:
      return a.modRevision - b.modRevision;
    case SortTarget.value:
      return compareBytes(a.value, b.value);
  }
}

function checkPut(before: View, request: PutRequest): void {
  if (!request.ignoreValue && !request.ignoreLease) return;
  if (before.get(latin1(request.key)) === undefined) throw refusals.keyNotFound;
}

/** @throws Refused */
export function put(view: View, request: PutRequest): PutResponse {
  checkPut(view, request);
  return runPut(view, request);
}

function runPut(view: View, request: PutRequest): PutResponse {
  const key = latin1(request.key);
  const old = view.get(key);
  // In a txn the key may be gone by now although it was there before; it then counts as empty.
  const value = request.ignoreValue ? (old?.value ?? emptyBytes) : request.value;
  const lease = request.ignoreLease ? (old?.lease ?? 0n) : request.lease;
  view.put(key, value, lease);
  return { header: header(view.revision), prevKv: request.prevKv ? old : undefined };
}

export function deleteRange(view: View, request: DeleteRangeRequest): DeleteRangeResponse {
  const found = view.list(intervalOf(request));
  for (const { key } of found) view.delete(latin1(key));
  return {
    header: header(view.revision),
    deleted: found.length,
    prevKvs: request.prevKv ? found : [],
  };
}

/**
 * All compares, nested ones too, and all checks look at the state before the txn.
 * @throws Refused
 */
export function txn(before: View, view: View, request: TxnRequest, compacted: number): TxnResponse {
  checkTxn(before, request, compacted);
  const answer = runTxn(before, view, request);
  return { ...answer, header: header(view.revision) };
}

function branch(before: View, request: TxnRequest): readonly RequestOp[] {
  return succeeds(before, request) ? request.success : request.failure;
}

function checkTxn(before: View, request: TxnRequest, compacted: number): void {
  for (const { request: op } of branch(before, request)) {
    if (op?.case === 'requestTxn') checkTxn(before, op.value, compacted);
    if (op?.case === 'requestPut') checkPut(before, op.value);
    if (op?.case !== 'requestRange' || op.value.revision === 0) continue;
    if (op.value.revision > before.base) throw refusals.futureRevision;
    if (op.value.revision < compacted) throw refusals.compacted;
  }
}

/** The header of a txn within a txn stays empty. */
function runTxn(before: View, view: View, request: TxnRequest): TxnResponse {
  const succeeded = succeeds(before, request);
  const operations = succeeded ? request.success : request.failure;
  const responses = operations.map((op) => runOperation(before, view, op));
  return { header: header(0), succeeded, responses };
}

function runOperation(before: View, view: View, { request: op }: RequestOp): ResponseOp {
  switch (op?.case) {
    case 'requestRange': {
      // What is compacted was checked before anything ran.
      const value = range(view, op.value, 0);
      return { response: { case: 'responseRange', value } };
    }
    case 'requestPut':
      return { response: { case: 'responsePut', value: runPut(view, op.value) } };
    case 'requestDeleteRange':
      return { response: { case: 'responseDeleteRange', value: deleteRange(view, op.value) } };
    case 'requestTxn':
      return { response: { case: 'responseTxn', value: runTxn(before, view, op.value) } };
    case undefined:
      return { response: undefined };
  }
}

function succeeds(before: View, { compare }: TxnRequest): boolean {
  return compare.every((each) => {
    const found = before.list(intervalOf(each));
    if (found.length > 0) return found.every((kv) => holds(each, kv));
    // A missing key has no value that could be compared; its numbers are zero.
    return each.target !== CompareTarget.value && holds(each, undefined);
  });
}

/** Whether a compare holds for one key value, or for a key that is not there. */
export function holds(compare: Compare, kv: KeyValue | undefined): boolean {
  const sign = signOf(compare, kv);
  switch (compare.result) {
    case CompareResult.equal:
      return sign === 0;
    case CompareResult.notEqual:
      return sign !== 0;
    case CompareResult.greater:
      return sign > 0;
    case CompareResult.less:
      return sign < 0;
  }
}

function signOf({ target, targetUnion: wanted }: Compare, kv: KeyValue | undefined): number {
  switch (target) {
    case CompareTarget.version:
      return (kv?.version ?? 0) - (wanted?.case === 'version' ? wanted.value : 0);
    case CompareTarget.create:
      return (kv?.createRevision ?? 0) - (wanted?.case === 'createRevision' ? wanted.value : 0);
    case CompareTarget.mod:
      return (kv?.modRevision ?? 0) - (wanted?.case === 'modRevision' ? wanted.value : 0);
    case CompareTarget.value:
      return compareBytes(
        kv?.value ?? emptyBytes,
        wanted?.case === 'value' ? wanted.value : emptyBytes,
      );
    case CompareTarget.lease: {
      const difference = (kv?.lease ?? 0n) - (wanted?.case === 'lease' ? wanted.value : 0n);
      return difference < 0n ? -1 : difference > 0n ? 1 : 0;
    }
  }
}
