/** Whole members against each other in virtual time. */
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import { PutRequest } from '../../../src/gen/rpc.ts';
import type { Server } from '../../../src/server/server.ts';
import { VirtualCluster, type VirtualMember } from '../../support/virtual-cluster.ts';

async function started(options: ConstructorParameters<typeof VirtualCluster>[0]) {
  const cluster = new VirtualCluster(options);
  await cluster.until(() =>
    cluster.members.every((each) => (each.running?.server.leader ?? 0n) > 0n),
  );
  return cluster;
}

function serverOf(member: VirtualMember | undefined): Server {
  const server = member?.running?.server;
  if (server === undefined) throw new Error('the member is down');
  return server;
}

async function put(member: VirtualMember | undefined, key: string, value = 'v'): Promise<number> {
  const outcome = await serverOf(member).request({
    case: 'put',
    value: PutRequest.create({ key: utf8(key), value: utf8(value) }),
  });
  return outcome.response?.header?.revision ?? 0;
}

/** What came of a promise so far. */
function watch<T>(promise: Promise<T>): { value?: T; error?: unknown } {
  const seen: { value?: T; error?: unknown } = {};
  promise.then(
    (value) => (seen.value = value),
    (error: unknown) => (seen.error = error),
  );
  return seen;
}

function valueAt(member: VirtualMember, key: string): string | undefined {
  const range = { key, end: undefined, revision: 0, limit: 0, countOnly: false };
  const value = member.running?.store.range(range).kvs[0]?.value;
  return value === undefined ? undefined : Buffer.from(value).toString();
}

const reasonOf = (error: unknown): unknown => (error instanceof EtcdError ? error.reason : error);

describe('requests', () => {
  test('a follower takes a write, and its own linearizable read shows it', async () => {
    const cluster = await started({ seed: 1 });
    const follower = cluster.members.find((each) => each !== cluster.leader) as VirtualMember;
    const seen = watch(put(follower, 'a'));
    await cluster.until(() => seen.value !== undefined);
    for (const member of cluster.members) {
      const read = watch(
        serverOf(member)
          .linearizableRead()
          .then(() => valueAt(member, 'a')),
      );
      await cluster.until(() => 'value' in read);
      expect(read.value).toBe('v');
    }
  });

  test('without a quorum writes and reads time out, in the words that fit', async () => {
    const cluster = await started({ seed: 2 });
    const [a, b, c] = cluster.members.map(({ id }) => id) as [bigint, bigint, bigint];
    const leader = cluster.leader as VirtualMember;
    cluster.network.partition([a], [b], [c]);
    const early = watch(put(leader, 'a'));
    await cluster.pass(3000);
    expect(leader.running?.server.leader).toBe(0n);
    const late = watch(put(leader, 'b'));
    const read = watch(serverOf(leader).linearizableRead());
    await cluster.pass(7100);
    expect(reasonOf(early.error)).toMatch(/^timeout/);
    expect(reasonOf(late.error)).toBe('timeout');
    expect(reasonOf(read.error)).toBe('timeout');
  });

  test('a write sent while there is no leader is made once there is one', async () => {
    const cluster = await started({ seed: 3 });
    const leader = cluster.leader as VirtualMember;
    const survivor = cluster.members.find((each) => each !== leader) as VirtualMember;
    leader.crash();
    const seen = watch(put(survivor, 'a'));
    await cluster.until(() => seen.value !== undefined, 5000);
    expect(seen.value).toBe(2);
  });

  test('a request above the limit changes nothing', async () => {
    const cluster = await started({ seed: 4 });
    const seen = watch(put(cluster.leader, 'a', 'x'.repeat(1_600_000)));
    await cluster.pass(10);
    expect(reasonOf(seen.error)).toBe('requestTooLarge');
    expect(cluster.leader?.running?.store.revision).toBe(1);
  });

  test('a stopping leader hands over first, and the rest go on at once', async () => {
    const cluster = await started({ seed: 5 });
    const leader = cluster.leader as VirtualMember;
    let stopped = false;
    leader.stop(() => (stopped = true));
    await cluster.until(() => stopped, 2000);
    await cluster.until(() => cluster.leader !== undefined, 100);
    const seen = watch(put(cluster.leader, 'a'));
    await cluster.until(() => seen.value !== undefined, 200);
  });

  // All that followers send to a leader while it hands over, and a little later.
  test.each(Array.from({ length: 20 }, (_, i) => 60 + i))(
    'none is lost when a leader stops (seed %i)',
    async (seed) => {
      const cluster = await started({ seed });
      const leader = cluster.leader as VirtualMember;
      const others = cluster.members.filter((each) => each !== leader);
      const asked: ReturnType<typeof watch<number>>[] = [];
      const ask = (): void => {
        for (const member of others) asked.push(watch(put(member, `k${asked.length}`)));
      };
      ask();
      let stopped = false;
      leader.stop(() => (stopped = true));
      const isStopped = (): boolean => {
        ask();
        return stopped;
      };
      await cluster.until(isStopped, 2000);
      const startMs = cluster.clock.monotonicMs();
      await cluster.until(() => asked.every((each) => 'value' in each || 'error' in each));
      expect(asked.filter(({ error }) => error !== undefined)).toEqual([]);
      expect(cluster.clock.monotonicMs() - startMs).toBeLessThan(200);
    },
  );
});

