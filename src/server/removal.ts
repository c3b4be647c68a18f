/**
 * The end of a member that was removed: it goes on until the others can do without its vote.
 *
 * The change takes effect where it is applied. Members that stop and forget that the entry was
 * committed elect by the configuration before it, in which the removed one counts: were it gone,
 * they might never have a majority again (Ongaro's dissertation, 4.2.2, is why it still votes). So
 * it stays until a majority has said that it was removed, which they do once that survives their
 * restart. Some may never say it: they are down, or were removed themselves, or others took their
 * place while this member was away.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { type MemberId, majorityOf } from '../raft/index.ts';

/** It goes on at least so long, so that others hear of the change from it (etcd: 10 ticks). */
const leastMs = 1_000;
/** Longer than a member takes to start again. */
const mostMs = 30_000;

export interface RemovalOptions {
  readonly clock: Clock;
  /** The other voters, as far as this member knows. */
  readonly voters: () => readonly MemberId[];
  /** The member must end. Called once. */
  readonly end: () => void;
}

export class Removal {
  readonly #options: RemovalOptions;
  readonly #tellers = new Set<MemberId>();
  #timers: readonly Timer[] = [];
  #began = false;
  #mayEnd = false;

  constructor(options: RemovalOptions) {
    this.#options = options;
  }

  /** The member knows of its removal, or was told. */
  get began(): boolean {
    return this.#began;
  }

  begin(): void {
    if (this.#began) return;
    this.#began = true;
    const { clock } = this.#options;
    const least = (): void => {
      this.#mayEnd = true;
      this.#endIfNotNeeded();
    };
    this.#timers = [clock.after(leastMs, least), clock.after(mostMs, () => this.#end())];
  }

  /** Another member says that this one was removed, and will not forget it. */
  toldBy(member: MemberId): void {
    this.#tellers.add(member);
    this.begin();
    this.#endIfNotNeeded();
  }

  stop(): void {
    this.#began = true;
    this.#mayEnd = false;
    for (const timer of this.#timers) timer.cancel();
  }

  #endIfNotNeeded(): void {
    if (!this.#mayEnd) return;
    const voters = this.#options.voters();
    const told = voters.filter((each) => this.#tellers.has(each)).length;
    // As many as elect by the configuration before the change.
    if (told >= Math.min(voters.length, majorityOf(voters.length + 1))) this.#end();
  }

  #end(): void {
    this.stop();
    this.#options.end();
  }
}
