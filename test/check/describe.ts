/** Operations, events and watches in words, for the person who will look for the bug. */
import { latin1 } from '../../src/base/bytes.ts';
import { type Event, EventType, type KeyValue } from '../../src/gen/kv.ts';
import { type Compare, CompareResult, CompareTarget, type RequestOp } from '../../src/gen/rpc.ts';
import type { Call, Operation, Outcome, WatchLog } from './history.ts';

/** Characters of a value that a text shows; more tell nothing new. */
const shownCharacters = 40;

export function quoted(text: string): string {
  const shown = text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text;
  return JSON.stringify(shown);
}

export function bytesText(bytes: Uint8Array): string {
  return quoted(latin1(bytes));
}

function intervalText({ key, rangeEnd }: { key: Uint8Array; rangeEnd: Uint8Array }): string {
  if (rangeEnd.length === 0) return bytesText(key);
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0;
  return `[${bytesText(key)}, ${isOpen ? '…' : bytesText(rangeEnd)})`;
}

export function callText(call: Call): string {
  switch (call.kind) {
    case 'range': {
      const { revision, serializable } = call.request;
      const at = revision > 0 ? ` at revision ${revision}` : '';
      return `${serializable ? 'serializable ' : ''}range ${intervalText(call.request)}${at}`;
    }
    case 'put':
      return `put ${bytesText(call.request.key)}=${bytesText(call.request.value)}`;
    case 'deleteRange':
      return `delete ${intervalText(call.request)}`;
    case 'txn': {
      const { compare, success, failure } = call.request;
      const list = (ops: readonly RequestOp[]): string => ops.map(opText).join('; ');
      const condition = compare.map(compareText).join(', ');
      return `txn if {${condition}} {${list(success)}} else {${list(failure)}}`;
    }
    case 'compact':
      return `compact ${call.request.revision}`;
  }
}

function opText({ request }: RequestOp): string {
  switch (request?.case) {
    case 'requestRange':
      return callText({ kind: 'range', request: request.value });
    case 'requestPut':
      return callText({ kind: 'put', request: request.value });
    case 'requestDeleteRange':
      return callText({ kind: 'deleteRange', request: request.value });
    case 'requestTxn':
      return callText({ kind: 'txn', request: request.value });
    case undefined:
      return 'nothing';
  }
}

function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(values).find((name) => values[name] === value) ?? String(value);
}

function compareText(compare: Compare): string {
  const { targetUnion: union } = compare;
  const wanted =
    union === undefined ? '0' : union.case === 'value' ? bytesText(union.value) : `${union.value}`;
  const target = nameOf(CompareTarget, compare.target);
  return `${target} of ${intervalText(compare)} ${nameOf(CompareResult, compare.result)} ${wanted}`;
}

export function outcomeText(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answered':
      return `answered at revision ${outcome.answer.header?.revision ?? 'unknown'}`;
    case 'refused':
      return `refused: ${outcome.message}`;
    case 'unknown':
      return `outcome unknown: ${outcome.reason}`;
  }
}

/** E.g. `operation 7 (c1 at m2, 10–14 ms: put "a"="1", answered at revision 5)`. */
export function operationText(operation: Operation): string {
  const { id, client, member, startMs, endMs, call, outcome } = operation;
  const when = `${startMs}–${endMs} ms`;
  return (
    `operation ${id} (${client} at ${member}, ${when}: ${callText(call)}, ` +
    `${outcomeText(outcome)})`
  );
}

export function keyValueText(kv: KeyValue): string {
  return (
    `${bytesText(kv.key)}=${bytesText(kv.value)} (created ${kv.createRevision}, ` +
    `modified ${kv.modRevision}, version ${kv.version})`
  );
}

export function eventText({ type, kv }: Event): string {
  if (kv === undefined) return 'an event without a key value';
  return type === EventType.put
    ? `put ${keyValueText(kv)}`
    : `delete ${bytesText(kv.key)} at revision ${kv.modRevision}`;
}

/** E.g. `watch 3 (w1 at m2, ["a", "z"))`. */
export function watchText(log: WatchLog, position: number): string {
  return `watch ${position} (${log.client} at ${log.member}, ${intervalText(log.request)})`;
}
