/**
 * Who knew of which revision, and when. A revision that somebody has been shown is committed: from
 * then on every linearizable request must show it too.
 */
import { operationText, watchText } from './describe.ts';
import type { History, Operation, WatchRecord } from './history.ts';
import { firstRevision } from './model.ts';
import { answeredRevision } from './operations.ts';

export interface Sighting {
  readonly revision: number;
  readonly atMs: number;
  readonly operation: Operation | undefined;
  /** Who saw it. */
  readonly text: () => string;
}

/** The newest revision that a record shows, if any. */
export function recordRevision(record: WatchRecord): number | undefined {
  switch (record.kind) {
    case 'created':
    case 'progress':
      return record.revision;
    case 'events':
      return record.events.reduce(
        (newest, { kv }) => Math.max(newest, kv?.modRevision ?? 0),
        record.revision,
      );
    case 'compacted':
    case 'ended':
      return undefined;
  }
}

function* sightingsOf(history: History): Generator<Sighting> {
  for (const operation of history.operations) {
    const revision = answeredRevision(operation);
    if (revision === undefined) continue;
    const text = (): string => operationText(operation);
    yield { revision, atMs: operation.endMs, operation, text };
  }
  for (const [position, log] of history.watches.entries()) {
    for (const record of log.records) {
      const revision = recordRevision(record);
      if (revision === undefined) continue;
      const text = (): string => `${watchText(log, position)} at ${record.atMs} ms`;
      yield { revision, atMs: record.atMs, operation: undefined, text };
    }
  }
}

export class Sightings {
  /** In the order of time. */
  readonly #byTime: readonly Sighting[];
  /** For each sighting, the newest revision that it or one before it shows. */
  readonly #newest: readonly Sighting[];
  readonly #byRevision: readonly Sighting[];
  /** For each of them, the earliest time at which its revision or a newer one was seen. */
  readonly #earliestMs: Float64Array;

  constructor(history: History) {
    this.#byTime = [...sightingsOf(history)].sort((a, b) => a.atMs - b.atMs);
    const newest: Sighting[] = [];
    for (const sighting of this.#byTime) {
      const before = newest.at(-1);
      newest.push(before !== undefined && before.revision >= sighting.revision ? before : sighting);
    }
    this.#newest = newest;
    this.#byRevision = this.#byTime.toSorted((a, b) => a.revision - b.revision);
    this.#earliestMs = new Float64Array(this.#byRevision.length);
    let earliestMs = Number.POSITIVE_INFINITY;
    for (let i = this.#byRevision.length - 1; i >= 0; i--) {
      earliestMs = Math.min(earliestMs, (this.#byRevision[i] as Sighting).atMs);
      this.#earliestMs[i] = earliestMs;
    }
  }

  /** The newest revision that anybody was shown. */
  get newestRevision(): number {
    return this.#newest.at(-1)?.revision ?? firstRevision;
  }

  /** The newest that was seen before a time: it must show from then on. */
  newestBefore(timeMs: number): Sighting | undefined {
    return this.#newest[countWhere(this.#byTime, ({ atMs }) => atMs < timeMs) - 1];
  }

  /** When `revision` was made at the latest: somebody saw it or a newer one. */
  madeByMs(revision: number): number {
    const place = countWhere(this.#byRevision, (each) => each.revision < revision);
    return this.#earliestMs[place] ?? Number.POSITIVE_INFINITY;
  }
}

/** How many of the first items fulfil a condition that the later ones do not. */
function countWhere<Item>(items: readonly Item[], holds: (item: Item) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle] as Item)) low = middle + 1;
    else high = middle;
  }
  return low;
}
