/** Whether a request explains events. */
import type { Event } from '../../src/gen/kv.ts';
import {
  CompactionRequest,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from '../../src/gen/rpc.ts';
import { keyValueDifference } from './differences.ts';
import type { Shown } from './facts.ts';
import type { Call } from './history.ts';
import type { Change } from './model.ts';

/** Whether types, keys and values are the same: what a request decides by itself. */
export function isSameChanges(changes: readonly Change[], events: readonly Event[]): boolean {
  return (
    changes.length === events.length &&
    changes.every((change, i) => isSameChange(change, events[i] as Event))
  );
}

function isSameChange({ event }: Change, other: Event): boolean {
  const [a, b] = [event.kv, other.kv];
  return (
    a !== undefined &&
    b !== undefined &&
    event.type === other.type &&
    Buffer.compare(a.key, b.key) === 0 &&
    Buffer.compare(a.value, b.value) === 0
  );
}

export function isAsShown({ event }: Change, { type, kv, hasValue }: Shown): boolean {
  if (event.type !== type || event.kv === undefined) return false;
  const compared = hasValue ? kv : { ...kv, value: event.kv.value };
  return keyValueDifference('kv', compared, event.kv) === undefined;
}

/** Whether two calls do the same, whatever the state. */
export function sameRequest(a: Call, b: Call): boolean {
  return a.kind === b.kind && Buffer.compare(encoded(a), encoded(b)) === 0;
}

function encoded(call: Call): Uint8Array {
  switch (call.kind) {
    case 'range':
      return RangeRequest.encode(call.request);
    case 'put':
      return PutRequest.encode(call.request);
    case 'deleteRange':
      return DeleteRangeRequest.encode(call.request);
    case 'txn':
      return TxnRequest.encode(call.request);
    case 'compact':
      return CompactionRequest.encode(call.request);
  }
}
