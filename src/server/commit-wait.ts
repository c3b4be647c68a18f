/** A leader that waits until what it writes can be applied: committed, and durable here as well. */
import type { Clock } from '../base/clock.ts';
import { ExpectedWait, soonMs } from '../base/expected-wait.ts';
import type { Entry } from '../raft/index.ts';

export class CommitWait {
  readonly #wait: ExpectedWait;
  /** The newest entry of the write that is waited for. */
  #index = 0;

  constructor(clock: Clock) {
    this.#wait = new ExpectedWait(clock, soonMs);
  }

  /** Entries are being written; if earlier ones are waited for, these are not. */
  writes(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined || this.#wait.isPending) return;
    this.#index = last.index;
    this.#wait.begin();
  }

  /** Entries, the oldest first, can be applied. */
  committed(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last !== undefined && last.index >= this.#index) this.#wait.end();
  }

  /** Somebody else may lead: what was written may never be committed. */
  leadershipChanged(): void {
    this.#wait.abandon();
  }
}
