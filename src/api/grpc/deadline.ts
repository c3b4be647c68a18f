/** The header grpc-timeout: a number of up to eight digits and a unit. */

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
export function timeoutMsOf(header: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(header);
  if (match === null) return undefined;
  const ms = Number(match[1]) * (unitMs[match[2] ?? ''] ?? NaN);
  if (ms > MAX_TIMER_MS) return Infinity;
  return Math.ceil(ms / GRANULARITY_MS) * GRANULARITY_MS;
}
