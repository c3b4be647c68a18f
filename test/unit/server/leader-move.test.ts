/** Leadership that is moved on request, in whole clusters. */
import { expect, test } from 'vitest';
import { EtcdError } from '../../../src/base/errors.ts';
import { moveLeader } from '../../../src/server/leader-move.ts';
import { VirtualCluster, type VirtualMember } from '../../support/virtual-cluster.ts';

async function started(seed: number): Promise<VirtualCluster> {
  const cluster = new VirtualCluster({ seed });
  await cluster.until(() =>
    cluster.members.every((each) => (each.running?.server.leader ?? 0n) > 0n),
  );
  return cluster;
}

async function move(
  cluster: VirtualCluster,
  from: VirtualMember | undefined,
  to: bigint,
): Promise<unknown> {
  if (from?.running === undefined) throw new Error('the member is down');
  let outcome: unknown;
  moveLeader(from.running, to, { clock: cluster.clock, heartbeatMs: 100 }).then(
    () => (outcome = 'moved'),
    (error: unknown) => (outcome = error instanceof EtcdError ? error.reason : error),
  );
  await cluster.until(() => outcome !== undefined);
  return outcome;
}

const followers = (cluster: VirtualCluster): readonly VirtualMember[] =>
  cluster.members.filter((each) => each !== cluster.leader);

test('goes to the member that was named, and nowhere else', async () => {
  const cluster = await started(1);
  for (let i = 0; i < 4; i++) {
    const { leader } = cluster;
    const target = followers(cluster)[i % 2] as VirtualMember;
    expect(await move(cluster, leader, target.id)).toBe('moved');
    await cluster.until(() => cluster.leader === target);
  }
  const { leader } = cluster;
  expect(await move(cluster, leader, leader?.id ?? 0n)).toBe('moved');
  expect(cluster.leader).toBe(leader);
});

test('is refused by who does not lead, and for members that there are not', async () => {
  const cluster = await started(2);
  const [follower] = followers(cluster);
  expect(await move(cluster, follower, follower?.id ?? 0n)).toBe('notLeader');
  expect(await move(cluster, cluster.leader, 404n)).toBe('badLeaderTransferee');
});

test('has a limit of time, and the leader goes on where the other is down', async () => {
  const cluster = await started(3);
  const { leader } = cluster;
  const [target] = followers(cluster) as [VirtualMember];
  target.crash();
  expect(await move(cluster, leader, target.id)).toBe('timeoutLeaderTransfer');
  await cluster.until(() => cluster.leader !== undefined);
});

test('ends with the member that was asked', async () => {
  const cluster = await started(4);
  const { leader } = cluster;
  const [target] = followers(cluster) as [VirtualMember];
  const begun = cluster.clock.monotonicMs();
  target.crash();
  // Nobody takes over: then it is not a new leader that ends the wait.
  for (const other of followers(cluster)) other.crash();
  const moved = move(cluster, leader, target.id);
  leader?.stop(() => undefined);
  expect(await moved).toBe('stopped');
  expect(cluster.clock.monotonicMs() - begun).toBeLessThan(3_000);
});
