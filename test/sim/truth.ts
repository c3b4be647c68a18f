/** What the log says happened: the committed commands, run through the checkers' own model. */
import { type Command, decodeCommand } from '../../src/apply/request.ts';
import type { Event } from '../../src/gen/kv.ts';
import { type Entry, EntryKind } from '../../src/raft/index.ts';
import type { Call } from '../check/history.ts';
import { Model } from '../check/model.ts';

/** @param entries the log from its beginning */
export function truthOf(entries: readonly Entry[]): readonly Event[] {
  const model = new Model();
  const events: Event[] = [];
  for (const { kind, data } of entries) {
    if (kind !== EntryKind.normal || data.length === 0) continue;
    const call = callOf(decodeCommand(data).command);
    if (call === undefined) continue;
    const before = model.revision;
    model.execute(call);
    if (model.revision === before) continue;
    for (const { event } of model.changesAt(model.revision)) events.push(event);
  }
  return events;
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
