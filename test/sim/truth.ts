/** What the log says happened: the committed commands, run through the checkers' own model. */
import { type Command, decodeCommand } from '../../src/apply/request.ts';
import { fromLatin1 } from '../../src/base/bytes.ts';
import { type Event, EventType } from '../../src/gen/kv.ts';
import type { LoggedAlarm } from '../../src/gen/raft-internal.ts';
import {
  AlarmAction,
  AlarmType,
  DeleteRangeRequest,
  type RequestOp,
  TxnRequest,
} from '../../src/gen/rpc.ts';
import { anyGrant } from '../../src/lease/lease.ts';
import { type Entry, EntryKind } from '../../src/raft/index.ts';
import type { Call } from '../check/history.ts';
import { type Change, Model } from '../check/model.ts';
import { lockPrefix } from './lock-holder.ts';

export interface Truth {
  readonly events: readonly Event[];
  /** Calls that clients of KV did not make: those of locks, and the ends of leases. */
  readonly ofServices: readonly Call[];
}

/** @param entries the log from its beginning */
export function truthOf(entries: readonly Entry[]): Truth {
  const model = new Model();
  const leases = new Leases();
  const events: Event[] = [];
  const ofServices: Call[] = [];
  const space = new Space();
  for (const { kind, data } of entries) {
    if (kind !== EntryKind.normal || data.length === 0) continue;
    const { id, command } = decodeCommand(data);
    if (command.case === 'alarm') space.changed(command.value);
    if (space.refuses(command)) continue;
    const call = callOf(id, command, leases);
    if (call === undefined) continue;
    const result = model.evaluate(call);
    if (result.kind === 'refused' || !leases.allow(result.changes)) continue;
    const before = model.revision;
    model.execute(call);
    if (model.revision === before) continue;
    for (const { event } of result.changes) events.push(event);
    leases.changed(result.changes);
    const isEnd = command.case === 'leaseRevoke';
    if (isEnd || result.changes.some(({ key }) => key.startsWith(lockPrefix)))
      ofServices.push(call);
  }
  return { events, ofServices };
}

/** For which members the state is full; what adds to it is refused while there is one. */
class Space {
  readonly #full = new Set<bigint>();

  changed({ action, alarm, memberId }: LoggedAlarm): void {
    if (alarm !== AlarmType.nospace) return;
    if (action === AlarmAction.activate) this.#full.add(memberId);
    else this.#full.delete(memberId);
  }

  refuses(command: Command): boolean {
    return this.#full.size > 0 && adds(command);
  }
}

/** Whether a command may add to the state, whatever its compares come to. */
function adds(command: Command): boolean {
  switch (command.case) {
    case 'put':
    case 'leaseGrant':
      return true;
    case 'txn':
      return puts(command.value);
    default:
      return false;
  }
}

function puts({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].some(
    ({ request }) =>
      request?.case === 'requestPut' || (request?.case === 'requestTxn' && puts(request.value)),
  );
}

interface ModelLease {
  readonly grant: bigint;
  readonly keys: Set<string>;
}

/** Which leases there are, which the model leaves open, and what hangs on them. */
class Leases {
  readonly #leases = new Map<bigint, ModelLease>();
  readonly #leaseOfKey = new Map<string, ModelLease>();

  granted(id: bigint, grant: bigint): void {
    if (!this.#leases.has(id)) this.#leases.set(id, { grant, keys: new Set() });
  }

  /** Ends a lease; the keys that go with it. */
  revoked(id: bigint, grant: bigint): readonly string[] {
    const lease = this.#leases.get(id);
    if (lease === undefined || (grant !== anyGrant && grant !== lease.grant)) return [];
    this.#leases.delete(id);
    return [...lease.keys].sort();
  }

  /** Whether the leases are there that the changes hang keys on. */
  allow(changes: readonly Change[]): boolean {
    return changes.every(({ event }) => {
      const lease = event.kv?.lease ?? 0n;
      return lease === 0n || this.#leases.has(lease);
    });
  }

  changed(changes: readonly Change[]): void {
    for (const { key, event } of changes) {
      this.#leaseOfKey.get(key)?.keys.delete(key);
      this.#leaseOfKey.delete(key);
      const lease =
        event.type === EventType.put ? this.#leases.get(event.kv?.lease ?? 0n) : undefined;
      if (lease === undefined) continue;
      lease.keys.add(key);
      this.#leaseOfKey.set(key, lease);
    }
  }
}

function callOf(id: bigint, command: Command, leases: Leases): Call | undefined {
  switch (command.case) {
    case 'put':
      return { kind: 'put', request: command.value };
    case 'deleteRange':
      return { kind: 'deleteRange', request: command.value };
    case 'txn':
      return { kind: 'txn', request: command.value };
    case 'compaction':
      return { kind: 'compact', request: command.value };
    case 'leaseGrant':
      leases.granted(command.value.id, id);
      return undefined;
    case 'leaseRevoke':
      return deletionOf(leases.revoked(command.value.id, command.value.grant));
    default:
      return undefined;
  }
}

/** Deletes keys in one revision, in their order. */
function deletionOf(keys: readonly string[]): Call | undefined {
  if (keys.length === 0) return undefined;
  const success = keys.map((key): RequestOp => {
    const value = DeleteRangeRequest.create({ key: fromLatin1(key) });
    return { request: { case: 'requestDeleteRange', value } };
  });
  return { kind: 'txn', request: TxnRequest.create({ success }) };
}
