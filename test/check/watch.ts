/**
 * What watches promise, held against every event that there was: the nine checks of etcd's
 * robustness tests and two of fields.
 *
 * - `watch-filter`: nothing outside the range, of a filtered type, or older than the start;
 * - `watch-ordered`: by revision, and within one as they happened; creation first, nothing after
 *   the end;
 * - `watch-unique`: no event twice;
 * - `watch-atomic`: all events of a revision in one answer, or in fragments that follow each other;
 * - `watch-resumable`: a resumed log goes on where the one before ended, with no gap and nothing
 *   again;
 * - `watch-reliable`: no event left out before the last that came; cancelled only for history that
 *   was compacted;
 * - `watch-bookmarkable`: progress comes after all events up to its revision;
 * - `watch-is-create`: created in its own revision exactly if the key did not exist;
 * - `watch-prev-kv`: the value before, if asked for and not compacted, and not otherwise;
 * - `watch-event`: an event that never happened, or with other fields;
 * - `watch-revision`: an answer's revision is there and not below those of its events.
 */
import { eventText, watchText } from './describe.ts';
import { keyValueDifference } from './differences.ts';
import { latin1 } from '../../src/base/bytes.ts';
import { type Event, EventType } from '../../src/gen/kv.ts';
import { FilterType } from '../../src/gen/rpc.ts';
import type { Compactions } from './compactions.ts';
import type { History, Violation, WatchLog, WatchRecord } from './history.ts';
import { contains, intervalOf } from './interval.ts';
import type { Replay } from './linearizable.ts';
import { type Change, firstRevision, type Model } from './model.ts';

type EventsRecord = Extract<WatchRecord, { kind: 'events' }>;

/** An event that the watcher must be told. */
interface Expected {
  readonly change: Change;
  readonly revision: number;
  /** Whether its revision changes the key again; after a compaction there only the last is left. */
  readonly isSuperseded: boolean;
  state: 'due' | 'told' | 'missed';
}

export function checkWatches({ watches }: History, replay: Replay): readonly Violation[] {
  const violations: Violation[] = [];
  /** Up to which revision each log is known in full; undefined if that cannot be told. */
  const known: (number | undefined)[] = [];
  for (const [position, log] of watches.entries()) {
    const before = log.resumes === undefined ? undefined : watches[log.resumes];
    const knownBefore = log.resumes === undefined ? undefined : known[log.resumes];
    const check = new WatchCheck(log, position, replay, violations);
    check.resume(before, knownBefore);
    known.push(check.run());
  }
  return violations;
}

class WatchCheck {
  readonly #log: WatchLog;
  readonly #wants: (key: string, type: EventType) => boolean;
  readonly #position: number;
  readonly #model: Model;
  readonly #compactions: Compactions;
  readonly #violations: Violation[];
  /** The first revision that the watcher is owed; undefined if it was never created. */
  readonly #start: number | undefined;
  readonly #expected: readonly Expected[];
  /** All expected events before it are told or left out. */
  #next = 0;
  #created = false;
  #ended = false;
  #progress = 0;
  /** Of the last event that came. */
  #lastRevision = 0;
  #lastIsFragment = false;
  /** The newest revision that was reported as not whole. */
  #brokenRevision = 0;

  constructor(log: WatchLog, position: number, replay: Replay, violations: Violation[]) {
    this.#log = log;
    this.#wants = wants(log);
    this.#position = position;
    this.#model = replay.model;
    this.#compactions = replay.facts.compactions;
    this.#violations = violations;
    this.#start = startOf(log);
    this.#expected = expectedEvents(this.#wants, this.#start, replay.model);
  }

  #find(rule: string, text: string, atMs?: number): void {
    const when = atMs === undefined ? '' : ` at ${atMs} ms`;
    const name = watchText(this.#log, this.#position);
    this.#violations.push({ rule, text: `${name}${when}: ${text}`, operations: [] });
  }

  /** A client goes on with the revision after the last it knows; later only if that is gone. */
  resume(before: WatchLog | undefined, known: number | undefined): void {
    if (before === undefined || known === undefined) return;
    const { startRevision } = this.#log.request;
    const wasCompacted = before.records.some(({ kind }) => kind === 'compacted');
    if (startRevision === known + 1 || (wasCompacted && startRevision > known)) return;
    const text = `resumes at ${startRevision} what is known in full up to revision ${known}`;
    this.#find('watch-resumable', text);
  }

