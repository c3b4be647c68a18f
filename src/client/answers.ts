/** What a call with many answers brings. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { fromGrpc, isServiceError } from './errors.ts';

/**
 * The answers of one call, which is cancelled when `signal` is aborted or nobody reads on.
 *
 * @throws ClientError, or the reason of `signal`
 */
export async function* answers<Response>(
  stream: ClientReadableStream<Response>,
  signal: AbortSignal,
): AsyncGenerator<Response, void, undefined> {
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel);
  if (signal.aborted) cancel();
  // The error of a call that is cancelled at the end has nobody to tell.
  stream.on('error', () => undefined);
  try {
    yield* stream as AsyncIterable<Response>;
  } catch (thrown) {
    signal.throwIfAborted();
    throw isServiceError(thrown) ? fromGrpc(thrown) : thrown;
  } finally {
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}
