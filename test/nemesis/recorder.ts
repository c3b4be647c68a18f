/** Gathers what clients asked and were told while a run goes on. */
import type {
  Call,
  History,
  Operation,
  Outcome,
  StateObservation,
  WatchLog,
  WatchRecord,
} from '../check/history.ts';
import type { WatchCreateRequest } from '../../src/gen/rpc.ts';

/** A watch log that still grows. */
export interface OpenWatch {
  /** Position in the history. */
  readonly index: number;
  add(record: WatchRecord): void;
}

export class Recorder {
  readonly #startedMs = performance.now();
  readonly #operations: Operation[] = [];
  readonly #ofServices: Operation[] = [];
  readonly #watches: (WatchLog & { readonly records: WatchRecord[] })[] = [];
  readonly #states: StateObservation[] = [];
  #nextId = 0;
  #answered = 0;
  #refused = 0;
  #unknown = 0;

  /** The clock of the history. */
  nowMs(): number {
    return performance.now() - this.#startedMs;
  }

  get counts(): { readonly answered: number; readonly refused: number; readonly unknown: number } {
    return { answered: this.#answered, refused: this.#refused, unknown: this.#unknown };
  }

  get eventCount(): number {
    let count = 0;
    for (const { records } of this.#watches) {
      for (const record of records) if (record.kind === 'events') count += record.events.length;
    }
    return count;
  }

  /**
   * Notes the start of a call; what is returned notes its end.
   *
   * @param sharesKeys whether services change its keys too, as leases do
   */
  begin(
    client: string,
    member: string,
    call: Call,
    sharesKeys = false,
  ): (outcome: Outcome) => void {
    const id = this.#nextId++;
    const startMs = this.nowMs();
    return (outcome) => {
      if (outcome.kind === 'answered') this.#answered++;
      else if (outcome.kind === 'refused') this.#refused++;
      else this.#unknown++;
      const list = sharesKeys ? this.#ofServices : this.#operations;
      list.push({ id, client, member, call, startMs, endMs: this.nowMs(), outcome });
    };
  }

  /** Notes what a service may do for its client at any time from `startMs` on, or never. */
  maybe(client: string, member: string, call: Call, startMs: number): void {
    const outcome = { kind: 'unknown', reason: 'left to a service' } as const;
    const rest = { startMs, endMs: this.nowMs(), outcome };
    this.#ofServices.push({ id: this.#nextId++, client, member, call, ...rest });
  }

  watch(
    client: string,
    member: string,
    request: WatchCreateRequest,
    resumes: number | undefined,
  ): OpenWatch {
    const records: WatchRecord[] = [];
    const index = this.#watches.push({ client, member, request, records, resumes }) - 1;
    return { index, add: (record) => void records.push(record) };
  }

  state(observation: StateObservation): void {
    this.#states.push(observation);
  }

  history(rest: Pick<History, 'events' | 'leases' | 'locks' | 'restored'>): History {
    return {
      ...rest,
      operations: this.#operations.toSorted((a, b) => a.id - b.id),
      ofServices: this.#ofServices.toSorted((a, b) => a.id - b.id),
      watches: this.#watches,
      states: this.#states,
    };
  }
}
