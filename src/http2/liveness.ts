/** Asks connections from which nothing comes whether they live; closes those that do not answer. */
import type { Clock, Timer } from '../base/clock.ts';

export interface LivenessTimes {
  /** A connection from which nothing came for so long is asked. */
  readonly idleMs: number;
  /** How long it may take to answer. */
  readonly timeoutMs: number;
}

/** A connection as it is looked after. */
export interface AskedConnection {
  /** Whether anything has come, or what waited was sent, since it was set to false. */
  hasMoved: boolean;
  ping(answered: () => void): void;
  destroy(): void;
}

/** Looks after one connection. */
export class Liveness {
  readonly #connection: AskedConnection;
  readonly #times: LivenessTimes;
  readonly #clock: Clock;
  #timer: Timer;

  constructor(connection: AskedConnection, times: LivenessTimes, clock: Clock) {
    this.#connection = connection;
    this.#times = times;
    this.#clock = clock;
    this.#timer = this.#lookLater();
  }

  stop(): void {
    this.#timer.cancel();
  }

  #lookLater(): Timer {
    return this.#clock.after(this.#times.idleMs, () => this.#look());
  }

  #look(): void {
    if (this.#connection.hasMoved) {
      this.#connection.hasMoved = false;
      this.#timer = this.#lookLater();
      return;
    }
    const alive = (): void => {
      this.#timer.cancel();
      this.#timer = this.#lookLater();
    };
    this.#timer = this.#clock.after(this.#times.timeoutMs, () => {
      // The answer may wait behind other things.
      if (this.#connection.hasMoved) alive();
      else this.#connection.destroy();
    });
    this.#connection.ping(alive);
  }
}
