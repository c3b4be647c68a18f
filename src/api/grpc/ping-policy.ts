/**
 * Closes connections whose clients ping more often than allowed, as grpc-go's server does: a
 * careless keepalive setting on thousands of clients would otherwise keep members busy answering.
 */
import type { Clock } from '../../base/clock.ts';
import { ConnectionError, ErrorCode } from '../../http2/frames.ts';

/** Pings before their time that are forgiven between two answers. */
const MAX_PING_STRIKES = 2;
/** Without an open call, pings may come only this often (grpc-go's fixed value). */
const IDLE_PING_INTERVAL_MS = 2 * 3_600_000;

/** A connection as the policy sees it. */
export interface PingedConnection {
  readonly streamCount: number;
  /** Whether any part of an answer was sent since the policy set it to false. */
  hasSent: boolean;
  fail(error: ConnectionError): void;
}

/** The policy for one connection. */
export class PingPolicy {
  readonly #minTimeMs: number;
  readonly #clock: Clock;
  #lastPingMs = -Infinity;
  #strikes = 0;

  /** @param minTimeMs shortest time between two pings; 0 allows any number */
  constructor(minTimeMs: number, clock: Clock) {
    this.#minTimeMs = minTimeMs;
    this.#clock = clock;
  }

  pinged(connection: PingedConnection): void {
    if (this.#minTimeMs <= 0) return;
    const nowMs = this.#clock.monotonicMs();
    if (connection.hasSent) this.#strikes = 0;
    connection.hasSent = false;
    const allowedMs = connection.streamCount > 0 ? this.#minTimeMs : IDLE_PING_INTERVAL_MS;
    if (nowMs - this.#lastPingMs < allowedMs) this.#strikes++;
    this.#lastPingMs = nowMs;
    if (this.#strikes <= MAX_PING_STRIKES) return;
    connection.fail(new ConnectionError(ErrorCode.enhanceYourCalm, 'too_many_pings'));
  }
}
