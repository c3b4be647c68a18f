/**
 * Linearizable reads without writing to the log (Raft dissertation, 6.4): the leader names its
 * commit index and proves by a round of heartbeats that it still leads; whoever has applied up to
 * that index may answer from its own state.
 *
 * Reads that arrive while a round is under way wait for the next one: a round only covers what
 * had arrived when it began. So one round serves any number of reads.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { EtcdErrorName } from '../base/errors.ts';
import { ExpectedWait, soonMs } from '../base/expected-wait.ts';

/**
 * A round that got no answer is asked again, e.g. because the message was lost (etcd:
 * readIndexRetryTime).
 */
const retryMs = 500;

export type ReadDone = (refusal: EtcdErrorName | undefined) => void;

interface Round {
  /** Newest context asked under; an answer to an older try counts as well. */
  readonly contexts: Set<bigint>;
  readonly waiting: readonly ReadDone[];
  readonly deadlineMs: number;
  /** When it is asked again, or given up. */
  retryAtMs: number;
}

export interface LinearizableReadOptions {
  readonly clock: Clock;
  /** How long a round may take. */
  readonly timeoutMs: number;
  /** Most reads that may wait for a round to begin, or for their index to be applied. */
  readonly waitingLimit: number;
  /** Asks Raft for a read index; contexts are never reused. */
  readonly ask: (context: bigint) => void;
  readonly nextContext: () => bigint;
  readonly appliedIndex: () => number;
  /** An answer came too late for its round, or none in time. */
  readonly slow: () => void;
}

export class LinearizableReads {
  readonly #options: LinearizableReadOptions;
  readonly #answer: ExpectedWait;
  /** One for all rounds, which mostly end long before: whatever is due by then is looked after. */
  #timer: Timer | undefined;
  #timerAtMs = 0;
  #waiting: ReadDone[] = [];
  #round: Round | undefined;
  /** Confirmed, but this member has not applied that far; ascending by index. */
  #confirmed: {
    readonly index: number;
    readonly waiting: readonly ReadDone[];
  }[] = [];
  /** Reads in `#confirmed`. */
  #confirmedCount = 0;

  constructor(options: LinearizableReadOptions) {
    this.#options = options;
    this.#answer = new ExpectedWait(options.clock, soonMs);
  }

  /** Calls `done` once a read of this member's state sees every write acknowledged before now. */
  wait(done: ReadDone): void {
    if (this.#waiting.length + this.#confirmedCount >= this.#options.waitingLimit) {
      done('tooManyRequests');
      return;
    }
    this.#waiting.push(done);
  }

  /** Begins a round if reads wait and none is under way. Called once per turn of the driver. */
  begin(): void {
    if (this.#round !== undefined || this.#waiting.length === 0) return;
    const { clock, timeoutMs } = this.#options;
    this.#round = {
      contexts: new Set(),
      waiting: this.#waiting,
      deadlineMs: clock.monotonicMs() + timeoutMs,
      retryAtMs: 0,
    };
    this.#waiting = [];
    this.#answer.begin();
    this.#ask(this.#round);
  }

  get pending(): boolean {
    return this.#round === undefined && this.#waiting.length > 0;
  }

  /** The leader answered: reads of the round may be served once `index` is applied. */
  confirmed(context: bigint, index: number): void {
    const round = this.#round;
    if (!round?.contexts.has(context)) {
      this.#options.slow();
      return;
    }
    this.#answer.end();
    this.#endRound();
    this.#confirmed.push({ index, waiting: round.waiting });
    this.#confirmedCount += round.waiting.length;
    this.applied(this.#options.appliedIndex());
  }

  /** Raft dropped the request; ask again soon rather than at the timeout. */
  dropped(context: bigint): void {
    const round = this.#round;
    if (!round?.contexts.delete(context) || round.contexts.size > 0) return;
    this.#retryAfter(round, Math.min(retryMs, 10));
  }

  /** A new leader: etcd fails the round with an error that clients retry. */
  leaderChanged(): void {
    const round = this.#round;
    if (round === undefined || round.contexts.size === 0) return;
    this.#fail(round, 'leaderChanged');
  }

  /** The member has applied up to `index`. */
  applied(index: number): void {
    while (this.#confirmed[0] !== undefined && this.#confirmed[0].index <= index) {
      const { waiting } = this.#confirmed.shift() ?? { waiting: [] };
      this.#confirmedCount -= waiting.length;
      for (const done of waiting) done(undefined);
    }
  }

  /** Fails every read with `refusal`. */
  stop(refusal: EtcdErrorName): void {
    const all = [...this.#confirmed.flatMap((each) => each.waiting), ...this.#waiting];
    if (this.#round !== undefined) this.#fail(this.#round, refusal);
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#confirmed = [];
    this.#confirmedCount = 0;
    this.#waiting = [];
    for (const done of all) done(refusal);
  }

  #ask(round: Round): void {
    const context = this.#options.nextContext();
    round.contexts.add(context);
    this.#retryAfter(round, retryMs);
    this.#options.ask(context);
  }

  #retryAfter(round: Round, delayMs: number): void {
    round.retryAtMs = this.#options.clock.monotonicMs() + delayMs;
    if (this.#timer !== undefined && this.#timerAtMs <= round.retryAtMs) return;
    this.#timer?.cancel();
    this.#arm(round.retryAtMs, delayMs);
  }

  #arm(atMs: number, delayMs: number): void {
    this.#timerAtMs = atMs;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = undefined;
      if (this.#round !== undefined) this.#look(this.#round);
    });
  }

  /** Goes on with a round whose time has come, or waits for what is left of it. */
  #look(round: Round): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs < round.retryAtMs) {
      this.#arm(round.retryAtMs, round.retryAtMs - nowMs);
    } else if (nowMs < round.deadlineMs) {
      this.#ask(round);
    } else {
      this.#options.slow();
      this.#fail(round, 'timeout');
    }
  }

  #fail(round: Round, refusal: EtcdErrorName): void {
    this.#endRound();
    for (const done of round.waiting) done(refusal);
  }

  #endRound(): void {
    this.#answer.abandon();
    this.#round = undefined;
  }
}
