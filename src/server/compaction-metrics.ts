/** etcd's metrics of how long compactions take. */
import type { Clock } from '../base/clock.ts';
import type { Metrics } from '../base/metrics.ts';

/** Milliseconds: from 1 ms to 4 s, as etcd has them. */
const stepBuckets = Array.from({ length: 13 }, (_, i) => 2 ** i);
/** Milliseconds: from 0.1 s to 14 minutes, as etcd has them. */
const totalBuckets = Array.from({ length: 14 }, (_, i) => 100 * 2 ** i);

export interface CompactionTimes {
  /** One step of a compaction, during which nothing else is done. */
  step(tookMs: number): void;
  /** A whole compaction, with the rests between its steps. */
  finished(tookMs: number): void;
}

export function createCompactionTimes(metrics: Metrics, clock: Clock): CompactionTimes {
  const pause = metrics.histogram(
    'etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds',
    'Time of each step of a compaction.',
    stepBuckets,
  )();
  const total = metrics.histogram(
    'etcd_debugging_mvcc_db_compaction_total_duration_milliseconds',
    'Time of a compaction as a whole.',
    totalBuckets,
  )();
  const last = metrics.gauge(
    'etcd_debugging_mvcc_db_compaction_last',
    'When the last compaction ended, in Unix time; 0 before the first.',
  )();
  return {
    step: (tookMs) => {
      pause.observe(tookMs);
    },
    finished: (tookMs) => {
      total.observe(tookMs);
      last.set(Math.floor(clock.wallMs() / 1000));
    },
  };
}
