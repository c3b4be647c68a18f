/** Members whose apply deviates, on whole clusters in virtual time: found, named and put away. */
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import type { Command } from '../../../src/apply/request.ts';
import { AlarmAction, AlarmType, PutRequest } from '../../../src/gen/rpc.ts';
import type { Member } from '../../../src/server/member.ts';
import { stateHashOf } from '../../../src/server/state.ts';
import { VirtualCluster, type VirtualMember } from '../../support/virtual-cluster.ts';

const { corrupt } = AlarmType;

async function started(
  seed: number,
  options: Partial<ConstructorParameters<typeof VirtualCluster>[0]> = {},
): Promise<VirtualCluster> {
  const cluster = new VirtualCluster({ seed, ...options });
  await untilLed(cluster);
  return cluster;
}

async function untilLed(cluster: VirtualCluster): Promise<void> {
  await cluster.until(() =>
    cluster.members.every(({ running }) => (running?.server.leader ?? 0n) > 0n),
  );
}

function up({ running }: VirtualMember): Member {
  if (running === undefined) throw new Error('the member is down');
  return running;
}

function leaderOf({ leader }: VirtualCluster): VirtualMember {
  if (leader === undefined) throw new Error('nobody leads');
  return leader;
}

function followersOf(cluster: VirtualCluster): VirtualMember[] {
  return cluster.members.filter((each) => each !== cluster.leader && each.running !== undefined);
}

/** The reason of the refusal, `ok` if there is none. */
async function ask(cluster: VirtualCluster, command: Command): Promise<unknown> {
  let outcome: unknown;
  up(leaderOf(cluster))
    .server.request(command)
    .then(
      () => (outcome = 'ok'),
      (error: unknown) => (outcome = error instanceof EtcdError ? error.reason : error),
    );
  await cluster.until(() => outcome !== undefined);
  return outcome;
}

async function write(cluster: VirtualCluster, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const value = PutRequest.create({ key: utf8(`k${i % 7}`), value: utf8(String(i)) });
    expect(await ask(cluster, { case: 'put', value })).toBe('ok');
  }
}

/** Lets all members apply what is committed. */
async function settled(cluster: VirtualCluster): Promise<void> {
  const { committedIndex } = up(leaderOf(cluster)).server;
  await cluster.until(() =>
    cluster.members.every(
      ({ running }) => running === undefined || running.server.appliedIndex >= committedIndex,
    ),
  );
}

/** Changes a member's state as no entry does. Returns the first index that shows it. */
function deviate(member: VirtualMember, lease = 77n): number {
  up(member).lessor.grant(lease, 1_000, 5n);
  return up(member).server.appliedIndex + 1;
}

const corruptMembers = (member: VirtualMember): bigint[] =>
  up(member)
    .alarms.list(corrupt)
    .map(({ memberId }) => memberId);

const disarm = (memberId: bigint): Command => ({
  case: 'alarm',
  value: { action: AlarmAction.deactivate, memberId, alarm: corrupt, quotaBytes: 0 },
});

describe('members with equal states', () => {
  test('agree on all entries, through elections, restarts and snapshots', async () => {
    const cluster = await started(1, { snapshotCount: 20, catchUpEntries: 5 });
    for (let round = 0; round < 4; round++) {
      await write(cluster, 30);
      const victim = cluster.members[round % 3] as VirtualMember;
      victim.crash();
      await cluster.until(() => cluster.leader !== undefined);
      await write(cluster, 40);
      victim.start();
      await cluster.pass(4_000);
    }
    expect(cluster.members.flatMap(corruptMembers)).toEqual([]);
    expect(cluster.members.map((each) => up(each).stateCheck.refuses)).toEqual(
      Array.from({ length: 3 }, () => false),
    );
  });
});

