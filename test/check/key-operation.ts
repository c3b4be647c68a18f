/**
 * Operations as one key sees them, without revisions: what they do to its value and version, and
 * what their answers say of it.
 *
 * A write of several keys is projected on each: if the whole happened at one moment, so did its
 * part. Reads of several keys say more than their parts, and compares of other keys cannot be
 * judged by one key; both are left to the replay, and so are serializable reads and reads of the
 * past.
 */
import { emptyBytes, latin1 } from '../../src/base/bytes.ts';
import type { KeyValue } from '../../src/gen/kv.ts';
import {
  type Compare,
  CompareTarget,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from '../../src/gen/rpc.ts';
import type { Answer, Operation } from './history.ts';
import { contains, intervalOf } from './interval.ts';
import { holds } from './model-requests.ts';
import { isLinearizable } from './operations.ts';

/** Undefined if the key does not exist. */
export type KeyState = { readonly value: string; readonly version: number } | undefined;

/** Returned where an answer does not fit the state. */
export const contradiction = Symbol('contradiction');

export type Step = (state: KeyState) => KeyState | typeof contradiction;

/** Alternatives for one operation: each is a list of steps taken together. */
export type Alternatives = readonly (readonly Step[])[];

export function runSteps(steps: readonly Step[], state: KeyState): KeyState | typeof contradiction {
  let present: KeyState | typeof contradiction = state;
  for (const step of steps) {
    present = step(present);
    if (present === contradiction) return contradiction;
  }
  return present;
}

/** The keys that an operation names one by one. */
export function namedKeys({ call }: Operation, add: (key: string) => void): void {
  switch (call.kind) {
    case 'txn':
      txnKeys(call.request, add);
      break;
    case 'put':
      add(latin1(call.request.key));
      break;
    case 'range':
    case 'deleteRange':
      if (call.request.rangeEnd.length === 0) add(latin1(call.request.key));
      break;
    case 'compact':
      break;
  }
}

function txnKeys({ success, failure }: TxnRequest, add: (key: string) => void): void {
  for (const { request } of [...success, ...failure]) {
    if (request?.case === 'requestTxn') txnKeys(request.value, add);
    else if (request?.case === 'requestPut') add(latin1(request.value.key));
    else if (request !== undefined && request.value.rangeEnd.length === 0) {
      add(latin1(request.value.key));
    }
  }
}

/**
 * What an operation can do as seen by a key. Empty if it does not concern the key, or says nothing
 * of it.
 * @param guess what one of unknown outcome may have been answered: the branches of a txn that it
 * tells are tried first
 */
export function alternativesFor(
  key: string,
  { call, outcome }: Operation,
  guess?: Answer,
): Alternatives {
  if (outcome.kind === 'refused' || call.kind === 'compact' || !isLinearizable(call)) return [];
  const answer = outcome.kind === 'answered' ? outcome.answer : undefined;
  switch (call.kind) {
    case 'range':
      return one(rangeSteps(key, call.request, answer as RangeResponse | undefined));
    case 'put': {
      const steps = putSteps(key, call.request, answer as PutResponse | undefined);
      const { ignoreValue, ignoreLease } = call.request;
      if (steps.length > 0 && (ignoreValue || ignoreLease)) return [[expectExistence, ...steps]];
      return one(steps);
    }
    case 'deleteRange':
      return one(deleteSteps(key, call.request, answer as DeleteRangeResponse | undefined));
    case 'txn': {
      const { request } = call;
      if (answer !== undefined) return one(txnSteps(key, request, answer as TxnResponse));
      const others = unknownTxn(key, request).filter((steps) => steps.length > 0);
      if (guess === undefined || others.length === 0) return others;
      return [txnSteps(key, request, guess as TxnResponse), ...others];
    }
  }
}

function one(steps: readonly Step[]): Alternatives {
  return steps.length === 0 ? [] : [steps];
}

function matches(state: KeyState, kv: KeyValue | undefined, hasValue: boolean): boolean {
  if (state === undefined || kv === undefined) return state === undefined && kv === undefined;
  return state.version === kv.version && (!hasValue || state.value === latin1(kv.value));
}

function expect(kv: KeyValue | undefined, hasValue: boolean): Step {
  return (state) => (matches(state, kv, hasValue) ? state : contradiction);
}

const expectExistence: Step = (state) => state ?? contradiction;

function rangeSteps(
  key: string,
  request: RangeRequest,
  answer: RangeResponse | undefined,
): readonly Step[] {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  const isFiltered =
    minModRevision !== 0 ||
    maxModRevision !== 0 ||
    minCreateRevision !== 0 ||
    maxCreateRevision !== 0;
  if (answer === undefined || request.rangeEnd.length > 0 || latin1(request.key) !== key) return [];
  if (request.revision > 0 || isFiltered) return [];
  if (!request.countOnly) return [expect(answer.kvs[0], !request.keysOnly)];
  return [(state) => ((state === undefined) === (answer.count === 0) ? state : contradiction)];
}

function putSteps(
  key: string,
  request: PutRequest,
  answer: PutResponse | undefined,
): readonly Step[] {
  if (latin1(request.key) !== key) return [];
  const value = latin1(request.value);
  const steps: Step[] = [];
  if (request.prevKv && answer !== undefined) steps.push(expect(answer.prevKv, true));
  steps.push((state) => ({
    value: request.ignoreValue ? (state?.value ?? '') : value,
    version: (state?.version ?? 0) + 1,
  }));
  return steps;
}

function deleteSteps(
  key: string,
  request: DeleteRangeRequest,
  answer: DeleteRangeResponse | undefined,
): readonly Step[] {
  const interval = intervalOf(request);
  if (!contains(interval, key)) return [];
  const steps: Step[] = [];
  if (answer?.deleted === 0) steps.push(expect(undefined, true));
  else if (answer !== undefined && request.prevKv) {
    steps.push(
      expect(
        answer.prevKvs.find((kv) => latin1(kv.key) === key),
        true,
      ),
    );
  } else if (answer !== undefined && request.rangeEnd.length === 0) {
    steps.push(expectExistence);
  }
  steps.push(() => undefined);
  return steps;
}

/** The branch that the answer says was taken, with what its compares and answers say of the key. */
function txnSteps(key: string, request: TxnRequest, answer: TxnResponse): readonly Step[] {
  return [...compareSteps(key, request, answer.succeeded), ...branchSteps(key, request, answer)];
}

function branchSteps(key: string, request: TxnRequest, answer: TxnResponse): Step[] {
  const operations = answer.succeeded ? request.success : request.failure;
  return operations.flatMap(({ request: op }, i) => {
    const response = answer.responses[i]?.response;
    if (op?.case === 'requestRange' && response?.case === 'responseRange') {
      return rangeSteps(key, op.value, response.value);
    }
    if (op?.case === 'requestPut' && response?.case === 'responsePut') {
      return putSteps(key, op.value, response.value);
    }
    if (op?.case === 'requestDeleteRange' && response?.case === 'responseDeleteRange') {
      return deleteSteps(key, op.value, response.value);
    }
    if (op?.case === 'requestTxn' && response?.case === 'responseTxn') {
      return branchSteps(key, op.value, response.value);
    }
    return [];
  });
}

/** A compare that value and version decide. */
function isJudged(compare: Compare): boolean {
  return compare.target === CompareTarget.value || compare.target === CompareTarget.version;
}

function compareSteps(key: string, { compare }: TxnRequest, succeeded: boolean): Step[] {
  const own = compare.filter((each) => each.rangeEnd.length === 0 && latin1(each.key) === key);
  const judged = own.filter(isJudged);
  if (judged.length === 0) return [];
  if (succeeded) {
    return [(state) => (judged.every((each) => holdsFor(each, state)) ? state : contradiction)];
  }
  // That something failed says something of this key only if nothing else can have failed.
  if (judged.length < compare.length) return [];
  return [(state) => (judged.every((each) => holdsFor(each, state)) ? contradiction : state)];
}

function holdsFor(compare: Compare, state: KeyState): boolean {
  if (state === undefined) {
    return compare.target !== CompareTarget.value && holds(compare, undefined);
  }
  const value = Buffer.from(state.value, 'latin1');
  const { version } = state;
  const kv = { createRevision: 0, modRevision: 0, lease: 0n, key: emptyBytes, value, version };
  return holds(compare, kv);
}

/** Either branch, and of nested txns in it either branch. */
function unknownTxn(key: string, request: TxnRequest): Step[][] {
  return [true, false].flatMap((succeeded) => {
    let alternatives: Step[][] = [compareSteps(key, request, succeeded)];
    for (const { request: op } of succeeded ? request.success : request.failure) {
      const parts = unknownOperation(key, op);
      if (parts.length === 0) continue;
      alternatives = alternatives.flatMap((before) => parts.map((part) => [...before, ...part]));
    }
    return alternatives;
  });
}

function unknownOperation(
  key: string,
  op: TxnRequest['success'][number]['request'],
): (readonly Step[])[] {
  switch (op?.case) {
    case 'requestPut':
      return [putSteps(key, op.value, undefined)];
    case 'requestDeleteRange':
      return [deleteSteps(key, op.value, undefined)];
    case 'requestTxn':
      return unknownNested(key, op.value);
    case 'requestRange':
    case undefined:
      return [];
  }
}

/** The compares of a nested txn look at the state before the whole one, so they are not judged. */
function unknownNested(key: string, request: TxnRequest): (readonly Step[])[] {
  return unknownTxn(key, { ...request, compare: [] });
}
