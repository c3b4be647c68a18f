/** Whole clusters, in virtual time: a founder comes late, or comes back with an empty disk. */
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { PutRequest } from '../../../src/gen/rpc.ts';
import { VirtualCluster, type VirtualMember } from '../../support/virtual-cluster.ts';

/** Longer than founders wait for those who are not there. */
const longMs = 6_000;

const takesPart = (member: VirtualMember): boolean => member.running?.takesPart === true;

function cluster(members: number, seed = 1): VirtualCluster {
  return new VirtualCluster({ seed, members });
}

/** Only these were ever started. */
function withOnly(whole: VirtualCluster, up: readonly number[]): readonly VirtualMember[] {
  whole.members.forEach((member, at) => {
    if (up.includes(at)) return;
    member.crash();
    member.directory.empty();
  });
  return up.map((at) => whole.members[at] as VirtualMember);
}

async function put(whole: VirtualCluster, key: string): Promise<void> {
  await whole.until(() => whole.leader !== undefined);
  const value = PutRequest.create({ key: utf8(key), value: utf8('v') });
  let done = false;
  void whole.leader?.running?.server.request({ case: 'put', value }).then(() => {
    done = true;
  });
  await whole.until(() => done);
}

/** As the daemon does. */
async function announce(whole: VirtualCluster, member: VirtualMember): Promise<void> {
  const memberAttributes = { name: `m${member.id}`, clientUrls: ['http://c'] };
  const value = { memberId: member.id, memberAttributes };
  let done = false;
  void whole.leader?.running?.server.request({ case: 'clusterMemberAttrSet', value }).then(() => {
    done = true;
  });
  await whole.until(() => done);
}

function empty(member: VirtualMember): void {
  member.crash();
  member.directory.empty();
  member.start();
}

describe('a cluster is founded', () => {
  test.each([1, 2, 3, 4, 5])('by all of %i, at once', async (members) => {
    const whole = cluster(members);
    await whole.until(() => whole.members.every(takesPart), 1_000);
    await put(whole, 'a');
  });

  test.each([
    [3, [0, 1]],
    [3, [1, 2]],
    [4, [0, 1, 3]],
    [5, [0, 2, 4]],
  ] as const)('by a majority of %i: %j', async (members, up) => {
    const whole = cluster(members);
    const present = withOnly(whole, up);
    await put(whole, 'a');
    expect(present.every(takesPart)).toBe(true);
    // Who comes later is taken in.
    for (const member of whole.members) if (!present.includes(member)) member.start();
    await whole.until(() => whole.members.every(takesPart), 1_000);
    await whole.until(() => whole.members.every(({ running }) => running?.store.revision === 2));
  });

  test('by no less than a majority, however long it lasts', async () => {
    const whole = cluster(5);
    const [one, two] = withOnly(whole, [0, 1]);
    await whole.pass(longMs);
    expect([one, two].some((member) => member !== undefined && takesPart(member))).toBe(false);
    expect(whole.leader).toBeUndefined();
    expect(one?.running?.server.term).toBe(0);
    whole.members[2]?.start();
    await put(whole, 'a');
  });

  test('whoever crashes on the way', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const whole = cluster(3, seed);
      for (let i = 0; i < 12; i++) {
        await whole.pass(whole.random.below(20));
        const member = whole.members[whole.random.below(3)] as VirtualMember;
        member.crash();
        member.start();
      }
      await put(whole, 'a');
      expect(whole.members.map(({ failure }) => failure)).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    }
  });

  test('who took part does so again at once, though nobody is there', async () => {
    const whole = cluster(3);
    await put(whole, 'a');
    for (const member of whole.members) member.crash();
    whole.members[0]?.start();
    await whole.pass(50);
    expect(whole.members[0]?.running?.takesPart).toBe(true);
  });
});

