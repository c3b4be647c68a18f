/** How long a member's disk takes, under etcd's names. */
import type { Clock } from '../base/clock.ts';
import { silentMetrics, type Counter, type Histogram, type Metrics } from '../base/metrics.ts';

/** Told of each synced write of a database: how long it took until it was durable. */
export type WriteObserver = (tookMs: number, sizeBytes: number) => void;

export interface DiskMetrics {
  /** Writes of the log of Raft (etcd: the WAL). */
  readonly log: WriteObserver;
  /** Writes of the state (etcd: the backend). */
  readonly state: WriteObserver;
}

/** Seconds: from 1 ms to 8 s, as etcd has them. */
const buckets = Array.from({ length: 14 }, (_, i) => 0.001 * 2 ** i);

function observer(took: Histogram, bytes?: Counter): WriteObserver {
  return (tookMs, sizeBytes) => {
    took.observe(tookMs / 1000);
    bytes?.increment(sizeBytes);
  };
}

export function createDiskMetrics(metrics: Metrics = silentMetrics): DiskMetrics {
  const histogram = (name: string, help: string): Histogram =>
    metrics.histogram(name, help, buckets)();
  return {
    log: observer(
      histogram(
        'etcd_disk_wal_fsync_duration_seconds',
        'Time until a write of the log was durable, syncing included.',
      ),
      metrics.counter(
        'etcd_disk_wal_write_bytes_total',
        'Bytes of keys and values written to the log.',
      )(),
    ),
    state: observer(
      histogram(
        'etcd_disk_backend_commit_duration_seconds',
        'Time until a write of the state was durable, syncing included.',
      ),
    ),
  };
}

/** Seconds: from 10 ms to 11 minutes, as etcd has them. */
const snapshotBuckets = Array.from({ length: 17 }, (_, i) => 0.01 * 2 ** i);

/** @returns how to begin to measure a snapshot; what that returns ends it, the first time */
export function snapshotTimer(clock: Clock, metrics: Metrics): () => () => void {
  const took = metrics.histogram(
    'etcd_disk_backend_snapshot_duration_seconds',
    'Time to send a snapshot.',
    snapshotBuckets,
  )();
  return () => {
    const startMs = clock.monotonicMs();
    let isOpen = true;
    return () => {
      if (isOpen) took.observe((clock.monotonicMs() - startMs) / 1000);
      isOpen = false;
    };
  };
}
