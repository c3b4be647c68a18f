/** Requests in few words. */
import { utf8 } from '../../../src/base/bytes.ts';
import {
  CompactionRequest,
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
  WatchCreateRequest,
} from '../../../src/gen/rpc.ts';
import type { Call } from '../../check/history.ts';

export function put(key: string, value: string, more: Partial<PutRequest> = {}): Call {
  const request = PutRequest.create({ key: utf8(key), value: utf8(value), ...more });
  return { kind: 'put', request };
}

export function get(key: string, more: Partial<RangeRequest> = {}): Call {
  return { kind: 'range', request: RangeRequest.create({ key: utf8(key), ...more }) };
}

export function getAll(more: Partial<RangeRequest> = {}): Call {
  return get('\0', { rangeEnd: utf8('\0'), ...more });
}

export function remove(key: string, more: Partial<DeleteRangeRequest> = {}): Call {
  const request = DeleteRangeRequest.create({ key: utf8(key), ...more });
  return { kind: 'deleteRange', request };
}

export function compact(revision: number): Call {
  return { kind: 'compact', request: CompactionRequest.create({ revision }) };
}

export function txn(
  compare: readonly Compare[],
  success: readonly Call[],
  failure: readonly Call[] = [],
): Call {
  const request = TxnRequest.create({
    compare: [...compare],
    success: success.map(asOperation),
    failure: failure.map(asOperation),
  });
  return { kind: 'txn', request };
}

function asOperation(call: Call): RequestOp {
  switch (call.kind) {
    case 'range':
      return { request: { case: 'requestRange', value: call.request } };
    case 'put':
      return { request: { case: 'requestPut', value: call.request } };
    case 'deleteRange':
      return { request: { case: 'requestDeleteRange', value: call.request } };
    case 'txn':
      return { request: { case: 'requestTxn', value: call.request } };
    case 'compact':
      throw new Error('a txn cannot compact');
  }
}

export function valueIs(key: string, value: string): Compare {
  return Compare.create({
    key: utf8(key),
    target: CompareTarget.value,
    result: CompareResult.equal,
    targetUnion: { case: 'value', value: utf8(value) },
  });
}

export function versionIs(key: string, version: number): Compare {
  return Compare.create({
    key: utf8(key),
    target: CompareTarget.version,
    result: CompareResult.equal,
    targetUnion: { case: 'version', value: version },
  });
}

export function watching(key: string, more: Partial<WatchCreateRequest> = {}): WatchCreateRequest {
  return WatchCreateRequest.create({ key: utf8(key), ...more });
}
