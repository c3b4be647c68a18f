/** Whole revisions from responses that may have been cut in pieces. */
import type { Event } from '../gen/kv.ts';
import type { WatchResponse } from '../gen/rpc.ts';

export const revisionOf = (event: Event | undefined): number => event?.kv?.modRevision ?? 0;

/**
 * Puts together what the server cut. Events come in the order of revisions, so every revision
 * before that of the last event is whole, and no more than one is ever held back.
 */
export class RevisionAssembler {
  /** Events of one revision, of which more are to come. */
  #begun: Event[] = [];

  /** Takes the events of one response and returns those of revisions that are whole now. */
  add({ events, fragment }: WatchResponse): readonly Event[] {
    if (!fragment) {
      return this.#begun.length === 0 ? events : [...this.#take(), ...events];
    }
    const last = revisionOf(events.at(-1));
    let from = events.length;
    while (from > 0 && revisionOf(events[from - 1]) === last) from--;
    const goesOn = from === 0 && this.#begun.length > 0 && revisionOf(this.#begun[0]) === last;
    const whole = goesOn || events.length === 0 ? [] : [...this.#take(), ...events.slice(0, from)];
    for (let i = from; i < events.length; i++) this.#begun.push(events[i] as Event);
    return whole;
  }

  /** Forgets a revision of which the rest will not come. */
  reset(): void {
    this.#take();
  }

  #take(): Event[] {
    const begun = this.#begun;
    this.#begun = [];
    return begun;
  }
}
