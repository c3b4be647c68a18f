/** What a call, or the iteration of a watch, fails with. */
import { StatusCode, etcdErrors } from '../base/errors.ts';

/** The longest part of a server's text that is shown: it may be anything. */
const detailsMaxCharacters = 4096;

/** A refusal by the server, or that it could not be asked. */
export class ClientError extends Error {
  override readonly name: string = 'ClientError';
  /** The gRPC status code; etcd's codes with etcd's meaning. */
  readonly code: StatusCode;

  /**
   * @param message the server's words, such as `etcdserver: key is not provided`
   * @param options `cause`: what went wrong last, if that is not this
   */
  constructor(code: StatusCode, message: string, options?: ErrorOptions) {
    super(message.slice(0, detailsMaxCharacters), options);
    this.code = code;
  }
}

/** A watch wants revisions that the server has compacted. */
export class CompactedError extends ClientError {
  override readonly name = 'CompactedError';
  /** Events are available from this revision on; 0 if the server did not say. */
  readonly compactRevision: number;

  constructor(compactRevision: number) {
    super(...etcdErrors.compacted);
    this.compactRevision = compactRevision;
  }
}

/** The call's time is over, or the client's was. */
export const deadlineExceeded = (cause?: unknown): ClientError =>
  new ClientError(...etcdErrors.deadline, cause === undefined ? {} : { cause });

export const clientClosed = (): ClientError =>
  new ClientError(StatusCode.cancelled, 'the client is closed');

const knownCodes: ReadonlySet<number> = new Set(Object.values(StatusCode));

/** An error of grpc-js in our terms: the code that arrived and the server's text. */
export function fromGrpc(error: { readonly code: number; readonly details: string }): ClientError {
  const code = knownCodes.has(error.code) ? (error.code as StatusCode) : StatusCode.unknown;
  // What grpc-js says when it was its own clock that ran out, in the words of a server.
  if (code === StatusCode.deadlineExceeded) return deadlineExceeded();
  return new ClientError(code, error.details);
}

/** What grpc-js throws for a call that failed. */
export function isServiceError(
  thrown: unknown,
): thrown is Error & { readonly code: number; readonly details: string } {
  return thrown instanceof Error && 'code' in thrown && 'details' in thrown;
}
