/** Ranges that arrive in pieces. */
import { StatusCode } from '../base/errors.ts';
import type { RangeRequest, RangeResponse } from '../gen/rpc.ts';
import { KV } from '../gen/services.ts';
import type { CallScope } from './call-scope.ts';
import type { Caller } from './caller.ts';
import { answers } from './answers.ts';
import { ClientError } from './errors.ts';
import type { CallOptions } from './options.ts';
import { backoffMs, isSafeRetry, isUnsent, triesMax } from './retry.ts';

/**
 * The answers of RangeStream; of Range, as one piece, where the server does not stream.
 *
 * Begins anew after a failure only as long as nothing has arrived, for what was handed out cannot
 * be taken back.
 */
export async function* rangeStream(
  caller: Caller,
  request: RangeRequest,
  options: CallOptions,
): AsyncGenerator<RangeResponse, undefined, undefined> {
  const scope = caller.scope(options);
  // The time limit that was not asked for is one for the first piece only.
  const limited = options.timeoutMs !== undefined;
  let renewed = false;
  try {
    for (let failures = 1; ; failures++) {
      const pieces = new RangePieces(caller, request, options, scope, limited);
      try {
        yield* pieces.all();
        return undefined;
      } catch (error) {
        if (!(error instanceof ClientError) || scope.signal.aborted || pieces.begun) throw error;
        if (error.code === StatusCode.unimplemented) break;
        if (!renewed && pieces.tokenRefused) {
          renewed = true;
          continue;
        }
        const safe = isSafeRetry(error, 'repeatable', caller.endpointCount);
        if (pieces.hopeless || !safe || failures >= triesMax) throw error;
      }
      await scope.sleep(backoffMs(failures));
    }
    const timeoutMs = scope.remainingMs;
    yield await caller.unary(KV.methods.range, request, 'repeatable', { ...options, timeoutMs });
    return undefined;
  } finally {
    scope.end();
  }
}

/** One attempt. */
class RangePieces {
  readonly #caller: Caller;
  readonly #request: RangeRequest;
  readonly #options: CallOptions;
  readonly #scope: CallScope;
  readonly #limited: boolean;
  /** Whether a piece has arrived. */
  begun = false;
  /** No endpoint could be connected: to try again at once would not help. */
  hopeless = false;
  tokenRefused = false;

  constructor(
    caller: Caller,
    request: RangeRequest,
    options: CallOptions,
    scope: CallScope,
    limited: boolean,
  ) {
    this.#caller = caller;
    this.#request = request;
    this.#options = options;
    this.#scope = scope;
    this.#limited = limited;
  }

  async *all(): AsyncGenerator<RangeResponse, undefined, undefined> {
    const scope = this.#scope;
    const { signal } = scope;
    const open = await this.#caller.serverStream(
      KV.methods.rangeStream,
      this.#request,
      scope,
      this.#options.hasLeader,
    );
    try {
      for await (const { rangeResponse } of answers(open.stream, signal)) {
        if (rangeResponse === undefined) continue;
        this.begun = true;
        if (!this.#limited) scope.unlimited();
        yield rangeResponse;
      }
      return undefined;
    } catch (error) {
      if (!signal.aborted && error instanceof ClientError) {
        this.tokenRefused = this.#caller.streamFailed(open, error);
        this.hopeless = !open.connected && isUnsent(error);
      }
      throw error;
    }
  }
}
