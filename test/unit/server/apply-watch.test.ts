import { expect, test } from 'vitest';
import { EtcdError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { AppliedRequest } from '../../../src/apply/applier.ts';
import { ApplyWatch } from '../../../src/server/apply-watch.ts';
import { RecordedMetrics } from '../../support/recorded-metrics.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

test('the time that entries take is told by operation and success, in the words of etcd', () => {
  const clock = new VirtualClock();
  const metrics = new RecordedMetrics();
  const watch = new ApplyWatch({ clock, logger: silentLogger, metrics });
  const apply = (applied: AppliedRequest | undefined, tookMs: number): void => {
    const startMs = watch.begin();
    clock.advance(tookMs);
    watch.end(startMs, new Uint8Array(0), applied);
  };
  const failed = { error: new EtcdError('leaseNotFound') };
  apply(undefined, 1);
  apply({ id: 1n, kind: 'put', outcome: {} }, 500);
  apply({ id: 2n, kind: 'put', outcome: {} }, 1000);
  apply({ id: 3n, kind: 'put', outcome: failed }, 1);
  apply({ id: 4n, kind: 'leaseRevoke', outcome: failed }, 1);
  apply({ id: 5n, kind: 'compaction', outcome: { error: new EtcdError('compacted') } }, 1);
  const name = 'etcd_server_apply_duration_seconds';
  expect(metrics.valueOf(`${name}_count`, 'v3', 'Put', 'true')).toBe(2);
  expect(metrics.valueOf(`${name}_sum`, 'v3', 'Put', 'true')).toBe(1.5);
  expect(metrics.valueOf(`${name}_count`, 'v3', 'Put', 'false')).toBe(1);
  expect(metrics.valueOf(`${name}_count`, 'v3', 'LeaseRevoke', 'false')).toBe(1);
  expect(metrics.valueOf(`${name}_count`, 'v3', 'Compaction', 'true')).toBe(1);
});
