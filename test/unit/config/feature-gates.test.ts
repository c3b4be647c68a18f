import { expect, test } from 'vitest';
import { exportFeatureGates } from '../../../src/config/feature-gates.ts';
import { PrometheusMetrics } from '../../../src/telemetry/metrics.ts';

test('what a member has of the features of etcd 3.6 is shown, with their stages', async () => {
  const metrics = new PrometheusMetrics();
  exportFeatureGates(metrics);
  const { text } = await metrics.scrape();
  const lines = text.split('\n').filter((line) => line.startsWith('etcd_'));
  const series = (gate: string, stage: string, value: number): string =>
    `etcd_server_feature_enabled{name="${gate}",stage="${stage}"} ${value}`;
  expect(lines).toEqual([
    series('CompactHashCheck', 'ALPHA', 0),
    series('InitialCorruptCheck', 'ALPHA', 0),
    series('LeaseCheckpoint', 'ALPHA', 1),
    series('LeaseCheckpointPersist', 'ALPHA', 1),
    series('SetMemberLocalAddr', 'ALPHA', 0),
    series('StopGRPCServiceOnDefrag', 'ALPHA', 0),
    series('TxnModeWriteWithSharedBuffer', 'BETA', 0),
    series('AllAlpha', 'ALPHA', 0),
    series('AllBeta', 'BETA', 0),
  ]);
});
