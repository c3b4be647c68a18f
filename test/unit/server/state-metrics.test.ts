/** What metrics tell of a member's state. */
import { expect, test } from 'vitest';
import { exportIdentity, exportStateFacts, type StateFacts } from '../../../src/server/metrics.ts';
import { PrometheusMetrics } from '../../../src/telemetry/metrics.ts';

const facts: StateFacts = {
  revision: 1,
  compactedRevision: -1,
  keyCount: 0,
  sizeBytes: 0,
  stateHash: 0n,
  watchers: 0,
  slowWatchers: 0,
  watchStreams: 0,
  isLearner: false,
  operations: { ranges: 0, puts: 0, deletes: 0, txns: 0 },
};

async function linesOf(metrics: PrometheusMetrics, prefix: string): Promise<string[]> {
  const { text } = await metrics.scrape();
  return text.split('\n').filter((line) => line.startsWith(prefix));
}

test('operations are counted on when a snapshot has put another state in place', async () => {
  const metrics = new PrometheusMetrics();
  let now = facts;
  exportStateFacts(metrics, () => now);
  const counted = (): Promise<string[]> => linesOf(metrics, 'etcd_mvcc_put_total');
  const first = { ranges: 0, puts: 5, deletes: 0, txns: 0 };
  now = { ...facts, operations: first };
  expect(await counted()).toEqual(['etcd_mvcc_put_total 5']);
  first.puts = 7;
  expect(await counted()).toEqual(['etcd_mvcc_put_total 7']);
  now = { ...facts, operations: { ...first, puts: 2 } };
  expect(await counted()).toEqual(['etcd_mvcc_put_total 9']);
  expect(await counted()).toEqual(['etcd_mvcc_put_total 9']);
});

test('a learner says so, and stops when it is one no longer', async () => {
  const metrics = new PrometheusMetrics();
  let isLearner = true;
  exportStateFacts(metrics, () => ({ ...facts, isLearner }));
  expect(await linesOf(metrics, 'etcd_server_is_learner')).toEqual(['etcd_server_is_learner 1']);
  isLearner = false;
  expect(await linesOf(metrics, 'etcd_server_is_learner')).toEqual(['etcd_server_is_learner 0']);
});

test('a member tells its id as etcd prints it, and versions', async () => {
  const metrics = new PrometheusMetrics();
  exportIdentity(metrics, 0xabcn);
  expect(await linesOf(metrics, 'etcd_')).toEqual([
    'etcd_server_id{server_id="abc"} 1',
    expect.stringMatching(/^etcd_server_version\{server_version="3\.\d+\.\d+"\} 1$/),
    expect.stringMatching(/^etcd_cluster_version\{cluster_version="3\.\d+"\} 1$/),
  ]);
});
