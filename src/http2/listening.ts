/**
 * Reads from one that does not read itself only now and then, so that what it makes us do has
 * an end. Not at all, and two that wait for each other to read would do so for ever.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';

const everyMs = 1_000;

export class Listening {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  /** Reads nothing for a while. */
  pause(): void {
    if (this.#isStopped) return;
    this.#socket.pause();
    this.#timer ??= this.#clock.after(everyMs, () => this.resume());
  }

  resume(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#socket.resume();
  }

  /** Reads on from now on: nothing of it makes us do anything. */
  stop(): void {
    this.#isStopped = true;
    this.resume();
  }
}