  /** Returns up to which revision the log is known in full. */
  run(): number | undefined {
    for (const record of this.#log.records) this.#record(record);
    for (const expected of this.#expected.slice(0, this.#next)) {
      if (expected.state === 'due') this.#reportMissed(expected);
    }
    return this.#start === undefined ? undefined : this.#known(this.#start);
  }

  /** The revision up to which nothing is owed any more; the last may have come only in part. */
  #known(start: number): number {
    const told = this.#lastRevision - (this.#lastIsFragment ? 1 : 0);
    return Math.max(start - 1, told, this.#progress);
  }

  #record(record: WatchRecord): void {
    const { atMs } = record;
    if (this.#ended) this.#find('watch-ordered', `${record.kind} after the end`, atMs);
    if (record.kind === 'created') {
      if (this.#created) this.#find('watch-ordered', 'created twice', atMs);
      this.#created = true;
    } else if (!this.#created && record.kind !== 'ended' && record.kind !== 'compacted') {
      this.#find('watch-ordered', `${record.kind} before the watch is created`, atMs);
    }
    if (this.#lastIsFragment && record.kind !== 'events' && record.kind !== 'ended') {
      this.#find('watch-atomic', `${record.kind} in place of the next fragment`, atMs);
      this.#lastIsFragment = false;
    }
    if ('revision' in record && record.revision > this.#model.revision) {
      const text = `${record.kind} of revision ${record.revision}, which never was`;
      this.#find('watch-revision', text, atMs);
    }
    switch (record.kind) {
      case 'created':
        break;
      case 'events':
        this.#events(record);
        break;
      case 'progress':
        this.#progressed(record.revision, atMs);
        break;
      case 'compacted':
        this.#compacted(record.compactRevision, atMs);
        this.#ended = true;
        break;
      case 'ended':
        this.#ended = true;
        break;
    }
  }

  #events(record: EventsRecord): void {
    const { events, fragment, atMs } = record;
    const [first] = events;
    const isSplit =
      first?.kv?.modRevision === this.#lastRevision &&
      !this.#lastIsFragment &&
      this.#lastRevision > this.#brokenRevision;
    for (const [i, event] of events.entries()) {
      const isNew = this.#event(event, record);
      if (i > 0 || !isNew || !isSplit) continue;
      this.#brokenRevision = this.#lastRevision;
      this.#find('watch-atomic', `revision ${this.#lastRevision} comes in two answers`, atMs);
    }
    if (fragment && !this.#log.request.fragment) {
      this.#find('watch-atomic', 'a fragment although the watch did not allow it', atMs);
    }
    this.#lastIsFragment = fragment;
    const next = this.#expected[this.#next];
    if (fragment || next?.revision !== this.#lastRevision || next.state !== 'due') return;
    this.#brokenRevision = this.#lastRevision;
    const text = `revision ${next.revision} comes without ${eventText(next.change.event)}`;
    this.#find('watch-atomic', text, atMs);
  }

  /** Judges one event. Returns whether it was due. */
  #event(event: Event, { revision: shown, atMs }: EventsRecord): boolean {
    const { kv } = event;
    if (kv === undefined) {
      this.#find('watch-event', 'an event without a key value', atMs);
      return false;
    }
    const revision = kv.modRevision;
    const what = eventText(event);
    if (shown < revision) {
      this.#find('watch-revision', `${what} in an answer of revision ${shown}`, atMs);
    }
    if (!this.#wants(latin1(kv.key), event.type)) {
      this.#find('watch-filter', `${what}, which the watch did not ask for`, atMs);
      return false;
    }
    if (this.#start !== undefined && revision < this.#start) {
      const isAgain = this.#log.resumes !== undefined;
      const text = isAgain ? 'was known before the watch was resumed' : 'is older than the start';
      this.#find(isAgain ? 'watch-resumable' : 'watch-filter', `${what} ${text}`, atMs);
      return false;
    }
    const place = this.#placeOf(event);
    if (place === undefined) {
      this.#find('watch-event', `${what}, which never happened`, atMs);
      return false;
    }
    const expected = this.#expected[place] as Expected;
    if (expected.state === 'told') {
      this.#find('watch-unique', `${what} for the second time`, atMs);
      return false;
    }
    if (revision <= this.#progress) {
      const text = `${what} after progress had reached revision ${this.#progress}`;
      this.#find('watch-bookmarkable', text, atMs);
    } else if (place < this.#next) {
      const text = `${what} after an event of revision ${this.#lastRevision} that follows it`;
      this.#find('watch-ordered', text, atMs);
    }
    expected.state = 'told';
    this.#next = Math.max(this.#next, place + 1);
    this.#lastRevision = Math.max(this.#lastRevision, revision);
    this.#compare(event, expected, atMs);
    return true;
  }

  /** Where the event stands among those expected; one that was not told yet, if there is one. */
  #placeOf(event: Event): number | undefined {
    const revision = event.kv?.modRevision ?? 0;
    const isIt = (place: number): boolean => {
      const { change } = this.#expected[place] as Expected;
      const key = change.event.kv?.key;
      return (
        change.event.type === event.type &&
        key !== undefined &&
        Buffer.compare(key, event.kv?.key ?? key) === 0
      );
    };
    let told: number | undefined;
    for (
      let place = this.#firstOf(revision);
      this.#expected[place]?.revision === revision;
      place++
    ) {
      if (!isIt(place)) continue;
      if (this.#expected[place]?.state !== 'told') return place;
      told ??= place;
    }
    return told;
  }

  #firstOf(revision: number): number {
    let low = 0;
    let high = this.#expected.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#expected[middle] as Expected).revision < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(event: Event, { change, revision }: Expected, atMs: number): void {
    const what = eventText(event);
    const { kv } = event;
    if (event.type === EventType.put && kv !== undefined) {
      const isCreate = kv.createRevision === kv.modRevision;
      if (isCreate !== change.isCreate) {
        const text = change.isCreate ? 'did not exist before' : 'existed before';
        this.#find('watch-is-create', `${what}, but the key ${text}`, atMs);
        return;
      }
    }
    const difference = keyValueDifference('kv', kv, change.event.kv);
    if (difference !== undefined) this.#find('watch-event', `${what}: ${difference}`, atMs);
    const { prevKv } = event;
    // What came before the revision is gone once a compaction names it or a later one.
    const mayBeGone = this.#compactions.possiblyBy(atMs) >= revision;
    if (prevKv === undefined && (!this.#log.request.prevKv || mayBeGone)) return;
    const before = this.#log.request.prevKv ? change.event.prevKv : undefined;
    const wrong = keyValueDifference('prevKv', prevKv, before);
    if (wrong !== undefined) this.#find('watch-prev-kv', `${what}: ${wrong}`, atMs);
  }

  #progressed(revision: number, atMs: number): void {
    this.#progress = Math.max(this.#progress, revision);
    for (; (this.#expected[this.#next]?.revision ?? Infinity) <= revision; this.#next++) {
      const expected = this.#expected[this.#next] as Expected;
      if (expected.state === 'told' || this.#isGone(expected, atMs)) continue;
      expected.state = 'missed';
      const text = `progress to revision ${revision} before ${eventText(expected.change.event)}`;
      this.#find('watch-bookmarkable', text, atMs);
    }
  }

  #isGone({ isSuperseded, revision }: Expected, atMs: number): boolean {
    return isSuperseded && this.#compactions.mayBe(revision, atMs);
  }

  #reportMissed(expected: Expected): void {
    const { revision, change } = expected;
    const endMs = this.#log.records.at(-1)?.atMs ?? 0;
    if (this.#isGone(expected, endMs) || revision <= this.#brokenRevision) return;
    const told = this.#expected.filter(({ state }) => state === 'told');
    const what = `missed ${eventText(change.event)}`;
    if (told.some((other) => other.revision === revision)) {
      this.#find('watch-atomic', `${what}, but not all of its revision`);
    } else if (this.#log.resumes !== undefined && (told[0]?.revision ?? Infinity) > revision) {
      this.#find('watch-resumable', `${what} after it was resumed`);
    } else {
      this.#find('watch-reliable', what);
    }
  }

  /** A watch may be cancelled only if the next revision that it is owed is compacted. */
  #compacted(compactRevision: number, atMs: number): void {
    const owed = this.#known(this.#start ?? firstRevision) + 1;
    if (owed >= compactRevision) {
      const text = `cancelled by a compaction of ${compactRevision}, but is owed only ${owed}`;
      this.#find('watch-reliable', text, atMs);
    } else if (!this.#compactions.mayBe(compactRevision, atMs)) {
      const text = `cancelled by a compaction of ${compactRevision}, which nobody asked for`;
      this.#find('watch-reliable', text, atMs);
    }
  }
}

function startOf({ request, records }: WatchLog): number | undefined {
  if (request.startRevision > 0) return request.startRevision;
  const created = records.find(({ kind }) => kind === 'created');
  return created?.kind === 'created' ? created.revision + 1 : undefined;
}

/** What a watch asked for, whatever its start. */
function wants({ request }: WatchLog): (key: string, type: EventType) => boolean {
  const interval = intervalOf(request);
  // An empty key stands for the first there can be.
  const low = interval.low === '' ? '\0' : interval.low;
  const excluded = {
    [EventType.put]: request.filters.includes(FilterType.noput),
    [EventType.delete]: request.filters.includes(FilterType.nodelete),
  };
  return (key, type) => !excluded[type] && contains({ low, end: interval.end }, key);
}

function expectedEvents(
  isWanted: (key: string, type: EventType) => boolean,
  start: number | undefined,
  model: Model,
): Expected[] {
  const expected: Expected[] = [];
  if (start === undefined) return expected;
  for (let revision = Math.max(start, firstRevision); revision <= model.revision; revision++) {
    const changes = model.changesAt(revision);
    for (const [i, change] of changes.entries()) {
      if (!isWanted(change.key, change.event.type)) continue;
      const isSuperseded =
        changes.length > 1 && changes.slice(i + 1).some(({ key }) => key === change.key);
      expected.push({ change, revision, isSuperseded, state: 'due' });
    }
  }
  return expected;
}
