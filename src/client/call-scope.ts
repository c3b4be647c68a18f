/** The time of one call: it ends with the deadline, the caller's signal or the client's close. */
import { setMaxListeners } from 'node:events';
import { deadlineExceeded } from './errors.ts';

/** Longer ones than 2^31-1 ms would fire at once: Node's timers hold no more. */
const timerMaxMs = 2 ** 31 - 1;

/** Aborts everything that a call waits for, with one reason to reject with. */
export class CallScope {
  readonly #controller = new AbortController();
  /** In milliseconds since the epoch, or Infinity: as grpc-js takes deadlines. */
  readonly deadlineMs: number;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #caller: AbortSignal | undefined;
  readonly #client: AbortSignal;
  readonly #onCaller = (): void => this.#controller.abort(this.#caller?.reason);
  readonly #onClient = (): void => this.#controller.abort(this.#client.reason);

  /** @param client aborted when the client closes */
  constructor(client: AbortSignal, timeoutMs: number, caller?: AbortSignal) {
    this.#client = client;
    this.#caller = caller;
    this.deadlineMs = Date.now() + timeoutMs;
    if (timeoutMs <= timerMaxMs) {
      this.#timer = setTimeout(() => this.#controller.abort(deadlineExceeded()), timeoutMs);
    }
    if (caller?.aborted === true) this.#onCaller();
    if (client.aborted) this.#onClient();
    for (const signal of [client, ...(caller === undefined ? [] : [caller])]) {
      // Many calls at once are no leak: each takes its listener with it.
      setMaxListeners(0, signal);
    }
    caller?.addEventListener('abort', this.#onCaller);
    client.addEventListener('abort', this.#onClient);
  }

  /** Its reason is what the call rejects with. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get remainingMs(): number {
    return Math.max(0, this.deadlineMs - Date.now());
  }

  /** From now on only the caller and the client can end it. */
  unlimited(): void {
    clearTimeout(this.#timer);
  }

  /** @throws the reason if the call's time is over */
  check(): void {
    this.signal.throwIfAborted();
  }

  /** `work`, or the reason as soon as the call's time is over. */
  race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise<T>((resolve, reject) => {
      const stop = (): void => reject(signal.reason as Error);
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    });
  }

  /** Waits; throws the reason if the call's time is over before. */
  async sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.race(
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, ms);
        }),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets go of timer and signals. To be called when the call is over, however it went. */
  end(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener('abort', this.#onCaller);
    this.#client.removeEventListener('abort', this.#onClient);
  }
}