test('a member that was away catches up by a snapshot and goes on from it after a crash', async () => {
  const cluster = await started({ seed: 6, snapshotCount: 100, catchUpEntries: 10 });
  const away = cluster.members.find((each) => each !== cluster.leader) as VirtualMember;
  away.crash();
  for (let i = 0; i < 30; i++) {
    const batch = Array.from({ length: 20 }, (_, j) => watch(put(cluster.leader, `k${i}/${j}`)));
    await cluster.until(() => batch.every((each) => each.value !== undefined));
    await cluster.pass(150);
  }
  away.start();
  await cluster.until(() => away.running?.store.revision === 601);
  const sent = 'etcd_disk_backend_snapshot_duration_seconds_count';
  await cluster.until(() => cluster.leader?.metrics.valueOf(sent) === 1);
  away.crash();
  away.start();
  await cluster.until(() => away.running?.store.revision === 601);
  expect(away.running?.store.stateHash).toBe(cluster.leader?.running?.store.stateHash);
});

/** A few virtual seconds of writes while members crash and the network fails. */
async function storm(seed: number, snapshotCount = 50, catchUpEntries = 5): Promise<void> {
  const cluster = await started({ seed, snapshotCount, catchUpEntries });
  const { random, network, members } = cluster;
  network.setFaults({ drop: 0.02, duplicate: 0.02, reorder: 0.05 });
  const acknowledged = new Map<string, number>();
  let next = 0;
  for (let step = 0; step < 60; step++) {
    for (const member of members) {
      if (member.running === undefined) continue;
      const key = `k${next++}`;
      put(member, key).then(
        (revision) => acknowledged.set(key, revision),
        () => {},
      );
    }
    await cluster.pass(random.below(120));
    const victim = members[random.below(members.length)] as VirtualMember;
    const chance = random.next();
    if (chance < 0.1 && victim.running !== undefined) victim.crash();
    else if (chance < 0.3 && victim.running === undefined) victim.start();
    else if (chance < 0.35) {
      const others = members.filter((each) => each !== victim).map(({ id }) => id);
      network.partition([victim.id], others);
    } else if (chance < 0.5) network.heal();
    for (const { failure } of members) expect(failure).toBeUndefined();
  }
  network.heal();
  network.setFaults({ drop: 0, duplicate: 0, reorder: 0 });
  await cluster.pass(50);
  for (const member of members) if (member.running === undefined) member.start();
  await cluster.until(() => members.every((each) => each.running !== undefined));
  const last = watch(put(members[0], 'last'));
  await cluster.until(() => last.value !== undefined || last.error !== undefined, 30_000);
  await cluster.until(() => {
    const indexes = members.map((each) => each.running?.server.appliedIndex);
    return new Set(indexes).size === 1;
  });
  expect(acknowledged.size).toBeGreaterThan(0);
  expect(new Set(acknowledged.values()).size).toBe(acknowledged.size);
  for (const member of members) {
    for (const [key] of acknowledged) expect(valueAt(member, key)).toBe('v');
    expect(member.running?.store.stateHash).toBe(members[0]?.running?.store.stateHash);
  }
}

test('nothing acknowledged is lost in a storm of failures', { timeout: 120_000 }, async () => {
  for (let seed = 1000; seed < 1030; seed++) {
    await storm(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
});

test(
  'nor if the log keeps nothing that the flushed state covers',
  { timeout: 120_000 },
  async () => {
    for (let seed = 2000; seed < 2010; seed++) {
      await storm(seed, 1, 0).catch((error: unknown) => {
        throw new Error(`seed ${seed}`, { cause: error });
      });
    }
  },
);