describe('a founder whose disk was emptied', () => {
  test('is refused by one that knows it, in words of etcd, and stays so', async () => {
    const whole = cluster(3);
    await put(whole, 'a');
    const victim = whole.members[1] as VirtualMember;
    empty(victim);
    await whole.until(() => victim.failure !== undefined, 1_000);
    expect(victim.failure?.message).toMatch(
      /^member 2 has already been bootstrapped: member [13] knows it with another data directory/,
    );
    victim.failure = undefined;
    victim.crash();
    victim.start();
    await whole.until(() => victim.failure !== undefined, 1_000);
    await put(whole, 'b');
  });

  test('does not make a majority with one that lags', async () => {
    const whole = cluster(3);
    await put(whole, 'a');
    await whole.until(() => whole.members.every(({ running }) => running?.store.revision === 2));
    const { leader } = whole;
    const [victim, behind] = whole.members.filter((member) => member !== leader);
    if (leader === undefined || victim === undefined || behind === undefined) throw new Error();
    whole.network.partition([leader.id, victim.id], [behind.id]);
    await put(whole, 'b');
    leader.crash();
    victim.crash();
    victim.directory.empty();
    whole.network.heal();
    victim.start();
    await whole.pass(longMs);
    expect(whole.leader).toBeUndefined();
    expect(victim.failure?.message).toContain('has already been bootstrapped');
    leader.start();
    await put(whole, 'c');
    expect(whole.leader?.running?.store.revision).toBe(4);
  });

  test('is silent for as long as it hears nobody', async () => {
    const whole = cluster(3);
    await put(whole, 'a');
    const victim = whole.members[1] as VirtualMember;
    whole.network.partition([2n], [1n, 3n]);
    empty(victim);
    await whole.pass(longMs);
    expect(victim.failure).toBeUndefined();
    expect(takesPart(victim)).toBe(false);
    expect(victim.running?.server.term).toBe(0);
    whole.network.heal();
    await whole.until(() => victim.failure !== undefined, 1_000);
  });

  test('is refused though it is known by its announcement alone', async () => {
    const whole = cluster(3);
    await put(whole, 'a');
    const victim = whole.members[1] as VirtualMember;
    await announce(whole, victim);
    await whole.pass(500);
    // As if a version before this had founded the cluster.
    for (const { directory } of whole.members) {
      if (directory.founding === undefined) continue;
      directory.founding = { ...directory.founding, acquaintances: [] };
    }
    for (const member of whole.members) {
      member.crash();
      if (member !== victim) member.start();
    }
    victim.directory.empty();
    victim.start();
    await whole.until(() => victim.failure !== undefined, 5_000);
    expect(victim.failure?.message).toContain('member 2 has already been bootstrapped');
  });

  test('is refused before it was announced, even if it never took part', async () => {
    const whole = cluster(5);
    const [one, two] = withOnly(whole, [0, 1]);
    await whole.pass(500);
    if (one === undefined || two === undefined) throw new Error();
    empty(two);
    await whole.until(() => two.failure !== undefined, 1_000);
    expect(takesPart(one)).toBe(false);
  });

  test('is taken in where all disks were emptied: that is a new cluster', async () => {
    const whole = cluster(3);
    await put(whole, 'a');
    for (const member of whole.members) {
      member.crash();
      member.directory.empty();
    }
    for (const member of whole.members) member.start();
    await put(whole, 'b');
    expect(whole.leader?.running?.store.revision).toBe(2);
  });

  test('and a member that cannot write down who others are ends', async () => {
    const whole = cluster(3);
    const [, victim] = withOnly(whole, [0, 1]);
    if (victim === undefined) throw new Error();
    Object.defineProperty(victim.directory, 'founding', {
      get: () => ({ life: 9n, takesPart: false, acquaintances: [] }),
      set: () => {
        throw new Error('EIO');
      },
    });
    await whole.until(() => victim.failure !== undefined, 5_000);
    expect(victim.failure?.message).toBe('EIO');
  });
});

test('a directory in which nothing was decided and that lost its record begins a new life', async () => {
  const whole = cluster(3);
  const [one] = withOnly(whole, [0]);
  await whole.pass(500);
  if (one === undefined) throw new Error();
  const life = (): bigint | undefined => one.directory.founding?.life;
  const before = life();
  one.crash();
  one.directory.founding = undefined;
  one.start();
  await whole.pass(100);
  expect(one.directory.founding).toMatchObject({ takesPart: false, acquaintances: [] });
  expect(life()).not.toBe(before);
});
