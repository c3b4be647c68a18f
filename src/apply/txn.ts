/** Transactions: compares choose a path, the path is checked whole, then run (etcd: txn/txn.go). */
import { assert } from '../base/assert.ts';
import { compareBytes, emptyBytes, latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { KeyValue } from '../gen/kv.ts';
import type {
  Compare,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RequestOp,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from '../gen/rpc.ts';
import { CompareResult, CompareTarget } from '../gen/rpc.ts';
import { executeRange, rangeEnd, rangeQuery, revisionHeader } from './range.ts';
import type { RangeQuery, RangeReader, WriteTransaction } from './reader.ts';

/** What a transaction's checks need beside its reader. */
export interface TxnState {
  readonly revision: number;
  readonly compactedRevision: number;
  leaseExists(lease: bigint): boolean;
}

/**
 * What one txn or deletion may read for its answer. It is read in one turn, in which nothing else
 * happens, and must not change: whether a logged request is refused has to be the same everywhere.
 */
export const atomicAnswerLimitBytes = 64 * 1024 * 1024;
/** Key values of a compared range looked at together. */
const comparedTogether = 1000;
const comparedBytesTogether = 1024 * 1024;

/** Adds up what an answer will hold, so that it can be refused before anything is done. */
export class AnswerSize {
  #roomBytes = atomicAnswerLimitBytes;

  /** @throws EtcdError `answerTooLarge` */
  add(reader: RangeReader, query: RangeQuery): void {
    if (query.countOnly) return;
    const bytesLimit = this.#roomBytes + 1;
    for (const { key, value } of reader.range({ ...query, bytesLimit }).kvs) {
      this.#roomBytes -= key.length + value.length;
    }
    if (this.#roomBytes < 0) throw new EtcdError('answerTooLarge');
  }
}

/** Which branch each txn takes, in depth-first order along the path taken. */
type Path = readonly boolean[];

/** Walks a path while the nested txns are visited in the same order. */
class PathCursor {
  readonly #path: Path;
  #next = 0;

  constructor(path: Path) {
    this.#path = path;
  }

  take(): boolean {
    const succeeded = this.#path[this.#next++];
    assert(succeeded !== undefined, 'a txn has more nested txns than its path');
    return succeeded;
  }
}

/**
 * Decides and checks a transaction against the state before it, nested ones included.
 * After it returned, running cannot fail.
 * @throws EtcdError if a taken path names a missing lease, a missing key or a bad revision, or if
 * it reads too much
 */
export function planTxn(reader: RangeReader, request: TxnRequest, state: TxnState): Path {
  const path: boolean[] = [];
  choosePath(reader, request, path);
  checkPath({ reader, state, path: new PathCursor(path), size: new AnswerSize() }, request);
  return path;
}

function choosePath(reader: RangeReader, request: TxnRequest, path: boolean[]): void {
  const succeeded = request.compare.every((compare) => holds(reader, compare));
  path.push(succeeded);
  for (const { request: op } of succeeded ? request.success : request.failure) {
    if (op?.case === 'requestTxn') choosePath(reader, op.value, path);
  }
}

interface PathCheck {
  readonly reader: RangeReader;
  readonly state: TxnState;
  readonly path: PathCursor;
  readonly size: AnswerSize;
}

function checkPath(check: PathCheck, request: TxnRequest): void {
  const { reader, state, path, size } = check;
  const operations = path.take() ? request.success : request.failure;
  for (const { request: op } of operations) {
    switch (op?.case) {
      case 'requestRange':
        checkRevision(op.value, state);
        size.add(reader, rangeQuery(op.value));
        break;
      case 'requestPut':
        checkPutState(reader, op.value, state);
        break;
      case 'requestTxn':
        checkPath(check, op.value);
        break;
      case 'requestDeleteRange':
        checkDeleteSize(reader, op.value, size);
        break;
      case undefined:
        break;
    }
  }
}

/** @throws EtcdError `answerTooLarge` if the values that it asks back are too many */
export function checkDeleteSize(
  reader: RangeReader,
  request: DeleteRangeRequest,
  size: AnswerSize,
): void {
  if (request.prevKv) size.add(reader, deletedQuery(request));
}

function deletedQuery(request: DeleteRangeRequest): RangeQuery {
  const key = latin1(request.key);
  return { key, end: rangeEnd(request.rangeEnd), revision: 0, limit: 0, countOnly: false };
}

function checkRevision(request: RangeRequest, state: TxnState): void {
  if (request.revision === 0) return;
  if (request.revision > state.revision) throw new EtcdError('futureRevision');
  if (request.revision < state.compactedRevision) throw new EtcdError('compacted');
}

/** @throws EtcdError `leaseNotFound` or `keyNotFound` */
export function checkPutState(reader: RangeReader, request: PutRequest, state: TxnState): void {
  if (request.lease !== 0n && !state.leaseExists(request.lease)) {
    throw new EtcdError('leaseNotFound');
  }
  if (!request.ignoreValue && !request.ignoreLease) return;
  if (current(reader, request.key) === undefined) throw new EtcdError('keyNotFound');
}

function current(reader: RangeReader, key: Uint8Array): KeyValue | undefined {
  return reader.range({
    key: latin1(key),
    end: undefined,
    revision: 0,
    limit: 0,
    countOnly: false,
  }).kvs[0];
}

/**
 * A compare of a range must hold for every key in it; a missing key compares as zero. The range is
 * looked at in parts, because all of it may be more than fits into memory.
 */
function holds(reader: RangeReader, compare: Compare): boolean {
  let key = latin1(compare.key);
  const limits = { limit: comparedTogether, bytesLimit: comparedBytesTogether };
  for (let isFirst = true; ; isFirst = false) {
    const end = rangeEnd(compare.rangeEnd);
    const { kvs } = reader.range({ key, end, revision: 0, countOnly: false, ...limits });
    if (!kvs.every((kv) => holdsFor(compare, kv))) return false;
    const last = kvs.at(-1);
    if (last !== undefined && end !== undefined) {
      key = `${latin1(last.key)}\0`;
    } else if (last !== undefined || !isFirst) {
      return true;
    } else {
      // A missing value cannot be told from an empty one, so comparing it is always false.
      return compare.target !== CompareTarget.value && holdsFor(compare, undefined);
    }
  }
}

function holdsFor(compare: Compare, kv: KeyValue | undefined): boolean {
  const order = orderOf(compare, kv);
  switch (compare.result) {
    case CompareResult.equal:
      return order === 0;
    case CompareResult.notEqual:
      return order !== 0;
    case CompareResult.greater:
      return order > 0;
    case CompareResult.less:
      return order < 0;
    default:
      return true;
  }
}

/** A target whose union holds another field compares with zero, as in etcd. */
function orderOf(compare: Compare, kv: KeyValue | undefined): number {
  const union = compare.targetUnion;
  switch (compare.target) {
    case CompareTarget.value:
      return compareBytes(
        kv?.value ?? emptyBytes,
        union?.case === 'value' ? union.value : emptyBytes,
      );
    case CompareTarget.create:
      return (kv?.createRevision ?? 0) - (union?.case === 'createRevision' ? union.value : 0);
    case CompareTarget.mod:
      return (kv?.modRevision ?? 0) - (union?.case === 'modRevision' ? union.value : 0);
    case CompareTarget.version:
      return (kv?.version ?? 0) - (union?.case === 'version' ? union.value : 0);
    case CompareTarget.lease: {
      const lease = kv?.lease ?? 0n;
      const wanted = union?.case === 'lease' ? union.value : 0n;
      return lease < wanted ? -1 : lease > wanted ? 1 : 0;
    }
    default:
      return 0;
  }
}

/** Runs a planned transaction; each operation sees the earlier ones. */
export function runTxn(txn: WriteTransaction, request: TxnRequest, path: Path): TxnResponse {
  return runBranch(txn, request, new PathCursor(path));
}

function runBranch(txn: WriteTransaction, request: TxnRequest, path: PathCursor): TxnResponse {
  const succeeded = path.take();
  const operations = succeeded ? request.success : request.failure;
  const responses = operations.map((op) => runOperation(txn, op, path));
  return { header: revisionHeader(0), succeeded, responses };
}

function runOperation(txn: WriteTransaction, op: RequestOp, path: PathCursor): ResponseOp {
  switch (op.request?.case) {
    case 'requestRange':
      return {
        response: {
          case: 'responseRange',
          value: executeRange(txn, op.request.value),
        },
      };
    case 'requestPut':
      return {
        response: {
          case: 'responsePut',
          value: executePut(txn, op.request.value),
        },
      };
    case 'requestDeleteRange':
      return {
        response: {
          case: 'responseDeleteRange',
          value: executeDeleteRange(txn, op.request.value),
        },
      };
    case 'requestTxn':
      return {
        response: {
          case: 'responseTxn',
          value: runBranch(txn, op.request.value, path),
        },
      };
    case undefined:
      return { response: undefined };
  }
}

/** Runs a txn of ranges only, without a write transaction. */
export function runReadOnlyTxn(reader: RangeReader, request: TxnRequest, path: Path): TxnResponse {
  const succeeded = new PathCursor(path).take();
  const responses = (succeeded ? request.success : request.failure).map(({ request: op }) => {
    assert(op?.case === 'requestRange', 'a read-only txn holds ranges only');
    const value = executeRange(reader, op.value);
    return { response: { case: 'responseRange' as const, value } };
  });
  return { header: revisionHeader(0), succeeded, responses };
}

/** Whether both branches hold nothing but top-level ranges; such a txn does not need the log. */
export function isReadOnly(request: TxnRequest): boolean {
  const isRange = (op: RequestOp): boolean => op.request?.case === 'requestRange';
  return request.success.every(isRange) && request.failure.every(isRange);
}

/** Whether every range of a read-only txn is serializable; true for one without operations. */
export function isSerializable(request: TxnRequest): boolean {
  const isLocal = (op: RequestOp): boolean =>
    op.request?.case === 'requestRange' && op.request.value.serializable;
  return request.success.every(isLocal) && request.failure.every(isLocal);
}

/** The put must have been checked. */
export function executePut(txn: WriteTransaction, request: PutRequest): PutResponse {
  const needsPrevious = request.prevKv || request.ignoreValue || request.ignoreLease;
  const previous = needsPrevious ? current(txn, request.key) : undefined;
  // A key checked before the txn may be gone by now: a delete "from a key on" may precede its put
  // in one txn (see check.ts). It then counts as empty and without a lease.
  const value = request.ignoreValue ? (previous?.value ?? emptyBytes) : request.value;
  const lease = request.ignoreLease ? (previous?.lease ?? 0n) : request.lease;
  const revision = txn.put(latin1(request.key), value, lease);
  return {
    header: revisionHeader(revision),
    prevKv: request.prevKv ? previous : undefined,
  };
}

export function executeDeleteRange(
  txn: WriteTransaction,
  request: DeleteRangeRequest,
): DeleteRangeResponse {
  const key = latin1(request.key);
  const end = rangeEnd(request.rangeEnd);
  const prevKvs = request.prevKv ? txn.range(deletedQuery(request)).kvs : [];
  const deleted = txn.deleteRange(key, end);
  return { header: revisionHeader(txn.revision), deleted, prevKvs };
}
