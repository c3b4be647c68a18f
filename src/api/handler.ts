/** Service handlers are plain functions of typed messages; a transport adapter calls them. */
import type { UnsentMemory } from '../mvcc/watch-stream.ts';

/** Memory that an answer takes until it is sent, out of a limited amount. */
export interface AnswerMemory extends UnsentMemory {
  /**
   * Takes memory for a large answer in the making, until the call is over.
   * @throws StatusError resourceExhausted if the client, or all of them, have too much unsent
   */
  hold(bytes: number): void;
  /** For what waits in queues: it is full if these and what is under way take all memory. */
  readonly queue: UnsentMemory;
  /**
   * Whether the next message had better wait, as what is under way takes all memory. What is in
   * queues does not count: only those who send could empty them.
   */
  readonly isFull: boolean;
}

/** What a handler may know of its call. */
export interface CallContext {
  /** Aborted when the client cancels, its deadline passes or the connection is lost. */
  readonly signal: AbortSignal;
  /** First value of a request header, e.g. `hasleader`. */
  metadata(name: string): string | undefined;
  readonly memory: AnswerMemory;
}

export type UnaryHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Promise<Response>;

/** Answers as they come. */
export interface Answers<Response> extends AsyncIterable<Response> {
  /**
   * The answer that follows the last one, if it is there already: it costs no promise then. Only
   * between two steps of the iteration. @throws what the iteration would throw
   */
  ready?(): Response | undefined;
}

export type ServerStreamHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Answers<Response>;

/** The iteration of `requests` ends when the client half-closes; the answers may go on. */
export type BidiHandler<Request, Response> = (
  requests: AsyncIterable<Request>,
  context: CallContext,
) => Answers<Response>;
