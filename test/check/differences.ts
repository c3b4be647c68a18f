/** The first field in which an answer or event is not as expected, in words. */
import type { KeyValue } from '../../src/gen/kv.ts';
import type {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  TxnResponse,
} from '../../src/gen/rpc.ts';
import { bytesText } from './describe.ts';
import type { Answer, Call } from './history.ts';

/** Undefined if there is none. Of headers only the revision counts: the rest tells who answered. */
type Difference = string | undefined;

function differ(what: string, actual: unknown, expected: unknown): Difference {
  return actual === expected ? undefined : `${what} is ${String(actual)}, not ${String(expected)}`;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || Buffer.compare(a, b) === 0;
}

function differBytes(what: string, actual: Uint8Array, expected: Uint8Array): Difference {
  if (sameBytes(actual, expected)) return undefined;
  return `${what} is ${bytesText(actual)}, not ${bytesText(expected)}`;
}

export function keyValueDifference(
  what: string,
  actual: KeyValue | undefined,
  expected: KeyValue | undefined,
): Difference {
  if (actual === undefined || expected === undefined) {
    if (actual === expected) return undefined;
    const text = (kv: KeyValue | undefined): string =>
      kv === undefined ? 'missing' : `${bytesText(kv.key)}=${bytesText(kv.value)}`;
    return `${what} is ${text(actual)}, not ${text(expected)}`;
  }
  return (
    differBytes(`${what}.key`, actual.key, expected.key) ??
    differBytes(`${what}.value`, actual.value, expected.value) ??
    differ(`${what}.createRevision`, actual.createRevision, expected.createRevision) ??
    differ(`${what}.modRevision`, actual.modRevision, expected.modRevision) ??
    differ(`${what}.version`, actual.version, expected.version) ??
    differ(`${what}.lease`, actual.lease, expected.lease)
  );
}

function listDifference<Item>(
  what: string,
  actual: readonly Item[],
  expected: readonly Item[],
  compare: (what: string, actual: Item, expected: Item) => Difference,
): Difference {
  const both = Math.min(actual.length, expected.length);
  for (let i = 0; i < both; i++) {
    const found = compare(`${what}[${i}]`, actual[i] as Item, expected[i] as Item);
    if (found !== undefined) return found;
  }
  return differ(`number of ${what}`, actual.length, expected.length);
}

function headerDifference(
  what: string,
  actual: ResponseHeader | undefined,
  expected: ResponseHeader | undefined,
): Difference {
  if (actual === undefined) return `${what} is missing`;
  return differ(`${what}.revision`, actual.revision, expected?.revision);
}

function rangeDifference(at: string, actual: RangeResponse, expected: RangeResponse): Difference {
  return (
    headerDifference(`${at}header`, actual.header, expected.header) ??
    listDifference(`${at}kvs`, actual.kvs, expected.kvs, keyValueDifference) ??
    differ(`${at}count`, actual.count, expected.count) ??
    differ(`${at}more`, actual.more, expected.more)
  );
}

function putDifference(at: string, actual: PutResponse, expected: PutResponse): Difference {
  return (
    headerDifference(`${at}header`, actual.header, expected.header) ??
    keyValueDifference(`${at}prevKv`, actual.prevKv, expected.prevKv)
  );
}

function deleteRangeDifference(
  at: string,
  actual: DeleteRangeResponse,
  expected: DeleteRangeResponse,
): Difference {
  return (
    headerDifference(`${at}header`, actual.header, expected.header) ??
    differ(`${at}deleted`, actual.deleted, expected.deleted) ??
    listDifference(`${at}prevKvs`, actual.prevKvs, expected.prevKvs, keyValueDifference)
  );
}

function txnDifference(at: string, actual: TxnResponse, expected: TxnResponse): Difference {
  return (
    headerDifference(`${at}header`, actual.header, expected.header) ??
    differ(`${at}succeeded`, actual.succeeded, expected.succeeded) ??
    listDifference(`${at}responses`, actual.responses, expected.responses, responseDifference)
  );
}

function responseDifference(what: string, actual: ResponseOp, expected: ResponseOp): Difference {
  const [a, b] = [actual.response, expected.response];
  const at = `${what}.`;
  if (a?.case === 'responseRange' && b?.case === a.case) {
    return rangeDifference(at, a.value, b.value);
  }
  if (a?.case === 'responsePut' && b?.case === a.case) {
    return putDifference(at, a.value, b.value);
  }
  if (a?.case === 'responseDeleteRange' && b?.case === a.case) {
    return deleteRangeDifference(at, a.value, b.value);
  }
  if (a?.case === 'responseTxn' && b?.case === a.case) {
    return txnDifference(at, a.value, b.value);
  }
  return differ(what, a?.case, b?.case);
}

/** Both must answer a call of the given kind. */
export function answerDifference(kind: Call['kind'], actual: Answer, expected: Answer): Difference {
  switch (kind) {
    case 'range':
      return rangeDifference('', actual as RangeResponse, expected as RangeResponse);
    case 'put':
      return putDifference('', actual as PutResponse, expected as PutResponse);
    case 'deleteRange':
      return deleteRangeDifference(
        '',
        actual as DeleteRangeResponse,
        expected as DeleteRangeResponse,
      );
    case 'txn':
      return txnDifference('', actual as TxnResponse, expected as TxnResponse);
    case 'compact':
      return headerDifference('header', actual.header, expected.header);
  }
}
