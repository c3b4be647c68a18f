/**
 * Closes connections whose clients ping more often than allowed, as grpc-go's server does: a
 * careless keepalive setting on thousands of clients would otherwise keep members busy answering.
 */
import type { ServerHttp2Session } from 'node:http2';
import type { Clock } from '../../base/clock.ts';

/** Pings before their time that are forgiven between two answers. */
const MAX_PING_STRIKES = 2;
/** Without an open call, pings may come only this often (grpc-go's fixed value). */
const IDLE_PING_INTERVAL_MS = 2 * 3_600_000;
/** A ping's acknowledgement on the wire; more than that was sent means that we answered calls. */
const PING_FRAME_BYTES = 17;
const ENHANCE_YOUR_CALM = 11;

export interface PingPolicy {
  /** Shortest time between two pings; 0 allows any number. */
  readonly minTimeMs: number;
  readonly clock: Clock;
  /** Open calls that last long enough for pings. */
  longCalls(): number;
  /** Bytes sent so far on the session's connection. */
  bytesWritten(): number;
}

export function enforcePingPolicy(session: ServerHttp2Session, policy: PingPolicy): void {
  if (policy.minTimeMs <= 0) return;
  let lastPingMs = -Infinity;
  let strikes = 0;
  let bytesAtLastPing = 0;
  let isClosing = false;
  session.on('ping', () => {
    const nowMs = policy.clock.monotonicMs();
    const bytes = policy.bytesWritten();
    if (bytes - bytesAtLastPing > PING_FRAME_BYTES) strikes = 0;
    bytesAtLastPing = bytes;
    const allowedMs = policy.longCalls() > 0 ? policy.minTimeMs : IDLE_PING_INTERVAL_MS;
    if (nowMs - lastPingMs < allowedMs) strikes++;
    lastPingMs = nowMs;
    if (strikes <= MAX_PING_STRIKES || isClosing || session.destroyed) return;
    isClosing = true;
    session.goaway(ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'));
    // Not at once: more frames may wait in what was received, and Node fails an assertion, which
    // ends the process, if some of them are for streams that are gone (nodejs/node#64850).
    policy.clock.defer(() => session.destroy());
  });
}