describe('a follower that deviates', () => {
  test('gets the alarm CORRUPT, refuses, and names the first index', async () => {
    const cluster = await started(2);
    await write(cluster, 20);
    await settled(cluster);
    await cluster.pass(2_000);
    const [wrong] = followersOf(cluster) as [VirtualMember];
    const first = deviate(wrong);
    // All before the next report: a range that is narrowed down in more than one step.
    const value = PutRequest.create({ key: utf8('k') });
    const { server } = up(leaderOf(cluster));
    for (let i = 0; i < 300; i++) server.request({ case: 'put', value }).catch(() => undefined);
    await cluster.until(() => corruptMembers(leaderOf(cluster)).length > 0, 5_000);
    expect(corruptMembers(leaderOf(cluster))).toEqual([wrong.id]);
    await cluster.until(() => up(wrong).stateCheck.refuses, 1_000);
    expect(up(wrong).stateCheck.deviation?.firstIndex).toBe(first);
    let tells = 0;
    up(wrong).stateCheck.onRefusing(() => (tells += 1));
    expect(tells).toBe(1);
    const others = cluster.members.filter((each) => each !== wrong);
    expect(others.map((each) => up(each).stateCheck.refuses)).toEqual([false, false]);
    expect(await ask(cluster, { case: 'put', value })).toBe('corrupt');
  });

  test('is found even if its state becomes right again', async () => {
    const cluster = await started(3);
    await write(cluster, 3);
    await settled(cluster);
    await cluster.pass(2_000);
    const [wrong] = followersOf(cluster) as [VirtualMember];
    const first = deviate(wrong);
    await write(cluster, 2);
    await settled(cluster);
    up(wrong).lessor.revoke(77n);
    await write(cluster, 2);
    await settled(cluster);
    expect(stateHashOf(up(wrong))).toBe(stateHashOf(up(leaderOf(cluster))));
    await cluster.until(() => up(wrong).stateCheck.refuses, 5_000);
    expect(up(wrong).stateCheck.deviation?.firstIndex).toBe(first);
  });

  test('has the state of the others after its next start, and the alarm can go', async () => {
    const cluster = await started(4);
    await write(cluster, 10);
    const [wrong] = followersOf(cluster) as [VirtualMember];
    deviate(wrong);
    await write(cluster, 5);
    await cluster.until(() => up(wrong).stateCheck.refuses, 5_000);
    await cluster.pass(1_000);
    wrong.crash();
    await cluster.pass(500);
    wrong.start();
    await cluster.until(() => wrong.running?.server.leader !== undefined, 10_000);
    await cluster.until(() => up(wrong).server.appliedIndex > 10, 20_000);
    await settled(cluster);
    expect(up(wrong).stateCheck.refuses).toBe(false);
    expect(up(wrong).lessor.has(77n)).toBe(false);
    expect(await ask(cluster, disarm(wrong.id))).toBe('ok');
    await write(cluster, 10);
    await cluster.pass(5_000);
    expect(cluster.members.flatMap(corruptMembers)).toEqual([]);
    expect(new Set(cluster.members.map((each) => stateHashOf(up(each)))).size).toBe(1);
  });

  test('does not serve if only the alarm was cleared, and the alarm comes back', async () => {
    const cluster = await started(5);
    const [wrong] = followersOf(cluster) as [VirtualMember];
    await settled(cluster);
    deviate(wrong);
    await write(cluster, 5);
    await cluster.until(() => up(wrong).stateCheck.refuses, 5_000);
    await cluster.pass(1_000);
    expect(await ask(cluster, disarm(wrong.id))).toBe('ok');
    expect(up(wrong).stateCheck.refuses).toBe(true);
    await cluster.until(() => corruptMembers(leaderOf(cluster)).length > 0, 3_000);
    expect(up(wrong).stateCheck.refuses).toBe(true);
  });

  test('is found after a start from a deviating state, which tells no first index', async () => {
    const cluster = await started(6, { member: { stateCheckIntervalMs: 5_000 } });
    await cluster.pass(6_000);
    const [wrong] = followersOf(cluster) as [VirtualMember];
    deviate(wrong);
    await write(cluster, 5);
    await cluster.pass(500);
    expect(up(wrong).stateCheck.refuses).toBe(false);
    await new Promise<void>((resolve, reject) => {
      wrong.stop(resolve);
      cluster.pass(1_000).catch(reject);
    });
    wrong.start();
    await cluster.until(() => wrong.running !== undefined);
    const restartedAt = up(wrong).server.appliedIndex;
    await cluster.until(() => up(wrong).stateCheck.refuses, 20_000);
    expect(up(wrong).stateCheck.deviation).toEqual({
      firstIndex: restartedAt,
      comparedFrom: restartedAt,
    });
  });
});

