/**
 * Shape checks of KV requests, made before anything is proposed (etcd: api/v3rpc/key.go).
 * They need no state, so a bad request costs nobody else anything.
 */
import { latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../gen/rpc.ts';

const sortOrderMax = 2;
const sortTargetMax = 4;

export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw new EtcdError('emptyKey');
  const { sortOrder, sortTarget } = request;
  if (sortOrder < 0 || sortOrder > sortOrderMax || sortTarget < 0 || sortTarget > sortTargetMax) {
    throw new EtcdError('invalidSortOption');
  }
}

export function checkPut(request: PutRequest): void {
  if (request.key.length === 0) throw new EtcdError('emptyKey');
  if (request.ignoreValue && request.value.length > 0) throw new EtcdError('valueProvided');
  if (request.ignoreLease && request.lease !== 0n) throw new EtcdError('leaseProvided');
}

export function checkDeleteRange(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw new EtcdError('emptyKey');
}

/**
 * @param operationsLimit largest number of compares or operations; nested txns get what is left.
 */
export function checkTxn(request: TxnRequest, operationsLimit: number): void {
  checkTxnShape(request, operationsLimit);
  // After the shape: the number of operations is bounded by now.
  branchIntervals(request.success);
  branchIntervals(request.failure);
}

function checkTxnShape(request: TxnRequest, operationsLimit: number): void {
  const operations = Math.max(
    request.compare.length,
    request.success.length,
    request.failure.length,
  );
  if (operations > operationsLimit) throw new EtcdError('tooManyOps');
  for (const compare of request.compare) {
    if (compare.key.length === 0) throw new EtcdError('emptyKey');
  }
  const rest = operationsLimit - operations;
  for (const op of request.success) checkRequestOp(op, rest);
  for (const op of request.failure) checkRequestOp(op, rest);
}

function checkRequestOp(op: RequestOp, operationsLimit: number): void {
  switch (op.request?.case) {
    case 'requestRange':
      checkRange(op.request.value);
      break;
    case 'requestPut':
      checkPut(op.request.value);
      break;
    case 'requestDeleteRange':
      checkDeleteRange(op.request.value);
      break;
    case 'requestTxn':
      checkTxnShape(op.request.value, operationsLimit);
      break;
    case undefined:
      throw new EtcdError('keyNotFound');
  }
}

/** A deleted range: one key, or [low, high). */
interface Deleted {
  readonly low: string;
  readonly high: string;
  readonly single: boolean;
}

interface Touched {
  readonly puts: Set<string>;
  readonly deletes: Deleted[];
}

function covers(deleted: Deleted, key: string): boolean {
  if (deleted.single) return key === deleted.low;
  // An end of one zero byte means "no end" to a delete, but etcd's check reads it as that key:
  // a delete from a key on and a put above it may stand in one txn.
  return key >= deleted.low && key < deleted.high;
}

function refusePut(touched: Touched, key: string): void {
  if (touched.deletes.some((deleted) => covers(deleted, key))) throw new EtcdError('duplicateKey');
}

/**
 * Refuses a branch that would change one key twice in a way whose outcome depends on the order:
 * two puts, or a put and a delete. The branches of one nested txn exclude each other, so they may
 * share keys; overlapping deletes are harmless.
 */
function branchIntervals(operations: readonly RequestOp[]): Touched {
  const touched: Touched = { puts: new Set(), deletes: [] };
  for (const { request } of operations) {
    if (request?.case === 'requestDeleteRange') touched.deletes.push(deletedBy(request.value));
  }
  for (const { request } of operations) {
    if (request?.case === 'requestTxn') addNested(touched, request.value);
  }
  for (const { request } of operations) {
    if (request?.case !== 'requestPut') continue;
    const key = latin1(request.value.key);
    if (touched.puts.has(key)) throw new EtcdError('duplicateKey');
    refusePut(touched, key);
    touched.puts.add(key);
  }
  return touched;
}

function addNested(touched: Touched, txn: TxnRequest): void {
  const success = branchIntervals(txn.success);
  const failure = branchIntervals(txn.failure);
  for (const key of success.puts) {
    if (touched.puts.has(key)) throw new EtcdError('duplicateKey');
    refusePut(touched, key);
    touched.puts.add(key);
  }
  for (const key of failure.puts) {
    if (touched.puts.has(key) && !success.puts.has(key)) throw new EtcdError('duplicateKey');
    refusePut(touched, key);
    touched.puts.add(key);
  }
  touched.deletes.push(...success.deletes, ...failure.deletes);
}

function deletedBy(request: DeleteRangeRequest): Deleted {
  const low = latin1(request.key);
  const single = request.rangeEnd.length === 0;
  return { low, high: latin1(request.rangeEnd), single };
}
