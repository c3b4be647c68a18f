/** What the log says happened: the committed commands, run through the checkers' own model. */
import { type Command, decodeCommand } from '../../src/apply/request.ts';
import type { Event } from '../../src/gen/kv.ts';
import { AlarmAction, AlarmType, type RequestOp } from '../../src/gen/rpc.ts';
import { type Entry, EntryKind } from '../../src/raft/index.ts';
import type { Call } from '../check/history.ts';
import { Model } from '../check/model.ts';

/** @param entries the log from its beginning */
export function truthOf(entries: readonly Entry[]): readonly Event[] {
  const model = new Model();
  const events: Event[] = [];
  /** Members for which the state is full. */
  const full = new Set<bigint>();
  for (const { kind, data } of entries) {
    if (kind !== EntryKind.normal || data.length === 0) continue;
    const { command } = decodeCommand(data);
    if (command.case === 'alarm' && command.value.alarm === AlarmType.nospace) {
      const { action, memberId } = command.value;
      if (action === AlarmAction.activate) full.add(memberId);
      else full.delete(memberId);
    }
    const call = callOf(command);
    if (call === undefined || (full.size > 0 && puts(call))) continue;
    const before = model.revision;
    model.execute(call);
    if (model.revision === before) continue;
    for (const { event } of model.changesAt(model.revision)) events.push(event);
  }
  return events;
}

/** Under the alarm such a call is refused, whatever its compares come to. */
function puts(call: Call): boolean {
  const inOperation = ({ request }: RequestOp): boolean =>
    request?.case === 'requestPut' ||
    (request?.case === 'requestTxn' && puts({ kind: 'txn', request: request.value }));
  switch (call.kind) {
    case 'put':
      return true;
    case 'txn':
      return [...call.request.success, ...call.request.failure].some(inOperation);
    default:
      return false;
  }
}

function callOf(command: Command): Call | undefined {
  switch (command.case) {
    case 'put':
      return { kind: 'put', request: command.value };
    case 'deleteRange':
      return { kind: 'deleteRange', request: command.value };
    case 'txn':
      return { kind: 'txn', request: command.value };
    case 'compaction':
      return { kind: 'compact', request: command.value };
    default:
      return undefined;
  }
}
