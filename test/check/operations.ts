/** What can be said of an operation by itself. */
import type { KeyValue } from '../../src/gen/kv.ts';
import type {
  DeleteRangeResponse,
  RangeResponse,
  RequestOp,
  PutResponse,
  TxnRequest,
  TxnResponse,
} from '../../src/gen/rpc.ts';
import type { Answer, Call, Operation } from './history.ts';

/** The revision that the answer says it shows; undefined without an answer or a header. */
export function answeredRevision({ outcome }: Operation): number | undefined {
  return outcome.kind === 'answered' ? outcome.answer.header?.revision : undefined;
}

/** Whether a call can make a revision. */
export function mayWrite(call: Call): boolean {
  switch (call.kind) {
    case 'put':
    case 'deleteRange':
      return true;
    case 'txn':
      return txnMayWrite(call.request);
    case 'range':
    case 'compact':
      return false;
  }
}

function txnMayWrite({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].some(
    ({ request }) =>
      request?.case === 'requestPut' ||
      request?.case === 'requestDeleteRange' ||
      (request?.case === 'requestTxn' && txnMayWrite(request.value)),
  );
}

/** Whether its answer says that the operation made a revision. */
export function madeRevision({ call, outcome }: Operation): boolean {
  if (outcome.kind !== 'answered') return false;
  switch (call.kind) {
    case 'put':
      return true;
    case 'deleteRange':
      return (outcome.answer as DeleteRangeResponse).deleted > 0;
    case 'txn':
      return txnWrote(outcome.answer as TxnResponse);
    case 'range':
    case 'compact':
      return false;
  }
}

function txnWrote({ responses }: TxnResponse): boolean {
  return responses.some(
    ({ response }) =>
      response?.case === 'responsePut' ||
      (response?.case === 'responseDeleteRange' && response.value.deleted > 0) ||
      (response?.case === 'responseTxn' && txnWrote(response.value)),
  );
}

/**
 * Whether the call promises to show everything acknowledged before it. A txn of serializable ranges
 * alone does not, nor does one without operations, which etcd serves in the same way.
 */
export function isLinearizable(call: Call): boolean {
  if (call.kind === 'range') return !call.request.serializable;
  if (call.kind !== 'txn') return true;
  const isLocal = ({ request }: RequestOp): boolean =>
    request?.case === 'requestRange' && request.value.serializable;
  return ![...call.request.success, ...call.request.failure].every(isLocal);
}

/** Key values that an answer shows, with whether their values were left out. */
export function shownKeyValues(
  call: Call,
  answer: Answer,
  show: (kv: KeyValue, hasValue: boolean) => void,
): void {
  switch (call.kind) {
    case 'range':
      for (const kv of (answer as RangeResponse).kvs) show(kv, !call.request.keysOnly);
      break;
    case 'put': {
      const { prevKv } = answer as PutResponse;
      if (prevKv !== undefined) show(prevKv, true);
      break;
    }
    case 'deleteRange':
      for (const kv of (answer as DeleteRangeResponse).prevKvs) show(kv, true);
      break;
    case 'txn': {
      const { succeeded, responses } = answer as TxnResponse;
      const operations = succeeded ? call.request.success : call.request.failure;
      operations.forEach(({ request }, i) => {
        const response = responses[i]?.response;
        const inner = request === undefined ? undefined : innerCall({ request });
        if (inner !== undefined && response !== undefined) {
          shownKeyValues(inner, response.value, show);
        }
      });
      break;
    }
    case 'compact':
      break;
  }
}

/** An operation of a txn as a call of its own. */
export function innerCall({ request }: RequestOp): Call | undefined {
  switch (request?.case) {
    case 'requestRange':
      return { kind: 'range', request: request.value };
    case 'requestPut':
      return { kind: 'put', request: request.value };
    case 'requestDeleteRange':
      return { kind: 'deleteRange', request: request.value };
    case 'requestTxn':
      return { kind: 'txn', request: request.value };
    case undefined:
      return undefined;
  }
}
