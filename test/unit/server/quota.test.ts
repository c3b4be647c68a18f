/** A quota on whole members in virtual time: refused writes, the alarm, and its end. */
import { describe, expect, test } from 'vitest';
import { raisedByHand } from '../../../src/alarm/alarm-store.ts';
import type { Command } from '../../../src/apply/request.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import {
  AlarmAction,
  AlarmType,
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  PutRequest,
} from '../../../src/gen/rpc.ts';
import type { Member } from '../../../src/server/member.ts';
import { clearsAtBytes } from '../../../src/server/quota.ts';
import { stateHashOf, stateSizeBytes } from '../../../src/server/state.ts';
import { VirtualCluster, type VirtualMember } from '../../support/virtual-cluster.ts';

const quota = 100_000;
const { nospace } = AlarmType;

async function started(
  seed: number,
  member: NonNullable<ConstructorParameters<typeof VirtualCluster>[0]['member']> = {},
): Promise<VirtualCluster> {
  const cluster = new VirtualCluster({ seed, member: { quotaBackendBytes: quota, ...member } });
  await untilLed(cluster);
  return cluster;
}

async function untilLed(cluster: VirtualCluster): Promise<void> {
  await cluster.until(() =>
    cluster.members.every((each) => (each.running?.server.leader ?? 0n) > 0n),
  );
}

function up(member: VirtualMember | undefined): Member {
  if (member?.running === undefined) throw new Error('the member is down');
  return member.running;
}

/** The reason of the refusal, `ok` if there is none. */
async function ask(
  cluster: VirtualCluster,
  command: Command,
  member = cluster.leader,
): Promise<unknown> {
  let outcome: unknown;
  up(member)
    .upkeep.quota.request(command)
    .then(
      () => (outcome = 'ok'),
      (error: unknown) => (outcome = error instanceof EtcdError ? error.reason : error),
    );
  await cluster.until(() => outcome !== undefined);
  return outcome;
}

const put = (i: number, bytes = 5_000): Command => ({
  case: 'put',
  value: PutRequest.create({ key: utf8(`k${i}`), value: Buffer.alloc(bytes, i) }),
});
const remove = (i: number): Command => ({
  case: 'deleteRange',
  value: DeleteRangeRequest.create({ key: utf8(`k${i}`) }),
});
const compactTo = (revision: number): Command => ({
  case: 'compaction',
  value: CompactionRequest.create({ revision }),
});
const alarm = (action: AlarmAction, memberId: bigint, quotaBytes = raisedByHand): Command => ({
  case: 'alarm',
  value: { action, memberId, alarm: nospace, quotaBytes },
});

/** Writes until one is refused; returns how many were not. */
async function fill(cluster: VirtualCluster): Promise<number> {
  for (let i = 0; i < 100; i++) {
    const outcome = await ask(cluster, put(i));
    if (outcome === 'ok') continue;
    expect(outcome).toBe('noSpace');
    return i;
  }
  throw new Error('there is no quota');
}

const alarmsOf = (cluster: VirtualCluster): number[] =>
  cluster.members.map((each) => up(each).alarms.list(nospace).length);

async function expectEqualStates(cluster: VirtualCluster): Promise<void> {
  await cluster.pass(300);
  expect(new Set(cluster.members.map((each) => stateHashOf(up(each)))).size).toBe(1);
  expect(new Set(cluster.members.map((each) => stateSizeBytes(up(each)))).size).toBe(1);
}