describe('a leader that deviates', () => {
  test('accuses itself and hands leadership over', async () => {
    const cluster = await started(7);
    await write(cluster, 10);
    await settled(cluster);
    await cluster.pass(2_000);
    const wrong = leaderOf(cluster);
    const first = deviate(wrong);
    await write(cluster, 30);
    await cluster.until(() => up(wrong).stateCheck.refuses, 5_000);
    expect(up(wrong).stateCheck.deviation?.firstIndex).toBe(first);
    await cluster.until(() => cluster.leader !== undefined && cluster.leader !== wrong, 10_000);
    await cluster.pass(2_000);
    expect(corruptMembers(leaderOf(cluster))).toEqual([wrong.id]);
    const others = cluster.members.filter((each) => each !== wrong);
    expect(others.map((each) => up(each).stateCheck.refuses)).toEqual([false, false]);
  });
});

describe('without a majority', () => {
  test('both are in doubt until a third member tells who is right', async () => {
    const cluster = await started(8);
    await write(cluster, 5);
    await settled(cluster);
    await cluster.pass(2_000);
    const [wrong, away] = followersOf(cluster) as [VirtualMember, VirtualMember];
    away.crash();
    deviate(wrong);
    await write(cluster, 5);
    await cluster.until(() => up(leaderOf(cluster)).stateCheck.refuses, 20_000);
    await cluster.until(() => up(wrong).stateCheck.refuses, 1_000);
    expect(up(wrong).stateCheck.deviation).toBeUndefined();
    await cluster.until(() => corruptMembers(leaderOf(cluster)).length > 0, 1_000);
    expect(corruptMembers(leaderOf(cluster))).toEqual([0n]);
    away.start();
    await cluster.until(() => up(wrong).stateCheck.deviation !== undefined, 30_000);
    const right = cluster.members.filter((each) => each !== wrong);
    await cluster.until(() => right.every((each) => !up(each).stateCheck.refuses), 5_000);
    await cluster.until(() => corruptMembers(leaderOf(cluster)).length > 1, 5_000);
    expect(corruptMembers(leaderOf(cluster))).toEqual([0n, wrong.id]);
  });

  test('a third member tells it whose hashes begin after the first difference', async () => {
    const cluster = await started(10, { member: { stateCheckIntervalMs: 5_000 } });
    await cluster.pass(6_000);
    const [wrong, away] = followersOf(cluster) as [VirtualMember, VirtualMember];
    deviate(wrong);
    await write(cluster, 5);
    await settled(cluster);
    // Its state is flushed: it begins there.
    await cluster.pass(500);
    expect(up(wrong).stateCheck.refuses).toBe(false);
    away.crash();
    await cluster.until(() => up(leaderOf(cluster)).stateCheck.refuses, 20_000);
    away.start();
    await cluster.until(() => up(wrong).stateCheck.deviation !== undefined, 30_000);
    const right = cluster.members.filter((each) => each !== wrong);
    await cluster.until(() => right.every((each) => !up(each).stateCheck.refuses), 10_000);
    await cluster.pass(20_000);
    expect(right.map((each) => up(each).stateCheck.refuses)).toEqual([false, false]);
  });

  test('two members doubt both', async () => {
    const cluster = await started(9, { members: 2 });
    await settled(cluster);
    deviate(leaderOf(cluster));
    await write(cluster, 3);
    const refusing = (): boolean[] => cluster.members.map((each) => up(each).stateCheck.refuses);
    await cluster.until(() => refusing().every((each) => each), 20_000);
    await cluster.pass(10_000);
    expect(refusing()).toEqual([true, true]);
    expect(cluster.members.map((each) => up(each).stateCheck.deviation)).toEqual([
      undefined,
      undefined,
    ]);
  });
});
