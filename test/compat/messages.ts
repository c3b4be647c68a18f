/** Short ways to write requests. Text stands for bytes, one character each. */
import { emptyBytes, fromLatin1 } from '../../src/base/bytes.ts';
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from '../../src/gen/rpc.ts';

type WithText<T> = {
  [K in keyof T]?: T[K] extends Uint8Array ? string : T[K];
};

/** Replaces texts under the given names by bytes. */
function withBytes<T extends object>(fields: WithText<T>, names: readonly (keyof T)[]): Partial<T> {
  const result = { ...fields } as Record<keyof T, unknown>;
  for (const name of names) {
    const text = result[name];
    if (typeof text === 'string') result[name] = fromLatin1(text);
  }
  return result as Partial<T>;
}

export const range = (fields: WithText<RangeRequest>): RangeRequest =>
  RangeRequest.create(withBytes<RangeRequest>(fields, ['key', 'rangeEnd']));

export const put = (fields: WithText<PutRequest>): PutRequest =>
  PutRequest.create(withBytes<PutRequest>(fields, ['key', 'value']));

export const del = (fields: WithText<DeleteRangeRequest>): DeleteRangeRequest =>
  DeleteRangeRequest.create(withBytes<DeleteRangeRequest>(fields, ['key', 'rangeEnd']));

export const txn = (fields: Partial<TxnRequest>): TxnRequest => TxnRequest.create(fields);

export const opRange = (fields: WithText<RangeRequest>): RequestOp => ({
  request: { case: 'requestRange', value: range(fields) },
});

export const opPut = (fields: WithText<PutRequest>): RequestOp => ({
  request: { case: 'requestPut', value: put(fields) },
});

export const opDelete = (fields: WithText<DeleteRangeRequest>): RequestOp => ({
  request: { case: 'requestDeleteRange', value: del(fields) },
});

export const opTxn = (fields: Partial<TxnRequest>): RequestOp => ({
  request: { case: 'requestTxn', value: txn(fields) },
});

export const opNothing: RequestOp = { request: undefined };

export type ComparisonSign = '=' | '>' | '<' | '!=';

const signs: Readonly<Record<ComparisonSign, CompareResult>> = {
  '=': CompareResult.equal,
  '>': CompareResult.greater,
  '<': CompareResult.less,
  '!=': CompareResult.notEqual,
};

export type ComparisonTarget = 'version' | 'createRevision' | 'modRevision' | 'value' | 'lease';

const targets: Readonly<Record<ComparisonTarget, CompareTarget>> = {
  version: CompareTarget.version,
  createRevision: CompareTarget.create,
  modRevision: CompareTarget.mod,
  value: CompareTarget.value,
  lease: CompareTarget.lease,
};

/** `compare('k', 'version', '=', 0)`; the operand's type follows the target. */
export function compare(
  key: string,
  target: ComparisonTarget,
  sign: ComparisonSign,
  operand: number | bigint | string,
  rangeEnd?: string,
): Compare {
  return Compare.create({
    key: fromLatin1(key),
    target: targets[target],
    result: signs[sign],
    targetUnion: unionOf(target, operand),
    rangeEnd: rangeEnd === undefined ? emptyBytes : fromLatin1(rangeEnd),
  });
}

function unionOf(
  target: ComparisonTarget,
  operand: number | bigint | string,
): Compare['targetUnion'] {
  switch (target) {
    case 'value':
      return { case: 'value', value: fromLatin1(String(operand)) };
    case 'lease':
      return { case: 'lease', value: BigInt(operand) };
    default:
      return { case: target, value: Number(operand) };
  }
}
