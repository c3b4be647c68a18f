/** Service handlers are plain functions of typed messages; a transport adapter calls them. */

/** What a handler may know of its call. */
export interface CallContext {
  /** Aborted when the client cancels, its deadline passes or the connection is lost. */
  readonly signal: AbortSignal;
  /** First value of a request header, e.g. `hasleader`. */
  metadata(name: string): string | undefined;
}

export type UnaryHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Promise<Response>;

export type ServerStreamHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => AsyncIterable<Response>;

/** The iteration of `requests` ends when the client half-closes; the answers may go on. */
export type BidiHandler<Request, Response> = (
  requests: AsyncIterable<Request>,
  context: CallContext,
) => AsyncIterable<Response>;
