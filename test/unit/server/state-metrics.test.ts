/** What metrics tell of a member's state. */
import { expect, test } from 'vitest';
import { noOperations } from '../../../src/mvcc/store-state.ts';
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
  sentEvents: 0,
  pendingEvents: 0,
  openViews: 0,
  self: 1n,
  members: [],
  isLearner: false,
  operations: noOperations(),
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
  const first = { ...noOperations(), puts: 5 };
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

test('operations are told under the names of etcd before 3.5, too', async () => {
  const metrics = new PrometheusMetrics();
  const operations = { ranges: 1, puts: 2, deletes: 3, txns: 4, putBytes: 5, removals: 6 };
  exportStateFacts(metrics, () => ({ ...facts, sizeBytes: 7, operations }));
  const names = /^etcd_(debugging_)?mvcc_\w*(range|put|delete|txn|size|compaction_keys)\w* /;
  const lines = (await linesOf(metrics, 'etcd_')).filter((line) => names.test(line));
  expect(lines.sort()).toEqual([
    'etcd_debugging_mvcc_db_compaction_keys_total 6',
    'etcd_debugging_mvcc_db_total_size_in_bytes 7',
    'etcd_debugging_mvcc_delete_total 3',
    'etcd_debugging_mvcc_put_total 2',
    'etcd_debugging_mvcc_range_total 1',
    'etcd_debugging_mvcc_total_put_size_in_bytes 5',
    'etcd_debugging_mvcc_txn_total 4',
    'etcd_mvcc_db_total_size_in_bytes 7',
    'etcd_mvcc_db_total_size_in_use_in_bytes 7',
    'etcd_mvcc_delete_total 3',
    'etcd_mvcc_put_total 2',
    'etcd_mvcc_range_total 1',
    'etcd_mvcc_txn_total 4',
  ]);
});

test('a gauge that only grows goes on with another state', async () => {
  const metrics = new PrometheusMetrics();
  let operations = { ...noOperations(), putBytes: 5 };
  exportStateFacts(metrics, () => ({ ...facts, operations }));
  const size = (): Promise<string[]> =>
    linesOf(metrics, 'etcd_debugging_mvcc_total_put_size_in_bytes');
  expect(await size()).toEqual(['etcd_debugging_mvcc_total_put_size_in_bytes 5']);
  operations = { ...noOperations(), putBytes: 2 };
  expect(await size()).toEqual(['etcd_debugging_mvcc_total_put_size_in_bytes 7']);
});

test('events and views are those of the moment', async () => {
  const metrics = new PrometheusMetrics();
  let now = { ...facts, sentEvents: 3, pendingEvents: 2, openViews: 1 };
  exportStateFacts(metrics, () => now);
  const lines = async (): Promise<string[]> => [
    ...(await linesOf(metrics, 'etcd_debugging_mvcc_events_total')),
    ...(await linesOf(metrics, 'etcd_debugging_mvcc_pending_events_total')),
    ...(await linesOf(metrics, 'etcd_mvcc_db_open_read_transactions')),
  ];
  expect(await lines()).toEqual([
    'etcd_debugging_mvcc_events_total 3',
    'etcd_debugging_mvcc_pending_events_total 2',
    'etcd_mvcc_db_open_read_transactions 1',
  ]);
  now = { ...facts, sentEvents: 5 };
  expect(await lines()).toEqual([
    'etcd_debugging_mvcc_events_total 5',
    'etcd_debugging_mvcc_pending_events_total 0',
    'etcd_mvcc_db_open_read_transactions 0',
  ]);
});

test('a member knows itself and others, until they are removed', async () => {
  const metrics = new PrometheusMetrics();
  let members = [10n, 11n];
  exportStateFacts(metrics, () => ({ ...facts, self: 10n, members }));
  const known = (): Promise<string[]> => linesOf(metrics, 'etcd_network_known_peers');
  expect(await known()).toEqual([
    'etcd_network_known_peers{Local="a",Remote="a"} 1',
    'etcd_network_known_peers{Local="a",Remote="b"} 1',
  ]);
  members = [10n];
  expect(await known()).toEqual([
    'etcd_network_known_peers{Local="a",Remote="a"} 1',
    'etcd_network_known_peers{Local="a",Remote="b"} 0',
  ]);
});
