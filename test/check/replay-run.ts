/** One pass through the model, with one way to place the writes of unknown outcome. */
import { latin1 } from '../../src/base/bytes.ts';
import { type Event, EventType } from '../../src/gen/kv.ts';
import { answerDifference, keyValueDifference } from './differences.ts';
import { eventText, operationText } from './describe.ts';
import type { Facts, Shown } from './facts.ts';
import type { Answer, Operation, Violation } from './history.ts';
import { type Change, firstRevision, Model, type Result } from './model.ts';
import { answeredRevision, isLinearizable } from './operations.ts';
import { refusals } from './model-requests.ts';
import { isAsShown, isSameChanges, sameRequest } from './placement.ts';

/** Where a write of unknown outcome took effect, and what it would have been answered. */
export interface Placement {
  readonly revision: number;
  readonly answer: Answer;
}

export interface Finding {
  /** The revision up to which the replay had come, or that an answer shows. */
  readonly revision: number;
  readonly violation: Violation;
  /** No choice at a later revision than this can help. */
  readonly causedBy: number;
}

/** A revision that several requests explain. */
export interface Choice {
  readonly revision: number;
  readonly alternatives: number;
  readonly taken: number;
}

/** Revisions to each side in which a wrong answer is looked for, to say how stale it is. */
const staleSearchRevisions = 200;
/** Events that a text shows. */
const shownEvents = 3;

export class ReplayRun {
  readonly model = new Model();
  readonly findings: Finding[] = [];
  readonly choices: Choice[] = [];
  readonly placed = new Map<number, Placement>();
  readonly #facts: Facts;
  readonly #planned: readonly number[];

  /** @param planned which alternative to take at each choice; the first ones after that */
  constructor(facts: Facts, planned: readonly number[]) {
    this.#facts = facts;
    this.#planned = planned;
    for (let revision = firstRevision + 1; revision <= facts.newestRevision; revision++) {
      const write = facts.writes.get(revision);
      if (write === undefined) this.#makeUnacknowledged(revision);
      else this.#makeAcknowledged(write, revision);
    }
    for (const operation of facts.readings) this.#checkReading(operation);
    for (const operation of facts.refused) this.#checkRefusal(operation);
  }

