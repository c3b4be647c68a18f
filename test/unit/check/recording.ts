/** Makes histories as an honest cluster would: each call happens at one moment, on the model. */
import { type Event, EventType } from '../../../src/gen/kv.ts';
import { FilterType, type WatchCreateRequest } from '../../../src/gen/rpc.ts';
import type {
  Answer,
  Call,
  History,
  Operation,
  Outcome,
  StateObservation,
  WatchLog,
  WatchRecord,
} from '../../check/history.ts';
import { contains, intervalOf } from '../../check/interval.ts';
import { type Change, firstRevision, Model } from '../../check/model.ts';

export interface Circumstances {
  readonly client?: string;
  readonly member?: string;
  readonly startMs?: number;
  readonly endMs?: number;
}

export class Recording {
  readonly model = new Model();
  readonly operations: Operation[] = [];
  readonly watches: WatchLog[] = [];
  readonly states: StateObservation[] = [];
  /** Moves by ten with each call, which by default takes five. */
  nowMs = 0;

  /** Runs a call now and records how it ended. */
  run(call: Call, circumstances: Circumstances = {}): Operation {
    const result = this.model.execute(call);
    const outcome: Outcome =
      result.kind === 'done'
        ? { kind: 'answered', answer: result.answer }
        : { kind: 'refused', code: result.code, message: result.message };
    return this.record(call, outcome, circumstances);
  }

  /** Records a call whose outcome nobody learns; it happens if the caller runs it. */
  lose(call: Call, happens: boolean, circumstances: Circumstances = {}): Operation {
    if (happens) this.model.execute(call);
    return this.record(call, { kind: 'unknown', reason: 'timed out' }, circumstances);
  }

  record(call: Call, outcome: Outcome, circumstances: Circumstances = {}): Operation {
    const { client = 'c1', member = 'm1' } = circumstances;
    const { startMs = this.nowMs, endMs = startMs + 5 } = circumstances;
    const id = this.operations.length;
    const operation: Operation = { id, client, member, call, startMs, endMs, outcome };
    this.operations.push(operation);
    this.nowMs += 10;
    return operation;
  }

  /** Records what a watcher is told that misses nothing up to now: one answer for each revision. */
  watch(request: WatchCreateRequest, resumes?: number, createdAt = firstRevision): WatchLog {
    const created = resumes === undefined ? createdAt : this.model.revision;
    const atMs = this.nowMs++;
    const records: WatchRecord[] = [{ kind: 'created', revision: created, atMs }];
    const start = request.startRevision > 0 ? request.startRevision : created + 1;
    for (let revision = start; revision <= this.model.revision; revision++) {
      const events = this.eventsFor(request, revision);
      if (events.length > 0)
        records.push({ kind: 'events', revision, events, fragment: false, atMs });
    }
    const log: WatchLog = { client: 'w1', member: 'm1', request, records, resumes };
    this.watches.push(log);
    return log;
  }

  eventsFor(request: WatchCreateRequest, revision: number): Event[] {
    const wanted = ({ key, event }: Change): boolean => {
      const excluded = event.type === EventType.put ? FilterType.noput : FilterType.nodelete;
      return !request.filters.includes(excluded) && contains(intervalOf(request), key);
    };
    return this.model
      .changesAt(revision)
      .filter(wanted)
      .map(({ event }) => (request.prevKv ? event : { ...event, prevKv: undefined }));
  }

  get events(): Event[] {
    const events: Event[] = [];
    for (let revision = firstRevision; revision <= this.model.revision; revision++) {
      events.push(...this.model.changesAt(revision).map(({ event }) => event));
    }
    return events;
  }

  history(changes: Partial<History> = {}): History {
    const { operations, watches, states, events } = this;
    return { operations, watches, states, events, ...changes };
  }
}

/** The answer of an operation, to be changed by tests that need a wrong one. */
export function answerOf(operation: Operation): Answer {
  if (operation.outcome.kind !== 'answered') throw new Error('the operation has no answer');
  return operation.outcome.answer;
}

/** An operation that was told something else. */
export function answeredWith(operation: Operation, changes: Partial<Answer>): Operation {
  const answer = { ...answerOf(operation), ...changes };
  return { ...operation, outcome: { kind: 'answered', answer } };
}

/** The list with one item replaced. */
export function replaced<Item>(items: readonly Item[], place: number, item: Item): Item[] {
  return items.map((each, i) => (i === place ? item : each));
}
