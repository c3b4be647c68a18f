/**
 * The store as etcd's API describes it, as plain as can be, for checkers to compare answers with.
 * It shares no code with the server's store: what both get wrong must be wrong twice.
 *
 * Every revision stays known. What was compacted is a matter of what a request is told, not of what
 * the model can say. Leases are taken as they come; whether they exist is not its business.
 */
import { latin1 } from '../../src/base/bytes.ts';
import { type Event, EventType, type KeyValue } from '../../src/gen/kv.ts';
import type { Answer, Call } from './history.ts';
import { contains, type Interval } from './interval.ts';
import { deleteRange, header, put, range, Refused, refusals, txn } from './model-requests.ts';
import { type Change, type Past, View } from './model-view.ts';

export type { Change } from './model-view.ts';

/** The revision of a store in which nothing has happened. */
export const firstRevision = 1;
/** The compacted revision of a store that was never compacted. */
export const neverCompacted = -1;

export type Result =
  | { readonly kind: 'done'; readonly answer: Answer; readonly changes: readonly Change[] }
  | { readonly kind: 'refused'; readonly code: number; readonly message: string };

/** Where in history a request is imagined to run. */
export interface Moment {
  readonly revision: number;
  readonly compactedRevision: number;
}

interface Version {
  readonly revision: number;
  /** Undefined from a delete on. */
  readonly kv: KeyValue | undefined;
}

export class Model implements Past {
  /** By key, oldest first. */
  readonly #versions = new Map<string, Version[]>();
  /** Every key that ever was, in order. */
  readonly #keys: string[] = [];
  /** What made each revision, beginning with {@link firstRevision}. */
  readonly #changes: (readonly Change[])[] = [[]];
  #compactedRevision = neverCompacted;

  get revision(): number {
    return firstRevision + this.#changes.length - 1;
  }

  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /** What made a revision, in order; nothing for one that does not exist. */
  changesAt(revision: number): readonly Change[] {
    return this.#changes[revision - firstRevision] ?? [];
  }

  /** @see Past */
  valueAt(key: string, revision: number): KeyValue | undefined {
    const versions = this.#versions.get(key);
    if (versions === undefined) return undefined;
    let low = 0;
    let high = versions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((versions[middle] as Version).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return versions[low - 1]?.kv;
  }

  /** @see Past */
  keysIn(interval: Interval): readonly string[] {
    return this.#keys.filter((key) => contains(interval, key));
  }

  /** Runs a request now. */
  execute(call: Call): Result {
    const result = this.evaluate(call);
    if (result.kind === 'refused') return result;
    if (call.kind === 'compact') this.#compactedRevision = call.request.revision;
    if (result.changes.length > 0) this.commit(result.changes);
    return result;
  }

  /** What a request would do and be told, now or at another moment. */
  evaluate(call: Call, at: Moment = this): Result {
    const view = new View(this, at.revision);
    try {
      return { kind: 'done', answer: this.#answer(call, view, at), changes: view.changes };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { kind: 'refused', code: error.code, message: error.message };
    }
  }

  #answer(call: Call, view: View, at: Moment): Answer {
    const compacted = at.compactedRevision;
    switch (call.kind) {
      case 'range':
        return range(view, call.request, compacted);
      case 'put':
        return put(view, call.request);
      case 'deleteRange':
        return deleteRange(view, call.request);
      case 'txn':
        return txn(new View(this, at.revision), view, call.request, compacted);
      case 'compact':
        if (call.request.revision <= compacted) throw refusals.compacted;
        if (call.request.revision > view.base) throw refusals.futureRevision;
        return { header: header(view.base) };
    }
  }

  /** Makes the next revision of changes that were evaluated at the present one. */
  commit(changes: readonly Change[]): void {
    this.#changes.push(changes);
    for (const { key, event } of changes) {
      const kv = event.type === EventType.put ? event.kv : undefined;
      this.#versionsOf(key).push({ revision: this.revision, kv });
    }
  }

  /** Makes the next revision of events that nothing explains, so that later ones can be judged. */
  adopt(events: readonly Event[]): void {
    const view = new View(this, this.revision);
    for (const { type, kv } of events) {
      if (kv !== undefined) view.adopt(latin1(kv.key), type, kv);
    }
    this.commit(view.changes);
  }

  #versionsOf(key: string): Version[] {
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const created: Version[] = [];
    this.#versions.set(key, created);
    const place = this.#keys.findIndex((other) => other > key);
    this.#keys.splice(place < 0 ? this.#keys.length : place, 0, key);
    return created;
  }
}