describe('a full state', () => {
  test('takes deletions and compactions, and writes again after them by itself', async () => {
    const cluster = await started(1);
    for (let round = 0; round < 3; round++) {
      const written = await fill(cluster);
      expect(written).toBeGreaterThan(10);
      await cluster.pass(200);
      expect(alarmsOf(cluster)).toEqual([1, 1, 1]);
      const grant = LeaseGrantRequest.create({ id: 7n, ttl: 60 });
      const [follower] = cluster.members.filter((each) => each !== cluster.leader);
      expect(await ask(cluster, put(0, 1), follower)).toBe('noSpace');
      expect(await ask(cluster, { case: 'leaseGrant', value: grant })).toBe('noSpace');
      for (let i = 0; i < written; i++) expect(await ask(cluster, remove(i))).toBe('ok');
      // The history is still there.
      expect(await ask(cluster, put(0, 1))).toBe('noSpace');
      expect(await ask(cluster, compactTo(up(cluster.leader).store.revision))).toBe('ok');
      await cluster.until(() => alarmsOf(cluster).every((count) => count === 0), 1_000);
      expect(await ask(cluster, put(0))).toBe('ok');
      await expectEqualStates(cluster);
      expect(await ask(cluster, remove(0))).toBe('ok');
    }
  });

  test('stays full until a part of the quota is free', async () => {
    const cluster = await started(2);
    await fill(cluster);
    const { store } = up(cluster.leader);
    // Each makes room for itself, but no more.
    let cleared = 0;
    for (let i = 0; alarmsOf(cluster).includes(1); i++) {
      await ask(cluster, remove(i));
      await ask(cluster, compactTo(store.revision));
      await cluster.pass(300);
      cleared = stateSizeBytes(up(cluster.leader));
    }
    expect(cleared).toBeLessThanOrEqual(clearsAtBytes(quota));
    expect(cleared).toBeGreaterThan(clearsAtBytes(quota) - 6_000);
  });

  test('is found by the leader when what was under way together was too much', async () => {
    const cluster = await started(3);
    const asked = Array.from({ length: 40 }, (_, i) => {
      const member = up(cluster.members[i % 3]);
      return member.upkeep.quota.request(put(i)).catch((error: unknown) => error);
    });
    let answered = false;
    void Promise.all(asked).then(() => (answered = true));
    await cluster.until(() => answered);
    await cluster.until(() => alarmsOf(cluster).every((count) => count === 1), 1_000);
    expect(stateSizeBytes(up(cluster.leader))).toBeGreaterThan(quota);
    expect(await ask(cluster, put(0, 1))).toBe('noSpace');
    await expectEqualStates(cluster);
  });

  test('stays so where clearing is switched off, until somebody clears the alarm', async () => {
    const cluster = await started(4, { quotaAutoDisarm: false });
    await fill(cluster);
    await ask(cluster, { case: 'deleteRange', value: rangeOfAll() });
    await ask(cluster, compactTo(up(cluster.leader).store.revision));
    await cluster.pass(5_000);
    expect(alarmsOf(cluster)).toEqual([1, 1, 1]);
    expect(await ask(cluster, put(0))).toBe('noSpace');
    for (const { id } of cluster.members) await ask(cluster, alarm(AlarmAction.deactivate, id));
    expect(await ask(cluster, put(0))).toBe('ok');
  });

  test('is cleared by the leader of the time, not by the one that it was found by', async () => {
    const cluster = await started(5);
    await fill(cluster);
    await ask(cluster, { case: 'deleteRange', value: rangeOfAll() });
    await expectEqualStates(cluster);
    const old = cluster.leader;
    old?.crash();
    await cluster.until(() => cluster.leader !== undefined && cluster.leader !== old);
    await ask(cluster, compactTo(up(cluster.leader).store.revision));
    const others = cluster.members.filter((each) => each !== old);
    await cluster.until(() => others.every((each) => up(each).alarms.size === 0), 2_000);
    old?.start();
    await cluster.until(() => cluster.members.every((each) => each.running?.alarms.size === 0));
    expect(await ask(cluster, put(0))).toBe('ok');
  });
});

describe('a member that is behind', () => {
  /** Full, then empty again, which one of the followers does not know. */
  async function emptied(
    seed: number,
  ): Promise<{ cluster: VirtualCluster; behind: VirtualMember }> {
    const cluster = await started(seed);
    await fill(cluster);
    await cluster.pass(300);
    const [behind] = cluster.members.filter((each) => each !== cluster.leader);
    if (behind === undefined) throw new Error('nobody follows');
    const others = cluster.members.filter((each) => each !== behind).map(({ id }) => id);
    cluster.network.partition([behind.id], others);
    expect(await ask(cluster, { case: 'deleteRange', value: rangeOfAll() })).toBe('ok');
    expect(await ask(cluster, compactTo(up(cluster.leader).store.revision))).toBe('ok');
    await cluster.until(() => up(cluster.leader).alarms.size === 0, 1_000);
    return { cluster, behind };
  }

  test('neither refuses what there is room for, nor raises the alarm again', async () => {
    const { cluster, behind } = await emptied(6);
    expect(stateSizeBytes(up(behind))).toBeGreaterThan(clearsAtBytes(quota));
    cluster.network.heal();
    let raised = false;
    const watch = cluster.until(() => {
      raised ||= up(cluster.leader).alarms.size > 0;
      return behind.running?.alarms.size === 0;
    });
    expect(await ask(cluster, put(0), behind)).toBe('ok');
    await watch;
    await cluster.pass(500);
    expect(raised).toBe(false);
    await expectEqualStates(cluster);
  });

  test('does not say that there is no room while it cannot find out', async () => {
    const { cluster, behind } = await emptied(7);
    expect(await ask(cluster, put(0), behind)).toBe('timeout');
    cluster.network.heal();
    await cluster.until(() => behind.running?.alarms.size === 0);
    await cluster.pass(10_000);
    expect(alarmsOf(cluster)).toEqual([0, 0, 0]);
    expect(await ask(cluster, put(0), behind)).toBe('ok');
  });
});

