/** What the gRPC adapter may be told, and the limits of what it lets clients do. */
import type { Clock } from '../../base/clock.ts';
import type { EtcdErrorName } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { LivenessTimes } from '../../http2/liveness.ts';
import type { MemoryLimits } from './connection-memory.ts';

/** What a message may weigh beyond the request in it: etcd's allowance. */
export const REQUEST_OVERHEAD_BYTES = 512 * 1024;
/**
 * Calls that one connection may have open, however many the flag allows; clients wait with more.
 * An idle watch costs some 18 KB, and a burst of so many half a second.
 */
export const MAX_STREAMS_PER_CONNECTION = 10_000;
/** Requests that have come in part: some fifty of the largest on a connection, hundreds in all. */
export const REQUEST_LIMITS: MemoryLimits = {
  connectionBytes: 128 * 1024 * 1024,
  totalBytes: 512 * 1024 * 1024,
  stallMs: 5_000,
};
/** Answers that are not sent yet: at least one of the largest, in the making and encoded. */
export const ANSWER_LIMITS: MemoryLimits = {
  connectionBytes: 512 * 1024 * 1024,
  totalBytes: 1024 * 1024 * 1024,
  stallMs: 5_000,
};
/** Connections on which nothing moved for so long are asked whether they live. */
export const IDLE_PROBE_MS = 60_000;
/** Time to answer that: long enough for a client that is busy or far. */
export const PROBE_TIMEOUT_MS = 20_000;
/** Node's timers end here; an interval beyond is no interval. */
const MAX_INTERVAL_MS = 2 ** 31 - 1;

export interface GrpcAdapterOptions {
  readonly logger: Logger;
  readonly metrics?: Metrics;
  /** Adds a histogram of durations. */
  readonly extensiveMetrics?: boolean;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  /** Shortest time between a client's pings; 0 allows any. */
  readonly keepaliveMinTimeMs: number;
  /** Time between our pings to a client; 0 sends none. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Calls of one message each that take longer are logged; 0 logs none. */
  readonly slowCallMs?: number;
  readonly clock: Clock;
  /** Whether the member knows of a leader, which clients may demand; always if absent. */
  readonly hasLeader?: () => boolean;
  /** Why calls of a method, by its path, are refused for now; none is if absent. */
  readonly refusal?: (path: string, request: unknown) => EtcdErrorName | undefined;
  /** For tests; the defaults are named above. */
  readonly idleProbeMs?: number;
  readonly requestLimits?: MemoryLimits;
  readonly answerLimits?: MemoryLimits;
  readonly probeTimeoutMs?: number;
  readonly openingTimeoutMs?: number;
}

/** Pings of ours need both an interval and a timeout, as in etcd; we send some in any case. */
export function livenessOf(options: GrpcAdapterOptions): LivenessTimes {
  const { keepaliveIntervalMs, keepaliveTimeoutMs } = options;
  const idleMs = options.idleProbeMs ?? IDLE_PROBE_MS;
  if (keepaliveIntervalMs > 0 && keepaliveTimeoutMs > 0 && keepaliveIntervalMs <= idleMs) {
    const timeoutMs = Math.min(keepaliveTimeoutMs, MAX_INTERVAL_MS);
    return { idleMs: keepaliveIntervalMs, timeoutMs };
  }
  return { idleMs, timeoutMs: options.probeTimeoutMs ?? PROBE_TIMEOUT_MS };
}
