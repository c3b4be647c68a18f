/** A history sorted for the replay, and what is wrong with it whatever the replay finds. */
import { type Event, EventType, type KeyValue } from '../../src/gen/kv.ts';
import { Compactions } from './compactions.ts';
import { operationText } from './describe.ts';
import type { Call, History, Operation, Violation } from './history.ts';
import { firstRevision } from './model.ts';
import { answeredRevision, madeRevision, mayWrite, shownKeyValues } from './operations.ts';
import { realTimeViolation } from './real-time.ts';
import { Sightings } from './sightings.ts';

/** An event of which an answer or a watch tells. */
export interface Shown {
  readonly type: EventType;
  readonly kv: KeyValue;
  /** Answers may leave values out. */
  readonly hasValue: boolean;
}

export interface Facts {
  readonly history: History;
  /** The newest revision that there is. */
  readonly newestRevision: number;
  /** Acknowledged writes by revision; one each, the others are violations. */
  readonly writes: ReadonlyMap<number, Operation>;
  /** Answered operations that made no revision. */
  readonly readings: readonly Operation[];
  readonly refused: readonly Operation[];
  /** Writes of unknown outcome. The first of those that explain an event is tried first. */
  readonly unknown: readonly Operation[];
  /** What may have made a revision and no other one, though nobody asked for it. */
  readonly unasked: ReadonlyMap<number, Call>;
  /** The history's events by revision, if it has them. */
  readonly truth: ReadonlyMap<number, readonly Event[]> | undefined;
  /** Without them: what is known of each revision. */
  readonly shown: ReadonlyMap<number, readonly Shown[]>;
  readonly sightings: Sightings;
  readonly compactions: Compactions;
  readonly violations: readonly Violation[];
}

export function gatherFacts(history: History, unasked: Facts['unasked']): Facts {
  const violations: Violation[] = [];
  const sightings = new Sightings(history);
  const compactions = new Compactions(history.operations);
  const truth = groupTruth(history.events, violations);
  const newestRevision =
    truth === undefined ? sightings.newestRevision : Math.max(firstRevision, ...truth.keys());
  const writes = new Map<number, Operation>();
  const readings: Operation[] = [];
  const refused: Operation[] = [];
  const unknown: Operation[] = [];
  for (const operation of history.operations) {
    const { outcome, call } = operation;
    if (outcome.kind === 'refused') refused.push(operation);
    if (outcome.kind === 'unknown' && mayWrite(call)) unknown.push(operation);
    if (outcome.kind !== 'answered') continue;
    const misplaced = misplacedViolation(operation, writes, newestRevision);
    if (misplaced !== undefined) violations.push(misplaced);
    else if (!madeRevision(operation)) readings.push(operation);
    else writes.set(answeredRevision(operation) as number, operation);
    const late = realTimeViolation(operation, sightings);
    if (late !== undefined) violations.push(late);
  }
  violations.push(...compactions.repeated());
  unknown.sort((a, b) => generality(a) - generality(b) || a.startMs - b.startMs || a.id - b.id);
  return {
    history,
    newestRevision,
    writes,
    readings,
    refused,
    unknown,
    unasked,
    truth,
    shown: truth === undefined ? gatherShown(history) : new Map(),
    sightings,
    compactions,
    violations,
  };
}

/** Requests that can explain only few events go first, so that the others are left for the rest. */
function generality({ call }: Operation): number {
  if (call.kind === 'put') return 0;
  if (call.kind === 'txn') return 2;
  return call.kind === 'deleteRange' && call.request.rangeEnd.length > 0 ? 3 : 1;
}

/** An answer whose revision alone shows that it cannot be. */
function misplacedViolation(
  operation: Operation,
  writes: ReadonlyMap<number, Operation>,
  newestRevision: number,
): Violation | undefined {
  const found = (rule: string, text: string, other?: Operation): Violation => {
    const operations = other === undefined ? [operation.id] : [other.id, operation.id];
    return { rule, text: `${operationText(operation)} ${text}`, operations };
  };
  const revision = answeredRevision(operation);
  if (revision === undefined) return found('kv-answer', 'has an answer without a header');
  const isWrite = madeRevision(operation);
  if (revision < firstRevision || (isWrite && revision === firstRevision)) {
    return found('kv-revision', `has revision ${revision}, which no operation can have`);
  }
  if (revision > newestRevision) {
    return isWrite
      ? found('kv-durable', `is lost: the newest revision there is, is ${newestRevision}`)
      : found('kv-future', `shows a revision that never was: the newest is ${newestRevision}`);
  }
  const other = isWrite ? writes.get(revision) : undefined;
  if (other === undefined) return undefined;
  return found('kv-revision', `has the revision of ${operationText(other)}`, other);
}

function groupTruth(
  events: readonly Event[] | undefined,
  violations: Violation[],
): Map<number, Event[]> | undefined {
  if (events === undefined) return undefined;
  const groups = new Map<number, Event[]>();
  let newest = firstRevision;
  for (const [position, event] of events.entries()) {
    const revision = event.kv?.modRevision ?? 0;
    if (revision < newest || revision <= firstRevision) {
      const text = `event ${position} of the truth has revision ${revision} after ${newest}`;
      violations.push({ rule: 'kv-truth', text, operations: [] });
      continue;
    }
    newest = revision;
    const group = groups.get(revision);
    if (group === undefined) groups.set(revision, [event]);
    else group.push(event);
  }
  return groups;
}

function gatherShown(history: History): Map<number, Shown[]> {
  const shown = new Map<number, Shown[]>();
  const add = (type: EventType, kv: KeyValue, hasValue: boolean): void => {
    const list = shown.get(kv.modRevision);
    if (list === undefined) shown.set(kv.modRevision, [{ type, kv, hasValue }]);
    else list.push({ type, kv, hasValue });
  };
  for (const { call, outcome } of history.operations) {
    if (outcome.kind !== 'answered') continue;
    shownKeyValues(call, outcome.answer, (kv, hasValue) => add(EventType.put, kv, hasValue));
  }
  for (const { records } of history.watches) {
    for (const record of records) {
      if (record.kind !== 'events') continue;
      for (const { type, kv, prevKv } of record.events) {
        if (kv !== undefined) add(type, kv, true);
        if (prevKv !== undefined) add(EventType.put, prevKv, true);
      }
    }
  }
  return shown;
}