  #find(
    revision: number,
    rule: string,
    text: string,
    operations: readonly Operation[],
    causedBy = revision,
  ): void {
    const ids = operations.map(({ id }) => id);
    this.findings.push({ revision, violation: { rule, text, operations: ids }, causedBy });
  }

  #evaluate(operation: Operation, revision: number): Result {
    const compactedRevision = this.#facts.compactions.surelyBefore(operation);
    return this.model.evaluate(operation.call, { revision, compactedRevision });
  }

  #makeAcknowledged(operation: Operation, revision: number): void {
    const { truth } = this.#facts;
    const events = truth?.get(revision);
    const result = this.#evaluate(operation, revision - 1);
    const name = operationText(operation);
    if (result.kind === 'refused' || result.changes.length === 0) {
      const should = result.kind === 'refused' ? `be refused: ${result.message}` : 'change nothing';
      this.#find(revision, 'kv-answer', `${name} should ${should}`, [operation]);
      this.model.adopt(events ?? []);
      return;
    }
    this.#compareAnswer(operation, revision, result.answer);
    if (truth === undefined || this.#isTrue(result.changes, events ?? [], revision)) {
      this.model.commit(result.changes);
      return;
    }
    const shown = events === undefined ? 'has nothing' : `has ${eventsText(events)}`;
    const text = `${name} is lost: at its revision the truth ${shown}`;
    this.#find(revision, 'kv-durable', text, [operation]);
    this.model.adopt(events ?? []);
  }

  /** Whether changes are the truth's; if only numbers differ they are, but that is a finding. */
  #isTrue(changes: readonly Change[], events: readonly Event[], revision: number): boolean {
    if (!isSameChanges(changes, events)) return false;
    for (const [i, { event: expected }] of changes.entries()) {
      const event = events[i] as Event;
      const difference =
        keyValueDifference('kv', event.kv, expected.kv) ??
        (event.prevKv && keyValueDifference('prevKv', event.prevKv, expected.prevKv));
      if (difference === undefined) continue;
      const text = `the truth has ${eventText(event)} at revision ${revision}: ${difference}`;
      this.#find(revision, 'kv-event', text, []);
    }
    return true;
  }

  #makeUnacknowledged(revision: number): void {
    const { truth, shown, sightings, unknown } = this.#facts;
    const events = truth?.get(revision);
    const hints = shown.get(revision) ?? [];
    if (truth !== undefined && events === undefined) {
      this.#find(revision, 'kv-hole', `the truth has no event at revision ${revision}`, []);
      this.model.adopt([]);
      return;
    }
    if (this.#makeUnasked(revision, events)) return;
    const madeByMs = sightings.madeByMs(revision);
    const candidates: Operation[] = [];
    for (const operation of unknown) {
      if (operation.startMs > madeByMs || this.placed.has(operation.id)) continue;
      if (candidates.some((other) => sameRequest(other.call, operation.call))) continue;
      if (this.#explains(operation, revision, events, hints)) candidates.push(operation);
    }
    const chosen = this.#choose(candidates, revision);
    if (chosen === undefined) {
      this.#reportUnexplained(revision, events, hints);
      this.model.adopt(events ?? hintedEvents(hints));
      return;
    }
    const result = this.#evaluate(chosen, revision - 1) as Result & { kind: 'done' };
    const { changes, answer } = result;
    this.placed.set(chosen.id, { revision, answer });
    if (events !== undefined) this.#isTrue(changes, events, revision);
    this.model.commit(changes);
  }

  /** It can explain no other revision, so that it is no choice to take it for this one. */
  #makeUnasked(revision: number, events: readonly Event[] | undefined): boolean {
    const call = this.#facts.unasked.get(revision);
    if (call === undefined || events === undefined) return false;
    const result = this.model.evaluate(call);
    if (result.kind === 'refused' || !isSameChanges(result.changes, events)) return false;
    this.#isTrue(result.changes, events, revision);
    this.model.commit(result.changes);
    return true;
  }

  #choose(candidates: readonly Operation[], revision: number): Operation | undefined {
    if (candidates.length < 2) return candidates[0];
    const taken = this.#planned[this.choices.length] ?? 0;
    this.choices.push({ revision, alternatives: candidates.length, taken });
    return candidates[taken];
  }

  /** Whether an operation, had it run now, would have made these events. */
  #explains(
    operation: Operation,
    revision: number,
    events: readonly Event[] | undefined,
    hints: readonly Shown[],
  ): boolean {
    const { call } = operation;
    const first = events?.[0]?.kv ?? hints[0]?.kv;
    // Most candidates are puts of another key: that can be told without the model.
    if (call.kind === 'put' && first !== undefined) {
      if (Buffer.compare(call.request.key, first.key) !== 0) return false;
    }
    const result = this.#evaluate(operation, revision - 1);
    if (result.kind === 'refused' || result.changes.length === 0) return false;
    const { changes } = result;
    if (events === undefined) {
      return hints.every((hint) => changes.some((change) => isAsShown(change, hint)));
    }
    return isSameChanges(changes, events);
  }

  #reportUnexplained(
    revision: number,
    events: readonly Event[] | undefined,
    hints: readonly Shown[],
  ): void {
    const found = events ?? hintedEvents(hints);
    if (found.length === 0) {
      const text = `no operation can have made revision ${revision}, and nobody saw its events`;
      this.#find(revision, 'kv-hole', text, []);
      return;
    }
    const what = `${eventsText(found)} at revision ${revision}`;
    const { history, sightings } = this.#facts;
    const causedBy = this.#whereUsedUp(revision, events);
    const cause = history.operations.find(
      (operation) =>
        operation.call.kind !== 'range' && this.#explains(operation, revision, events, hints),
    );
    if (cause === undefined) {
      this.#find(revision, 'kv-explained', `no operation explains ${what}`, [], causedBy);
      return;
    }
    const name = operationText(cause);
    if (cause.outcome.kind === 'refused') {
      this.#find(revision, 'kv-refused', `${name} has an effect: ${what}`, [cause], causedBy);
    } else if (cause.outcome.kind === 'answered' || this.placed.has(cause.id)) {
      const other = this.placed.get(cause.id)?.revision ?? answeredRevision(cause);
      const text = `${name} took effect twice: at revision ${other}, and as ${what}`;
      this.#find(revision, 'kv-once', text, [cause], causedBy);
    } else {
      const text = `${what} was seen at ${sightings.madeByMs(revision)} ms, before ${name} began`;
      this.#find(revision, 'kv-before-start', text, [cause], causedBy);
    }
  }

  /**
   * The newest revision at which a request was used up that would explain this one. If the truth is
   * known, the model before a revision is the same whatever was chosen, so that choices only decide
   * which requests are left.
   */
  #whereUsedUp(revision: number, events: readonly Event[] | undefined): number {
    if (events === undefined) return revision;
    const used = this.#facts.unknown.filter((operation) => this.placed.has(operation.id));
    const explaining = used.filter((operation) => this.#explains(operation, revision, events, []));
    return Math.max(0, ...explaining.map(({ id }) => this.placed.get(id)?.revision ?? 0));
  }

  #checkReading(operation: Operation): void {
    const revision = answeredRevision(operation) as number;
    const result = this.#evaluate(operation, revision);
    if (result.kind === 'done' && result.changes.length === 0) {
      this.#compareAnswer(operation, revision, result.answer);
      return;
    }
    const should = result.kind === 'refused' ? `be refused: ${result.message}` : 'make a revision';
    const text = `${operationText(operation)} should ${should}`;
    this.#find(revision, 'kv-answer', text, [operation]);
  }

  #compareAnswer(operation: Operation, revision: number, expected: Answer): void {
    const { call, outcome } = operation;
    if (outcome.kind !== 'answered') return;
    const difference = answerDifference(call.kind, outcome.answer, expected);
    if (difference === undefined) return;
    const stale = this.#revisionOf(operation, outcome.answer, revision);
    const hint = stale === undefined ? '' : `; it is the answer of revision ${stale}`;
    const text = `${operationText(operation)}: ${difference}${hint}`;
    this.#find(revision, 'kv-answer', text, [operation]);
  }

  /** The revision near `revision` whose answer this is, but for the header. */
  #revisionOf(operation: Operation, answer: Answer, revision: number): number | undefined {
    const { call } = operation;
    for (let distance = 1; distance <= staleSearchRevisions; distance++) {
      for (const other of [revision - distance, revision + distance]) {
        if (other < firstRevision || other > this.model.revision) continue;
        const result = this.#evaluate(operation, other);
        if (result.kind === 'refused') continue;
        const { header } = answer;
        const compared = { ...result.answer, header };
        if (answerDifference(call.kind, answer, compared) === undefined) return other;
      }
    }
    return undefined;
  }

  /** A refusal for a reason that depends on the state must have had that reason at some time. */
  #checkRefusal(operation: Operation): void {
    const { call, outcome, startMs, endMs } = operation;
    if (outcome.kind !== 'refused') return;
    const { message } = outcome;
    if (!Object.values(refusals).some((refusal) => refusal.message === message)) return;
    const { sightings, compactions, newestRevision } = this.#facts;
    const seen = isLinearizable(call) ? sightings.newestBefore(startMs)?.revision : undefined;
    const low = seen ?? firstRevision;
    const compacted = [
      compactions.surelyBefore(operation),
      compactions.possiblyBy(endMs, operation),
    ];
    let revision = low;
    for (; revision <= newestRevision; revision++) {
      // What had not begun when the refusal came cannot be its reason.
      const write = this.#facts.writes.get(revision);
      if (revision > low && write !== undefined && write.startMs > endMs) break;
      for (const compactedRevision of compacted) {
        const result = this.model.evaluate(call, { revision, compactedRevision });
        if (result.kind === 'refused' && result.message === message) return;
      }
    }
    const text = `${operationText(operation)} was refused without that reason`;
    // Whatever was tried, other events up to there may give the reason.
    this.#find(revision, 'kv-refusal', text, [operation]);
  }
}

function eventsText(events: readonly Event[]): string {
  const shown = events.slice(0, shownEvents).map(eventText).join(', ');
  return events.length > shownEvents ? `${shown} and ${events.length - shownEvents} more` : shown;
}

/** Of what several have shown, each event once. */
function hintedEvents(hints: readonly Shown[]): Event[] {
  const events = new Map<string, Event>();
  for (const { type, kv } of hints) {
    const isDelete = type === EventType.delete;
    events.set(`${latin1(kv.key)}${isDelete}`, { type, kv, prevKv: undefined });
  }
  return [...events.values()];
}
