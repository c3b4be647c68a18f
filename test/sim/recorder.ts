/** Writes down what clients asked and were told. */
import { callText, outcomeText } from '../check/describe.ts';
import type {
  Call,
  Operation,
  Outcome,
  StateObservation,
  WatchLog,
  WatchRecord,
} from '../check/history.ts';
import type { WatchCreateRequest } from '../../src/gen/rpc.ts';
import type { Trace } from './trace.ts';

/** A watch log that still grows. */
export interface OpenWatchLog extends WatchLog {
  readonly position: number;
  readonly records: WatchRecord[];
}

export class Recorder {
  readonly operations: Operation[] = [];
  /** Those on keys that services change too. */
  readonly ofServices: Operation[] = [];
  readonly watches: OpenWatchLog[] = [];
  readonly states: StateObservation[] = [];
  readonly #trace: Trace;
  readonly #now: () => number;
  /** What ends each operation that is under way. */
  readonly #open = new Set<(outcome: Outcome) => void>();
  #started = 0;
  answered = 0;

  constructor(trace: Trace, now: () => number) {
    this.#trace = trace;
    this.#now = now;
  }

  /**
   * Begins an operation; the result ends it.
   *
   * @param sharesKeys whether services change its keys too, as leases do
   */
  begin(
    client: string,
    member: string,
    call: Call,
    sharesKeys = false,
  ): (outcome: Outcome) => void {
    const id = this.#started++;
    const startMs = this.#now();
    this.#trace.detail(client, () => `#${id} asks ${member}: ${callText(call)}`);
    const end = (outcome: Outcome): void => {
      this.#open.delete(end);
      const endMs = this.#now();
      const list = sharesKeys ? this.ofServices : this.operations;
      list.push({ id, client, member, call, startMs, endMs, outcome });
      if (outcome.kind === 'answered') this.answered++;
      this.#trace.number(id);
      this.#trace.say(client, `#${id} ${outcomeText(outcome)}`);
    };
    this.#open.add(end);
    return end;
  }

  /** The run is over: what is still under way may have happened or not. */
  endAll(): void {
    for (const end of [...this.#open]) end({ kind: 'unknown', reason: 'the run ended' });
  }

  watch(
    client: string,
    member: string,
    request: WatchCreateRequest,
    resumes: number | undefined,
  ): OpenWatchLog {
    const position = this.watches.length;
    const log = { client, member, request, records: [], resumes, position };
    this.watches.push(log);
    this.#trace.say(client, `watches at ${member} from ${request.startRevision}`);
    return log;
  }

  add(log: OpenWatchLog, record: WatchRecord): void {
    log.records.push(record);
    this.#trace.say(log.client, recordText(record));
  }
}

function recordText(record: WatchRecord): string {
  switch (record.kind) {
    case 'created':
      return `watch created at ${record.revision}`;
    case 'events': {
      const revisions = record.events.map(({ kv }) => kv?.modRevision ?? 0);
      return `events ${revisions.join(' ')}${record.fragment ? ' and more' : ''}`;
    }
    case 'progress':
      return `progress to ${record.revision}`;
    case 'compacted':
      return `watch compacted at ${record.compactRevision}`;
    case 'ended':
      return `watch ended: ${record.reason}`;
  }
}
