/** Keeping leases alive: as one renewal after the other, or in the background. */
import { StatusCode } from '../base/errors.ts';
import { LeaseKeepAliveRequest, type LeaseKeepAliveResponse } from '../gen/rpc.ts';
import { Lease } from '../gen/services.ts';
import { CallScope } from './call-scope.ts';
import type { Caller } from './caller.ts';
import { ClientError, deadlineExceeded } from './errors.ts';
import type { CallOptions } from './options.ts';
import { backoffMs } from './retry.ts';

/** Renewals in the time of a lease, as in etcd's client: two may fail. */
const renewalsPerTtl = 3;
/** For a renewal, even if little is left of the lease. */
const shortestRenewalMs = 100;
/** Longer pauses would only be a risk. */
const longestPauseMs = 60 * 60 * 1000;
/** Node's timers hold no more than 2^31-1 ms; renewals come much earlier. */
const timerMaxMs = 2 ** 31 - 1;

const missing = (): ClientError =>
  new ClientError(StatusCode.notFound, 'etcdserver: requested lease not found');

/**
 * Renews once. A renewal may be repeated at will, so another member is asked if one fails. The
 * stream that the call is for servers holds one request here.
 */
function renew(caller: Caller, id: bigint, options?: CallOptions): Promise<LeaseKeepAliveResponse> {
  const request = LeaseKeepAliveRequest.create({ id });
  return caller.unary(Lease.methods.leaseKeepAlive, request, 'repeatable', options);
}

/** @throws ClientError NOT_FOUND if there is no such lease, and as other calls */
export async function keepAliveOnce(
  caller: Caller,
  id: bigint,
  options?: CallOptions,
): Promise<LeaseKeepAliveResponse> {
  const answer = await renew(caller, id, options);
  if (answer.ttl <= 0) throw missing();
  return answer;
}

/** What a renewal gave: its answer, and until when the lease lives at least. */
interface Renewal {
  readonly answer: LeaseKeepAliveResponse;
  /** In milliseconds of `performance.now()`. */
  readonly untilMs: number;
}

/**
 * Renews at once and then three times in the lease's time. Ends when there is no such lease.
 *
 * @param untilMs until when it is known to live, and failures are no reason to give up
 * @throws ClientError, or the signal's reason
 */
async function* renewals(
  caller: Caller,
  id: bigint,
  { signal, ...call }: CallOptions,
  untilMs: number,
): AsyncGenerator<Renewal, undefined, undefined> {
  const scope = new CallScope(caller.closing, Infinity, signal);
  let livesUntilMs = untilMs;
  let failures = 0;
  try {
    for (;;) {
      const startMs = performance.now();
      let waitMs: number;
      try {
        const timeoutMs = timeOf(call.timeoutMs ?? caller.requestTimeoutMs, livesUntilMs - startMs);
        const answer = await renew(caller, id, { ...call, timeoutMs, signal: scope.signal });
        if (answer.ttl <= 0) return undefined;
        failures = 0;
        // From when it was asked for: what the server counts begins no earlier.
        livesUntilMs = startMs + answer.ttl * 1000;
        yield { answer, untilMs: livesUntilMs };
        const pauseMs = Math.min((answer.ttl * 1000) / renewalsPerTtl, longestPauseMs);
        waitMs = startMs + pauseMs - performance.now();
      } catch (error) {
        const given = scope.signal.aborted || !(error instanceof ClientError);
        if (given || performance.now() >= livesUntilMs) throw error;
        waitMs = backoffMs(++failures);
      }
      await scope.sleep(Math.max(0, waitMs));
    }
  } finally {
    scope.end();
  }
}

/** A member that does not answer must leave time for another one to. */
function timeOf(timeoutMs: number, leftMs: number): number {
  return leftMs > 0 ? Math.min(timeoutMs, Math.max(leftMs / 2, shortestRenewalMs)) : timeoutMs;
}

/**
 * Renews at once and then three times in the lease's time, and gives each answer. Ends when there
 * is no such lease any more.
 *
 * @throws ClientError if the first renewal fails, or all do until the lease's time is over; the
 * reason of the signal if that was aborted
 */
export async function* keepAlive(
  caller: Caller,
  id: bigint,
  options: CallOptions,
): AsyncGenerator<LeaseKeepAliveResponse, undefined, undefined> {
  for await (const { answer } of renewals(caller, id, options, -Infinity)) yield answer;
}

/**
 * A lease that is kept alive in the background, until it is revoked or released, the client closes,
 * or it is lost.
 */
export interface HeldLease extends AsyncDisposable {
  readonly id: bigint;
  /** As the server granted it, which may be longer than asked for. */
  readonly ttlSeconds: number;
  /**
   * Aborted when the lease is gone, or may be: its time has passed without a renewal. Its reason is
   * a {@link ClientError}. What the lease stood for must end with it.
   */
  readonly lost: AbortSignal;
  /** Ends it, and with it all keys that hang on it. */
  revoke(options?: CallOptions): Promise<void>;
  /** Renews it no more: it runs out by itself. */
  release(): void;
}

export class BackgroundLease implements HeldLease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  readonly #lost = new AbortController();
  readonly #released = new AbortController();
  readonly #revoke: (options?: CallOptions) => Promise<unknown>;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param askedMs when the grant was asked for, in milliseconds of `performance.now()`
   * @param revoke ends it at the server
   */
  constructor(
    caller: Caller,
    granted: { readonly id: bigint; readonly ttl: number },
    askedMs: number,
    revoke: (options?: CallOptions) => Promise<unknown>,
  ) {
    this.id = granted.id;
    this.ttlSeconds = granted.ttl;
    this.#revoke = revoke;
    const untilMs = askedMs + granted.ttl * 1000;
    this.#allow(untilMs);
    void this.#keep(caller, untilMs);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async revoke(options?: CallOptions): Promise<void> {
    this.release();
    await this.#revoke(options);
  }

  release(): void {
    clearTimeout(this.#timer);
    this.#released.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.revoke();
  }

  async #keep(caller: Caller, grantedUntilMs: number): Promise<void> {
    const { signal } = this.#released;
    try {
      for await (const { untilMs } of renewals(caller, this.id, { signal }, grantedUntilMs)) {
        this.#allow(untilMs);
      }
      this.#lose(missing());
    } catch (error) {
      this.#lose(error);
    }
  }

  /** Counts it as lost from `untilMs` on, unless that is moved before. */
  #allow(untilMs: number): void {
    // An answer may arrive in the turn in which it is released: no timer may hold the process then.
    if (this.#released.signal.aborted) return;
    clearTimeout(this.#timer);
    const leftMs = Math.min(untilMs - performance.now(), timerMaxMs);
    this.#timer = setTimeout(() => this.#lose(deadlineExceeded()), leftMs);
  }

  #lose(error: unknown): void {
    if (this.#released.signal.aborted) return;
    this.release();
    this.#lost.abort(error);
  }
}
