/** What is measured of snapshots and hashes that clients ask for. */
import { expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { defaultConfig } from '../../sim/settings.ts';
import { maintenanceBackend } from '../../../src/daemon/maintenance-backend.ts';
import { PutRequest } from '../../../src/gen/rpc.ts';
import { VirtualCluster } from '../../support/virtual-cluster.ts';

async function setUp() {
  const cluster = new VirtualCluster({ seed: 1, members: 1 });
  await cluster.until(() => cluster.leader !== undefined);
  const [{ running, metrics } = expect.unreachable()] = cluster.members;
  const member = running ?? expect.unreachable();
  const value = PutRequest.create({ key: utf8('k'), value: utf8('v') });
  await ended(cluster, member.server.request({ case: 'put', value }));
  const backend = maintenanceBackend(member, defaultConfig, cluster.clock, metrics);
  return { cluster, metrics, backend };
}

/** What a promise comes to, with the clock. */
async function ended<T>(cluster: VirtualCluster, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const over = (): boolean => (isOver = true);
  promise.then(over, over);
  await cluster.until(() => isOver);
  return promise;
}

test('a hash is measured when it is there', async () => {
  const { cluster, metrics, backend } = await setUp();
  const count = (name: string): number => metrics.valueOf(`etcd_mvcc_${name}_seconds_count`);
  await ended(cluster, backend.hashOfState(new AbortController().signal));
  expect(count('hash_duration')).toBe(1);
  expect(count('hash_rev_duration')).toBe(0);
  await ended(cluster, backend.hashByRevision(0));
  await expect(ended(cluster, backend.hashByRevision(1000))).rejects.toThrow('future');
  expect(count('hash_duration')).toBe(1);
  expect(count('hash_rev_duration')).toBe(1);
});

test('a snapshot is measured until it is closed, and holds a view open until then', async () => {
  const { cluster, metrics, backend } = await setUp();
  const name = 'etcd_disk_backend_snapshot_duration_seconds';
  const views = (): number => metrics.valueOf('etcd_mvcc_db_open_read_transactions');
  const file = await ended(cluster, backend.openDatabase(new AbortController().signal));
  await cluster.pass(2_000);
  expect([views(), metrics.valueOf(`${name}_count`)]).toEqual([1, 0]);
  file.close();
  file.close();
  expect([views(), metrics.valueOf(`${name}_count`)]).toEqual([0, 1]);
  expect(metrics.valueOf(`${name}_sum`)).toBeGreaterThanOrEqual(2);
});
