/** What members count of themselves, in whole clusters. */
import { expect, test } from 'vitest';
import { VirtualCluster } from '../../support/virtual-cluster.ts';

async function led(): Promise<VirtualCluster> {
  const cluster = new VirtualCluster({ seed: 4 });
  await cluster.until(() => cluster.leader !== undefined);
  await cluster.pass(1_000);
  return cluster;
}

test('a leader that gets no time counts the heartbeats that its followers had to wait for', async () => {
  const cluster = await led();
  const leader = cluster.leader ?? expect.unreachable();
  const failures = (): number[] =>
    cluster.members.map(({ metrics }) =>
      metrics.valueOf('etcd_server_heartbeat_send_failures_total'),
    );
  expect(failures()).toEqual([0, 0, 0]);
  for (const member of cluster.members) member.pause();
  await cluster.pass(350);
  for (const member of cluster.members) member.resume();
  await cluster.pass(50);
  expect(cluster.leader).toBe(leader);
  expect(failures()).toEqual(cluster.members.map((each) => (each === leader ? 2 : 0)));
});

test('a read that no leader confirms in time is slow', async () => {
  const cluster = await led();
  const [left, ...others] = cluster.members;
  for (const member of others) member.crash();
  await cluster.pass(5_000);
  const slow = (): number => left?.metrics.valueOf('etcd_server_slow_read_indexes_total') ?? -1;
  let reason: unknown;
  left?.running?.server.linearizableRead().catch((error: unknown) => (reason = error));
  await cluster.pass(5_000);
  expect(slow()).toBe(0);
  await cluster.until(() => reason !== undefined);
  expect(slow()).toBe(1);
});

test('what was applied is told by operation', async () => {
  const cluster = await led();
  const value = { memberId: 1n, memberAttributes: { name: 'm', clientUrls: [] } };
  const request = { case: 'clusterMemberAttrSet', value } as const;
  let isOver = false;
  const over = (): boolean => (isOver = true);
  cluster.leader?.running?.server.request(request).then(over, over);
  await cluster.until(() => isOver);
  const labels = ['v3', 'ClusterMemberAttrSet', 'true'] as const;
  const name = 'etcd_server_apply_duration_seconds_count';
  expect(cluster.leader?.metrics.valueOf(name, ...labels)).toBe(1);
});
