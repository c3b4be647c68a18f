import { expect, test } from 'vitest';
import { HeartbeatWatch } from '../../../src/server/heartbeat-watch.ts';
import { RecordedMetrics } from '../../support/recorded-metrics.ts';

test('a heartbeat that comes more than an interval late failed for each that waits for it', () => {
  const metrics = new RecordedMetrics();
  let leads = false;
  const isLeader = (): boolean => leads;
  const watch = new HeartbeatWatch({ metrics, heartbeatMs: 100, isLeader, others: () => 2 });
  const failures = (delayMs: number): number => {
    watch.tick(delayMs);
    return metrics.valueOf('etcd_server_heartbeat_send_failures_total');
  };
  expect(failures(500)).toBe(0);
  leads = true;
  // It was no leader at the tick before: nobody waited for a heartbeat of it.
  expect(failures(500)).toBe(0);
  expect(failures(100)).toBe(0);
  expect(failures(100.5)).toBe(2);
  leads = false;
  expect(failures(500)).toBe(2);
});
