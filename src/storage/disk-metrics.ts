/** How long a member's disk takes, under etcd's names. */
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
