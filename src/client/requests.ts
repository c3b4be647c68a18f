/** Requests as users write them: strings or bytes, and only the fields that matter. */
import {
  type Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
  WatchCreateRequest,
} from '../gen/rpc.ts';
import { type Bytes, bytesOf } from './range-end.ts';

interface Keys {
  readonly key: Bytes;
  /** The first key after the range; empty for the key alone. See `prefixEnd` and `fromKeyEnd`. */
  readonly rangeEnd?: Bytes;
}

type Without<T, Names extends keyof T> = Readonly<Partial<Omit<T, Names>>>;

export type RangeParameters = Keys & Without<RangeRequest, 'key' | 'rangeEnd'>;
export type PutParameters = { readonly key: Bytes; readonly value?: Bytes } & Without<
  PutRequest,
  'key' | 'value'
>;
export type DeleteParameters = Keys & Without<DeleteRangeRequest, 'key' | 'rangeEnd'>;
export type WatchParameters = Keys & Without<WatchCreateRequest, 'key' | 'rangeEnd' | 'watchId'>;
/** `compare` are joined by and; `success` is done if all hold, `failure` if not. */
export type TxnParameters = Readonly<Partial<TxnRequest>>;

/** Without fields that are there and undefined, which would take the place of defaults. */
function present<T extends object>(parameters: T): T {
  return Object.fromEntries(
    Object.entries(parameters).filter(([, value]) => value !== undefined),
  ) as T;
}

const keysOf = ({ key, rangeEnd = '' }: Keys): { key: Uint8Array; rangeEnd: Uint8Array } => ({
  key: bytesOf(key),
  rangeEnd: bytesOf(rangeEnd),
});

export const rangeRequest = (parameters: RangeParameters): RangeRequest =>
  RangeRequest.create({ ...present(parameters), ...keysOf(parameters) });

export const putRequest = (parameters: PutParameters): PutRequest =>
  PutRequest.create({
    ...present(parameters),
    key: bytesOf(parameters.key),
    value: bytesOf(parameters.value ?? ''),
  });

export const deleteRequest = (parameters: DeleteParameters): DeleteRangeRequest =>
  DeleteRangeRequest.create({ ...present(parameters), ...keysOf(parameters) });

export const txnRequest = (parameters: TxnParameters): TxnRequest =>
  TxnRequest.create(present(parameters));

export const watchRequest = (parameters: WatchParameters): WatchCreateRequest =>
  WatchCreateRequest.create({ ...present(parameters), ...keysOf(parameters) });

/** Operations of a transaction. */
export const op = {
  range: (parameters: RangeParameters): RequestOp => ({
    request: { case: 'requestRange', value: rangeRequest(parameters) },
  }),
  put: (parameters: PutParameters): RequestOp => ({
    request: { case: 'requestPut', value: putRequest(parameters) },
  }),
  delete: (parameters: DeleteParameters): RequestOp => ({
    request: { case: 'requestDeleteRange', value: deleteRequest(parameters) },
  }),
  txn: (parameters: TxnParameters): RequestOp => ({
    request: { case: 'requestTxn', value: txnRequest(parameters) },
  }),
} as const;

const results = {
  '=': CompareResult.equal,
  '!=': CompareResult.notEqual,
  '>': CompareResult.greater,
  '<': CompareResult.less,
} as const;
/** How what the key has stands to what is given. */
export type Comparison = keyof typeof results;

/** Conditions of a transaction. A key that does not exist has version, revisions and lease 0. */
export const compare = {
  version: (key: Bytes, how: Comparison, value: number): Compare =>
    condition(key, how, CompareTarget.version, { case: 'version', value }),
  createRevision: (key: Bytes, how: Comparison, value: number): Compare =>
    condition(key, how, CompareTarget.create, { case: 'createRevision', value }),
  modRevision: (key: Bytes, how: Comparison, value: number): Compare =>
    condition(key, how, CompareTarget.mod, { case: 'modRevision', value }),
  /** Never holds for a key that does not exist. */
  value: (key: Bytes, how: Comparison, value: Bytes): Compare =>
    condition(key, how, CompareTarget.value, { case: 'value', value: bytesOf(value) }),
  lease: (key: Bytes, how: Comparison, value: bigint): Compare =>
    condition(key, how, CompareTarget.lease, { case: 'lease', value }),
} as const;

function condition(
  key: Bytes,
  how: Comparison,
  target: CompareTarget,
  targetUnion: Compare['targetUnion'],
): Compare {
  const rangeEnd = bytesOf('');
  return { key: bytesOf(key), rangeEnd, result: results[how], target, targetUnion };
}