function rangeOfAll(): DeleteRangeRequest {
  return DeleteRangeRequest.create({ key: utf8('\0'), rangeEnd: utf8('\0') });
}

describe('an alarm', () => {
  test('that a client raised stays until a client clears it', async () => {
    const cluster = await started(10);
    await ask(cluster, alarm(AlarmAction.activate, 99n));
    await cluster.pass(5_000);
    expect(alarmsOf(cluster)).toEqual([1, 1, 1]);
    expect(await ask(cluster, put(0))).toBe('noSpace');
    await ask(cluster, alarm(AlarmAction.deactivate, 99n));
    expect(await ask(cluster, put(0))).toBe('ok');
  });

  test('of a member that was removed since has no reason any more', async () => {
    const cluster = await started(13);
    expect(await ask(cluster, put(0))).toBe('ok');
    await ask(cluster, alarm(AlarmAction.activate, 99n, 1_000));
    await cluster.until(() => alarmsOf(cluster).every((count) => count === 0), 2_000);
    // One that is a member still has it.
    await ask(cluster, alarm(AlarmAction.activate, 2n, 1_000));
    expect(await ask(cluster, put(0))).toBe('noSpace');
  });

  test('is not raised for one request that is too large for what others have room in', async () => {
    const cluster = await started(11);
    expect(await ask(cluster, put(0, quota))).toBe('noSpace');
    await cluster.pass(1_000);
    expect(alarmsOf(cluster)).toEqual([0, 0, 0]);
    expect(await ask(cluster, put(0))).toBe('ok');
  });

  test('clears when its member comes back with a larger quota', async () => {
    const cluster = await started(12);
    await fill(cluster);
    await cluster.pass(500);
    expect(alarmsOf(cluster)).toEqual([1, 1, 1]);
    Object.assign(cluster.options.member ?? {}, { quotaBackendBytes: 2 * quota });
    for (const member of cluster.members) {
      member.crash();
      member.start();
      await cluster.until(() => member.running !== undefined);
      await cluster.pass(3_000);
    }
    await untilLed(cluster);
    await cluster.until(() => alarmsOf(cluster).every((count) => count === 0));
    expect(await ask(cluster, put(0))).toBe('ok');
  });
});

test('a snapshot brings alarms and a downgrade job, and takes away those that are over', async () => {
  const cluster = new VirtualCluster({ seed: 14, snapshotCount: 20, catchUpEntries: 5 });
  await untilLed(cluster);
  await ask(cluster, alarm(AlarmAction.activate, 98n));
  await cluster.pass(300);
  const [behind] = cluster.members.filter((each) => each !== cluster.leader);
  if (behind === undefined) throw new Error('nobody follows');
  expect(up(behind).alarms.get(98n, nospace)).toBeDefined();
  const others = cluster.members.filter((each) => each !== behind).map(({ id }) => id);
  cluster.network.partition([behind.id], others);
  await ask(cluster, alarm(AlarmAction.deactivate, 98n));
  for (let i = 0; i < 60; i++) expect(await ask(cluster, put(i, 10))).toBe('ok');
  await ask(cluster, alarm(AlarmAction.activate, 99n));
  const job = { enabled: true, ver: '3.5.0' };
  await ask(cluster, { case: 'downgradeInfoSet', value: job });
  await cluster.pass(1_000);
  const { store } = up(behind);
  cluster.network.heal();
  await cluster.until(() => up(behind).alarms.get(99n, nospace) !== undefined);
  expect(up(behind).store).not.toBe(store);
  expect(up(behind).alarms.size).toBe(1);
  expect(up(behind).downgrade.info).toEqual({ enabled: true, targetVersion: '3.5.0' });
  expect(await ask(cluster, put(0), behind)).toBe('noSpace');
  await expectEqualStates(cluster);
});

test('without a quota nothing is refused', async () => {
  const cluster = await started(20, { quotaBackendBytes: undefined });
  for (let i = 0; i < 40; i++) expect(await ask(cluster, put(i))).toBe('ok');
  expect(alarmsOf(cluster)).toEqual([0, 0, 0]);
});
