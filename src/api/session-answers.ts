/** The answers of a stream on which requests are read while others are answered. */
import type { Answers } from './handler.ts';

/** What finds the answers to one stream of one client. */
export interface AnswerSession<Response> {
  /** The next answer, if there is one now. @throws why the stream ends */
  next(): Response | undefined;
  /** Resolves when there may be a next one. */
  readable(): Promise<void>;
  /** Whether there will be none any more. */
  isOver(): boolean;
  close(): void;
}

/** To be iterated once: the session lasts from the first step to the end of that. */
export class SessionAnswers<Response> implements Answers<Response> {
  readonly #open: () => AnswerSession<Response>;
  #session: AnswerSession<Response> | undefined;

  /** @param open called at the first step; what it throws is how the iteration ends */
  constructor(open: () => AnswerSession<Response>) {
    this.#open = open;
  }

  ready(): Response | undefined {
    return this.#session?.next();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    const session = this.#open();
    this.#session = session;
    try {
      for (;;) {
        for (let next = session.next(); next !== undefined; next = session.next()) yield next;
        if (session.isOver()) return;
        await session.readable();
      }
    } finally {
      session.close();
    }
  }
}
