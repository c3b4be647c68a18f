/**
 * Ways to make an honest history lie in one field of an answer or an event.
 *
 * Left out are those that another honest history can show, so that nobody can tell:
 * - the revision in the header of an answer that made none, of a watch's creation, answer with
 *   events or progress: the same state is found at other revisions too;
 * - the last event that a watcher was told: it may have been told less;
 * - a previous key value that is missing in an event: a compaction may have taken it;
 * - state of which only one member tells, and times.
 *
 * With calls of unknown outcome about, a few more can stay unseen: such a call explains what
 * otherwise nothing would.
 */
import { utf8 } from '../../../src/base/bytes.ts';
import type { Event, KeyValue } from '../../../src/gen/kv.ts';
import type {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  TxnResponse,
} from '../../../src/gen/rpc.ts';
import type { Answer, Call, History, Operation } from '../../check/history.ts';
import { innerCall, madeRevision } from '../../check/operations.ts';

/** Changes the history in place; the name says where. */
export interface Lie {
  readonly name: string;
  readonly tell: () => void;
}

type Add = (name: string, tell: () => void) => void;

/** Every lie that can be told of a history, which must be a copy that may be changed. */
export function liesOf(history: History): Lie[] {
  const lies: Lie[] = [];
  const add: Add = (name, tell) => lies.push({ name, tell });
  for (const operation of history.operations) answerLies(operation, add);
  for (const [i, event] of (history.events ?? []).entries()) {
    eventLies(`truth ${i}`, event, add);
  }
  truthLies(history.events as Event[], add);
  for (const [i, log] of history.watches.entries()) {
    const answers = log.records.flatMap((record) => (record.kind === 'events' ? [record] : []));
    for (const [j, record] of answers.entries()) {
      const name = `watch ${i} answer ${j}`;
      const events = record.events as Event[];
      for (const [k, event] of events.entries()) eventLies(`${name} event ${k}`, event, add);
      listLies(`${name} events`, events, add, j < answers.length - 1);
    }
  }
  return lies;
}

function answerLies(operation: Operation, add: Add): void {
  const { call, outcome } = operation;
  if (outcome.kind !== 'answered') return;
  const { header } = outcome.answer;
  const name = `answer ${operation.id}`;
  if (madeRevision(operation) && header !== undefined) {
    add(`${name} revision up`, () => header.revision++);
    add(`${name} revision down`, () => header.revision--);
  }
  innerLies(`${name} (${call.kind})`, call, outcome.answer, add);
}

function innerLies(name: string, call: Call, answer: Answer, add: Add): void {
  switch (call.kind) {
    case 'range': {
      const range = answer as RangeResponse;
      const kvs = range.kvs as KeyValue[];
      add(`${name} count`, () => range.count++);
      add(`${name} more`, () => (range.more = !range.more));
      listLies(`${name} kvs`, kvs, add, true);
      for (const [i, kv] of kvs.entries()) keyValueLies(`${name} kvs ${i}`, kv, add);
      break;
    }
    case 'put': {
      const { prevKv } = answer as PutResponse;
      if (prevKv === undefined) return;
      add(`${name} prevKv`, () => ((answer as PutResponse).prevKv = undefined));
      keyValueLies(`${name} prevKv`, prevKv, add);
      break;
    }
    case 'deleteRange': {
      const deletion = answer as DeleteRangeResponse;
      add(`${name} deleted up`, () => deletion.deleted++);
      if (deletion.deleted > 0) add(`${name} deleted down`, () => deletion.deleted--);
      listLies(`${name} prevKvs`, deletion.prevKvs as KeyValue[], add, true);
      for (const [i, kv] of deletion.prevKvs.entries()) {
        keyValueLies(`${name} prevKvs ${i}`, kv, add);
      }
      break;
    }
    case 'txn':
      txnLies(name, call, answer as TxnResponse, add);
      break;
    case 'compact':
      break;
  }
}

function txnLies(
  name: string,
  { request }: Call & { kind: 'txn' },
  answer: TxnResponse,
  add: Add,
): void {
  add(`${name} succeeded`, () => (answer.succeeded = !answer.succeeded));
  listLies(`${name} responses`, answer.responses as object[], add, true);
  const operations = answer.succeeded ? request.success : request.failure;
  for (const [i, operation] of operations.entries()) {
    const call = innerCall(operation);
    const response = answer.responses[i]?.response;
    if (call === undefined || response === undefined) continue;
    const { header } = response.value;
    if (header !== undefined) add(`${name} response ${i} revision`, () => header.revision++);
    innerLies(`${name} response ${i}`, call, response.value, add);
  }
}

function keyValueLies(name: string, kv: KeyValue, add: Add): void {
  add(`${name} key`, () => (kv.key = utf8('other')));
  add(`${name} value`, () => (kv.value = utf8('other')));
  add(`${name} createRevision up`, () => kv.createRevision++);
  add(`${name} createRevision down`, () => kv.createRevision--);
  add(`${name} modRevision up`, () => kv.modRevision++);
  add(`${name} modRevision down`, () => kv.modRevision--);
  add(`${name} version up`, () => kv.version++);
  add(`${name} version down`, () => kv.version--);
  add(`${name} lease`, () => (kv.lease = 7n));
}

function eventLies(name: string, event: Event, add: Add): void {
  const { kv, prevKv } = event;
  add(`${name} type`, () => (event.type = event.type === 0 ? 1 : 0));
  add(`${name} kv`, () => (event.kv = undefined));
  if (kv !== undefined) keyValueLies(`${name} kv`, kv, add);
  if (prevKv !== undefined) keyValueLies(`${name} prevKv`, prevKv, add);
}

function truthLies(events: Event[], add: Add): void {
  listLies('truth', events, add, true);
}

/** @param isFollowed whether the last item is missed if it is left out */
function listLies(name: string, items: object[], add: Add, isFollowed: boolean): void {
  const removable = isFollowed ? items.length : items.length - 1;
  for (let i = 0; i < removable; i++) add(`${name} without ${i}`, () => items.splice(i, 1));
  for (const [i, item] of items.entries()) {
    add(`${name} with ${i} twice`, () => items.splice(i, 0, structuredClone(item)));
  }
  for (let i = 1; i < items.length; i++) {
    add(`${name} with ${i} before ${i - 1}`, () => items.splice(i - 1, 0, ...items.splice(i, 1)));
  }
}
