/**
 * Random honest histories: calls that overlap in time, of which each happens at one moment within
 * its time; clients that give up; members that lag behind; watchers that break and resume.
 */
import { utf8 } from '../../../src/base/bytes.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { FilterType, SortOrder, type WatchCreateRequest } from '../../../src/gen/rpc.ts';
import type { Call, Outcome, WatchLog, WatchRecord } from '../../check/history.ts';
import { neverCompacted } from '../../check/model.ts';
import { compact, get, getAll, put, remove, txn, valueIs, versionIs, watching } from './calls.ts';
import { Recording } from './recording.ts';

export interface RandomHistoryOptions {
  readonly operations: number;
  readonly keys: number;
  readonly watchers: number;
  /** How many of a hundred calls end without an answer. */
  readonly unknownPercent: number;
}

/** How long calls may take before and after the moment at which they happen. */
const delayMs = 40;
const clients = 8;

export class RandomHistory {
  readonly recording = new Recording();
  /** When each revision was made, from revision 2 on. */
  readonly madeMs: number[] = [];
  readonly #random: SeededRandom;
  readonly #options: RandomHistoryOptions;
  #value = 0;

  constructor(seed: number, options: RandomHistoryOptions) {
    this.#random = new SeededRandom(seed);
    this.#options = options;
    const free = Array.from({ length: clients }, () => 0);
    for (let i = 0; i < options.operations; i++) this.#operation(10 * (i + 1), free);
    for (let i = 0; i < options.watchers; i++) this.#watcher(`w${i}`);
    for (let i = 0; i < options.operations; i += 10) this.#states(i);
  }

  #below(bound: number): number {
    return this.#random.below(bound);
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)] as Item;
  }

  #key(): string {
    return `k${this.#below(this.#options.keys)}`;
  }

  /** One call that happens, if it does, at `momentMs`. */
  #operation(momentMs: number, free: number[]): void {
    const ready = free.flatMap((freeMs, i) => (freeMs < momentMs ? [i] : []));
    const chosen = ready.length === 0 ? 0 : this.#pick(ready);
    const startMs = Math.max((free[chosen] ?? 0) + 1, momentMs - this.#below(delayMs));
    const endMs = momentMs + this.#below(delayMs);
    free[chosen] = endMs;
    const client = `c${chosen}`;
    const circumstances = { client, member: `m${chosen % 3}`, startMs, endMs };
    const call = this.#call();
    const { recording } = this;
    if (startMs > momentMs) return;
    if (this.#chance(this.#options.unknownPercent)) {
      recording.lose(call, this.#chance(50), circumstances);
    } else if (this.#chance(3)) {
      const outcome: Outcome = { kind: 'refused', code: 2, message: 'too many requests' };
      recording.record(call, outcome, circumstances);
    } else if (call.kind === 'range' && call.request.serializable) {
      recording.record(call, this.#staleOutcome(call), circumstances);
    } else {
      recording.run(call, circumstances);
    }
    while (this.madeMs.length < recording.model.revision - 1) this.madeMs.push(momentMs);
  }

  /** What a member that is behind answers. */
  #staleOutcome(call: Call): Outcome {
    const { model } = this.recording;
    const revision = Math.max(1, model.revision - this.#below(20));
    const result = model.evaluate(call, { revision, compactedRevision: neverCompacted });
    if (result.kind === 'refused') throw new Error(result.message);
    return { kind: 'answered', answer: result.answer };
  }

  #call(): Call {
    const dice = this.#below(100);
    const key = this.#key();
    const value = `v${this.#value++}`;
    const prevKv = this.#chance(50);
    const rangeEnd = utf8('z');
    const { revision } = this.recording.model;
    if (dice < 30) return put(key, value, { prevKv });
    if (dice < 34) return put(key, '', { prevKv, ignoreValue: true });
    if (dice < 50) return get(key);
    if (dice < 58) return get(key, { serializable: true });
    if (dice < 64) return get('k', { rangeEnd, limit: this.#below(4) });
    if (dice < 67) return getAll({ keysOnly: true, sortOrder: SortOrder.descend });
    if (dice < 70) return getAll({ revision: 1 + this.#below(revision + 1) });
    if (dice < 80) return remove(key, { prevKv });
    if (dice < 82) return remove(key, { rangeEnd, prevKv });
    if (dice < 84) return compact(Math.max(1, revision - this.#below(30)));
    const other = this.#key();
    if (dice < 94) return txn([versionIs(key, this.#below(3))], [put(key, value)], [get(key)]);
    const nested = txn([valueIs(other, 'x')], [], [remove(other), get(other)]);
    return txn([versionIs(other, 0)], [put(key, value)], key === other ? [nested] : [nested]);
  }

  #watcher(client: string): void {
    const { watches, model } = this.recording;
    const prevKv = this.#chance(50);
    const fragment = this.#chance(50);
    const key = this.#chance(50) ? this.#key() : 'k';
    const rangeEnd = key === 'k' || this.#chance(30) ? utf8('z') : utf8('');
    const filters = this.#chance(20) ? [this.#pick([FilterType.noput, FilterType.nodelete])] : [];
    const request = watching(key, { rangeEnd, prevKv, fragment, filters });
    let next = 2 + this.#below(Math.max(1, model.revision - 1));
    let resumes: number | undefined;
    do {
      const isFirst = resumes === undefined;
      const startRevision = isFirst && this.#chance(50) ? 0 : next;
      const { log, known } = this.#log(client, { ...request, startRevision }, next, resumes);
      resumes = watches.push(log) - 1;
      next = known + 1;
    } while (next <= model.revision && this.#chance(80));
  }

  #atMs(revision: number): number {
    return (this.madeMs[revision - 2] ?? 0) + this.#below(delayMs);
  }

  /** What a watcher is told from a revision on, until the stream breaks. */
  #log(
    client: string,
    request: WatchCreateRequest,
    next: number,
    resumes: number | undefined,
  ): { log: WatchLog; known: number } {
    const { recording } = this;
    const newest = recording.model.revision;
    const last = next + this.#below(newest - next + 2) - 1;
    const records: WatchRecord[] = [{ kind: 'created', revision: next - 1, atMs: 0 }];
    let atMs = this.#atMs(next - 1);
    let known = next - 1;
    let first = next;
    while (first <= last) {
      const end = Math.min(last, first + (this.#chance(70) ? 0 : this.#below(5)));
      const events = [];
      for (let revision = first; revision <= end; revision++) {
        events.push(...recording.eventsFor(request, revision));
      }
      atMs = Math.max(atMs, this.#atMs(end));
      if (events.length > 0) {
        const cut = request.fragment ? this.#below(events.length) : 0;
        const parts = cut > 0 ? [events.slice(0, cut), events.slice(cut)] : [events];
        for (const [i, part] of parts.entries()) {
          const isPart = i < parts.length - 1;
          records.push({ kind: 'events', revision: end, events: part, fragment: isPart, atMs });
        }
        known = events.at(-1)?.kv?.modRevision ?? known;
      }
      if (this.#chance(10)) {
        records.push({ kind: 'progress', revision: end, atMs });
        known = end;
      }
      first = end + 1;
    }
    records[0] = { kind: 'created', revision: next - 1, atMs: this.#atMs(next - 1) };
    records.push({ kind: 'ended', reason: 'the stream broke', atMs });
    return { log: { client, member: 'm1', request, records, resumes }, known };
  }

  #states(index: number): void {
    const revision = 1 + Math.floor(index / this.#options.operations);
    for (const member of ['m1', 'm2', 'm3']) {
      this.recording.states.push({ member, index, revision, hash: `hash ${index}` });
    }
  }
}
