/** The header grpc-timeout: a number of up to eight digits and a unit. */

import type { Clock, Timer } from '../../base/clock.ts';
import { StatusCode } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';

/** Milliseconds of each unit. */
export const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Clients know their own deadline; ours may be later by as much. */
const GRANULARITY_MS = 20;
/** Node's timers end here. No call is open for 24 days. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Milliseconds until the deadline, Infinity if it is too far to matter, undefined if the header is
 * malformed. Rounded up, so that many calls share a few of Node's timer lists.
 */
function timeoutMsOf(header: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(header);
  if (match === null) return undefined;
  const ms = Number(match[1]) * (unitMs[match[2] ?? ''] ?? NaN);
  if (ms > MAX_TIMER_MS) return Infinity;
  return Math.ceil(ms / GRANULARITY_MS) * GRANULARITY_MS;
}

/** What a call is told that takes too long. */
export const deadlineExceeded: StatusObject = {
  code: StatusCode.deadlineExceeded,
  details: 'context deadline exceeded',
};

/**
 * Starts the timer that a call's header asks for; undefined if none is needed. Of a header that is
 * malformed, what the call is told.
 */
export function deadlineOf(
  header: string,
  clock: Clock,
  expired: () => void,
): Timer | StatusObject | undefined {
  const timeoutMs = timeoutMsOf(header);
  if (timeoutMs === Infinity) return undefined;
  if (timeoutMs !== undefined) return clock.after(timeoutMs, expired);
  return { code: StatusCode.internal, details: `malformed grpc-timeout: ${header}` };
}
