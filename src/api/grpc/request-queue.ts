/** A client's messages on a stream, taken one at a time by the handler. */

/** Messages that may wait for a handler before the client is asked to pause. */
const MAX_WAITING_REQUESTS = 16;

interface Source {
  pause(): unknown;
  resume(): unknown;
}

export class RequestQueue<Request> implements AsyncIterableIterator<Request> {
  readonly #source: Source;
  readonly #waiting: Request[] = [];
  #taker: ((result: IteratorResult<Request>) => void) | undefined;
  #ended = false;

  constructor(source: Source) {
    this.#source = source;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** A message came. */
  push(request: Request): void {
    if (this.#ended) return;
    const taker = this.#taker;
    if (taker !== undefined) {
      this.#taker = undefined;
      taker({ value: request, done: false });
      return;
    }
    this.#waiting.push(request);
    if (this.#waiting.length >= MAX_WAITING_REQUESTS) this.#source.pause();
  }

  /** No more will come: the client half-closed, or the call is over. */
  end(): void {
    this.#ended = true;
    const taker = this.#taker;
    this.#taker = undefined;
    taker?.({ value: undefined, done: true });
  }

  /** The call is over: what was not taken is of no use any more. */
  abandon(): void {
    this.#waiting.length = 0;
    this.end();
  }

  next(): Promise<IteratorResult<Request>> {
    const request = this.#waiting.shift();
    if (request !== undefined) {
      if (this.#waiting.length < MAX_WAITING_REQUESTS / 2) this.#source.resume();
      return Promise.resolve({ value: request, done: false });
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => {
      this.#taker = resolve;
    });
  }

  /** The handler wants no more messages, but may go on to answer. Later ones are dropped. */
  return(): Promise<IteratorResult<Request>> {
    this.abandon();
    this.#source.resume();
    return Promise.resolve({ value: undefined, done: true });
  }
}
