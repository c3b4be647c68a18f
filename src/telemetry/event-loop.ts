/** Watches how late the event loop runs: everything in a member waits for it. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';

/** How often the loop is asked whether it is late. */
const RESOLUTION_MS = 10;
/** Time between two looks at what was measured. */
const REPORT_INTERVAL_MS = 1_000;
const NANOSECONDS_PER_MS = 1e6;

export interface EventLoopWatchOptions {
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** A longer stall is logged: heartbeats were late by as much. */
  readonly warnAboveMs: number;
  /** For tests; a second unless given. */
  readonly reportIntervalMs?: number;
}

/** Starts measuring; returns how to stop. */
export function watchEventLoop(options: EventLoopWatchOptions): () => void {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const worst = options.metrics.gauge(
    'quorate_event_loop_stall_seconds',
    'The longest time that the event loop was late, of the last second.',
  )();
  const total = options.metrics.counter(
    'quorate_event_loop_stalls_total',
    'Seconds in which the event loop was late by more than a heartbeat interval.',
  )();
  histogram.enable();
  const timer = setInterval(() => {
    const stallMs = Math.max(0, histogram.max / NANOSECONDS_PER_MS - RESOLUTION_MS);
    histogram.reset();
    worst.set(stallMs / 1000);
    if (stallMs <= options.warnAboveMs) return;
    total.increment();
    options.logger.warn(
      { stallMs: Math.round(stallMs), expectedMs: options.warnAboveMs },
      'the event loop was late: leader heartbeats may have been too',
    );
  }, options.reportIntervalMs ?? REPORT_INTERVAL_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    histogram.disable();
  };
}
