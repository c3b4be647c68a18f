/** Promotions of learners are counted by the leader, whoever was asked for them. */
import { expect, test } from 'vitest';
import type { Member as ClusterMember } from '../../../src/cluster/membership.ts';
import type { MemberChanges } from '../../../src/server/member-changes.ts';
import { VirtualCluster } from '../../support/virtual-cluster.ts';

const notReady = 'etcdserver: can only promote a learner member which is in sync with leader';

async function setUp() {
  const cluster = new VirtualCluster({ seed: 3, strictReconfigCheck: false });
  await cluster.until(() => cluster.leader !== undefined);
  const leader = cluster.leader ?? expect.unreachable();
  const follower = cluster.members.find((each) => each !== leader);
  const changes = (): MemberChanges => follower?.running?.changes ?? expect.unreachable();
  const ended = async <T>(promise: Promise<T>): Promise<T | undefined> => {
    const seen: { over: boolean; value?: T } = { over: false };
    promise.then(
      (value) => Object.assign(seen, { over: true, value }),
      () => (seen.over = true),
    );
    await cluster.until(() => seen.over);
    return seen.value;
  };
  const counts = (name: string, ...labels: string[]): number[] =>
    cluster.members.map(({ metrics }) =>
      metrics.valueOf(`etcd_server_learner_promote_${name}`, ...labels),
    );
  const atLeader = (count: number): number[] =>
    cluster.members.map((each) => (each === leader ? count : 0));
  return { cluster, changes, ended, counts, atLeader };
}

test('a failed promotion is counted under its reason', async () => {
  const { changes, ended, counts, atLeader } = await setUp();
  const added = await ended(changes().add(['http://d:1'], true));
  const learner = added?.member.id ?? expect.unreachable();
  for (const id of [learner, 404n, learner]) await ended(changes().promote(id));
  expect(counts('failures', notReady)).toEqual(atLeader(2));
  expect(counts('failures', 'membership: ID not found')).toEqual(atLeader(1));
  expect(counts('successes')).toEqual(atLeader(0));
});

test('a promotion is counted once, and one of a voter fails', async () => {
  const { cluster, changes, ended, counts, atLeader } = await setUp();
  const added = await ended(changes().add(['http://d:1'], true));
  const { member, members } = added ?? expect.unreachable();
  const joined = cluster.join(member.id, members);
  const isThere = (each: ClusterMember): boolean => each.id === member.id;
  await cluster.until(() => joined.running?.membership.list().some(isThere) === true);
  // The leader hears with the next heartbeat how far the learner is.
  await cluster.pass(1_000);
  await ended(changes().promote(member.id));
  expect(counts('successes')).toEqual(atLeader(1));
  await ended(changes().promote(member.id));
  const reason = 'membership: can only promote a learner member';
  expect(counts('failures', reason)).toEqual(atLeader(1));
  expect(counts('successes')).toEqual(atLeader(1));
});
