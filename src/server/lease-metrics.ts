/** etcd's metrics of leases: names, help texts in our words. */
import type { Metrics } from '../base/metrics.ts';

export interface LeaseMetrics {
  granted(ttlSeconds: number): void;
  revoked(): void;
  renewed(): void;
  /** Revoked because it had run out, by this member. */
  expired(): void;
}

/** Powers of two from one second to half a year, as etcd has them. */
const ttlBucketsSeconds = Array.from({ length: 24 }, (_, i) => 2 ** i);

export function createLeaseMetrics(metrics: Metrics): LeaseMetrics {
  const granted = metrics.counter('etcd_debugging_lease_granted_total', 'Leases granted.')();
  const revoked = metrics.counter('etcd_debugging_lease_revoked_total', 'Leases revoked.')();
  const renewed = metrics.counter(
    'etcd_debugging_lease_renewed_total',
    'Renewals of leases by this member while it led.',
  )();
  const ttl = metrics.histogram(
    'etcd_debugging_lease_ttl_total',
    'Time to live of granted leases in seconds.',
    ttlBucketsSeconds,
  )();
  const expired = metrics.counter(
    'etcd_debugging_server_lease_expired_total',
    'Leases that ran out while this member led.',
  )();
  return {
    granted: (seconds) => {
      granted.increment();
      ttl.observe(seconds);
    },
    revoked: () => {
      revoked.increment();
    },
    renewed: () => {
      renewed.increment();
    },
    expired: () => {
      expired.increment();
    },
  };
}
