/** Changes of membership in whole clusters, in virtual time. */
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { PEER_PROTOCOL } from '../../../src/base/versions.ts';
import { PutRequest } from '../../../src/gen/rpc.ts';
import type { Member as ClusterMember } from '../../../src/cluster/membership.ts';
import {
  announce,
  changesOf,
  down,
  expectEqualStates,
  follower,
  forgetFailure,
  grown,
  healthyMs,
  join,
  outcomeOf,
  put,
} from '../../support/changing-cluster.ts';
import { type VirtualCluster, type VirtualMember } from '../../support/virtual-cluster.ts';

const ids = (members: readonly ClusterMember[]): bigint[] => members.map(({ id }) => id);

describe('a member is added', () => {
  test('and meets one that was away while all that it knows were replaced', async () => {
    const whole = await grown(3, { strictReconfigCheck: false });
    const behind = follower(whole);
    behind.crash();
    const known = whole.members.filter((each) => each !== behind);
    for (const url of ['http://m4:1', 'http://m5:1']) await join(whole, url);
    for (const gone of known) {
      await whole.until(() => whole.leader !== undefined);
      await outcomeOf(whole, changesOf(whole.leader).remove(gone.id));
      // The one that is away cannot tell it.
      await whole.until(() => gone.failure !== undefined, 40_000);
      gone.crash();
      forgetFailure(gone);
    }
    behind.start();
    await whole.until(() => behind.running?.membership.list().length === 3);
    await put(whole, 'together');
    await expectEqualStates(whole);
  });

  test('and is not compared with others before it has a state', async () => {
    const whole = await grown(3, { member: { stateCheckIntervalMs: 1 } });
    const { value } = await outcomeOf(whole, changesOf(whole.leader).add(['http://m4:1'], false));
    if (value === undefined) throw new Error('it is refused');
    const joined = whole.join(value.member.id, value.members);
    await whole.until(() => (joined.running?.server.leader ?? 0n) > 0n);
    expect(joined.running?.server.appliedIndex).toBe(0);
    joined.running?.stateCheck.tick();
    await whole.until(() => joined.running?.takesPart === true);
    await whole.pass(2000);
    expect(whole.leader?.running?.alarms.list()).toEqual([]);
  });

  test('to a cluster of one, and gets what was there before', async () => {
    const whole = await grown(1);
    const joined = await join(whole, 'http://m2:1');
    await whole.until(() => joined.running?.store.revision === 2);
    await put(whole, 'second');
    await expectEqualStates(whole);
    // Now it takes both.
    joined.crash();
    const first = whole.members[0];
    const value = PutRequest.create({ key: utf8('third'), value: utf8('v') });
    const request = first?.running?.server.request({ case: 'put', value });
    const { error } = await outcomeOf(whole, request ?? down());
    expect(error).toMatch(/timed out|no leader/);
    joined.start();
    await put(whole, 'fourth');
  });

  test('from one to three to five to three, through followers too', async () => {
    const whole = await grown(1);
    for (const url of ['http://b:1', 'http://c:1', 'http://d:1', 'http://e:1']) {
      const via = whole.members.length > 1 ? follower(whole) : whole.leader;
      await join(whole, url, false, via);
      await put(whole, url);
      await whole.pass(healthyMs);
    }
    expect(whole.leader?.running?.membership.list()).toHaveLength(5);
    await expectEqualStates(whole);
    for (let i = 0; i < 2; i++) {
      const gone = whole.leader;
      if (gone === undefined) throw new Error('no leader');
      const asked = follower(whole);
      const { value } = await outcomeOf(whole, changesOf(asked).remove(gone.id));
      expect(ids(value ?? [])).not.toContain(gone.id);
      await whole.until(() => gone.failure !== undefined);
      expect(gone.failure?.message).toBe(
        'the member has been permanently removed from the cluster',
      );
      gone.crash();
      await put(whole, `after ${gone.id}`);
      await whole.pass(healthyMs);
    }
    expect(whole.leader?.running?.membership.list()).toHaveLength(3);
    await expectEqualStates(whole);
  });

  test('whoever crashes on the way', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const whole = await grown(3, { seed });
      const victim = whole.members[2] as VirtualMember;
      victim.crash();
      await put(whole, 'while it is down');
      const removed = await outcomeOf(whole, changesOf(whole.leader).remove(victim.id));
      expect(removed.error).toBeUndefined();
      const { value } = await outcomeOf(
        whole,
        changesOf(whole.leader).add(['http://again:1'], false),
      );
      if (value === undefined) throw new Error('not added');
      const joined = whole.join(value.member.id, value.members);
      for (let i = 0; i < 6; i++) {
        await whole.pass(whole.random.below(300));
        const member = whole.random.below(2) === 0 ? joined : follower(whole);
        if (member.running === undefined && member !== joined) continue;
        member.crash();
        member.start();
      }
      await whole.until(() => joined.running?.takesPart === true);
      await put(whole, 'after');
      await whole.until(
        () => joined.running?.store.revision === whole.leader?.running?.store.revision,
      );
      await expectEqualStates(whole);
    }
  });
});

describe('a leader is removed', () => {
  test('by whoever leads next, also if that is who was asked', async () => {
    const whole = await grown(2);
    const gone = whole.leader;
    const asked = follower(whole);
    const { value, error } = await outcomeOf(whole, changesOf(asked).remove(gone?.id ?? 0n));
    expect(error).toBeUndefined();
    expect(ids(value ?? [])).toEqual([asked.id]);
    await whole.until(() => gone?.failure !== undefined);
    await put(whole, 'after');
  });
});

describe('learners', () => {
  test('come, catch up, and are promoted through any member', async () => {
    const whole = await grown(3);
    const learner = await join(whole, 'http://d:1', true, follower(whole));
    await whole.until(() => learner.running?.isLearner === true);
    const again = await outcomeOf(whole, changesOf(whole.leader).add(['http://e:1'], true));
    expect(again.error).toBe('etcdserver: too many learner members in cluster');
    await expectEqualStates(whole);
    // The leader hears of that with the next heartbeat.
    await whole.pass(500);
    const { value, error } = await outcomeOf(whole, changesOf(follower(whole)).promote(learner.id));
    expect(error).toBeUndefined();
    expect(value?.find(({ id }) => id === learner.id)?.isLearner).toBe(false);
    await whole.until(() => learner.running?.isLearner === false);
    const twice = await outcomeOf(whole, changesOf(follower(whole)).promote(learner.id));
    expect(twice.error).toBe('etcdserver: can only promote a learner member');
    await expectEqualStates(whole);
  });

  test('that never started cannot be promoted, whoever is asked', async () => {
    const whole = await grown(3);
    const { value } = await outcomeOf(whole, changesOf(whole.leader).add(['http://d:1'], true));
    const id = value?.member.id ?? 0n;
    for (const asked of [whole.leader, follower(whole)]) {
      const { error } = await outcomeOf(whole, changesOf(asked).promote(id));
      expect(error).toBe(
        'etcdserver: can only promote a learner member which is in sync with leader',
      );
    }
    const unknown = await outcomeOf(whole, changesOf(follower(whole)).promote(404n));
    expect(unknown.error).toBe('etcdserver: member not found');
  });

  test('are promoted by themselves where that was asked for', async () => {
    const whole = await grown(3, { learnerAutoPromote: true });
    const learner = await join(whole, 'http://d:1', true);
    await whole.until(() => learner.running?.membership.get(learner.id)?.isLearner === false);
    await expectEqualStates(whole);
  });
});

describe('learners that are down', () => {
  test('are not promoted by themselves before they are back', async () => {
    const whole = await grown(3, { learnerAutoPromote: true });
    const learner = await join(whole, 'http://d:1', true);
    const isLearner = (): boolean | undefined =>
      whole.leader?.running?.membership.get(learner.id)?.isLearner;
    learner.crash();
    expect(isLearner()).toBe(true);
    await whole.pass(20_000);
    expect(isLearner()).toBe(true);
    learner.start();
    await whole.until(() => isLearner() === false);
    await expectEqualStates(whole);
  });
});

describe('members of an older version', () => {
  /** As if `member` ran a version that does not know changes of membership. */
  const speak = (whole: VirtualCluster, member: VirtualMember, protocol: number): void => {
    const transport = whole.network.member(member.id);
    if (transport === undefined) throw new Error('the member is down');
    transport.protocol = protocol;
  };

  test('have changes refused until they are replaced by newer ones', async () => {
    const whole = await grown(3);
    const old = follower(whole);
    speak(whole, old, PEER_PROTOCOL - 1);
    for (const asked of whole.members) {
      const { error } = await outcomeOf(whole, changesOf(asked).add(['http://d:1'], false));
      expect(error).toBe('etcdserver: not capable');
    }
    expect(old.running?.membership.protocol).toBe(0);
    speak(whole, old, PEER_PROTOCOL);
    await join(whole, 'http://d:1');
    await expectEqualStates(whole);
    const protocols = whole.members.map(({ running }) => running?.membership.protocol);
    expect(new Set(protocols)).toEqual(new Set([PEER_PROTOCOL]));
  });

  test('cannot come back once the members have agreed, also after a restart', async () => {
    const whole = await grown(1);
    const learner = await outcomeOf(whole, changesOf(whole.leader).add(['http://b:1'], true));
    expect(learner.error).toBeUndefined();
    const [member] = whole.members;
    member?.crash();
    member?.start();
    await whole.until(() => whole.leader !== undefined);
    expect(member?.running?.membership.protocol).toBe(PEER_PROTOCOL);
  });
});

describe('a change is refused', () => {
  test("in etcd's words", async () => {
    const whole = await grown(1);
    const changes = changesOf(whole.leader);
    const errorOf = async (promise: Promise<unknown>) => (await outcomeOf(whole, promise)).error;
    expect(await errorOf(changes.add(['nonsense'], false))).toBe(
      'etcdserver: given member URLs are invalid',
    );
    expect(await errorOf(changes.remove(404n))).toBe('etcdserver: member not found');
    expect(await errorOf(changes.update(404n, ['http://x:1']))).toBe(
      'etcdserver: member not found',
    );
    expect(await errorOf(changes.remove(1n))).toBe(
      'etcdserver: re-configuration failed due to not enough started members',
    );
    const { value } = await outcomeOf(whole, changes.add(['http://b:1'], true));
    const id = value?.member.id ?? 0n;
    // Ids are made of URLs and the second.
    expect(await errorOf(changes.add(['http://b:1'], false))).toBe(
      'etcdserver: member ID already exist',
    );
    await whole.pass(1_000);
    expect(await errorOf(changes.add(['http://b:1'], false))).toBe(
      'etcdserver: Peer URLs already exists',
    );
    expect((await outcomeOf(whole, changes.remove(id))).value).toHaveLength(1);
    expect(await errorOf(changes.remove(id))).toBe('etcdserver: member not found');
    // The id of one that was removed is not made again within its second, either.
    const addIt = () => outcomeOf(whole, changes.add(['http://b:1'], true));
    const first = (await addIt()).value?.member.id ?? 0n;
    expect(await errorOf(changes.remove(first))).toBeUndefined();
    const second = (await addIt()).value?.member.id ?? first;
    expect(second).not.toBe(first);
  });

  test('while too few are connected, or started', async () => {
    const whole = await grown(3);
    const victim = follower(whole);
    victim.crash();
    await whole.pass(100);
    const other = whole.members.find((each) => each !== victim && each !== whole.leader);
    const healthy = await outcomeOf(whole, changesOf(whole.leader).remove(other?.id ?? 0n));
    expect(healthy.error).toBe('etcdserver: unhealthy cluster');
    // Two of four are no quorum: a fourth, which counts as down until it has come, may not be
    // added, a learner neither, as in etcd.
    for (const isLearner of [false, true]) {
      const add = changesOf(whole.leader).add(['http://d:1'], isLearner);
      expect((await outcomeOf(whole, add)).error).toBe('etcdserver: unhealthy cluster');
    }
  });

  test('not for one of five that is down', async () => {
    const whole = await grown(5);
    follower(whole).crash();
    await whole.pass(100);
    const { error } = await outcomeOf(whole, changesOf(whole.leader).add(['http://f:1'], false));
    expect(error).toBeUndefined();
  });

  test('while those that were added have not started', async () => {
    const whole = await grown(3);
    const errors: (string | undefined)[] = [];
    for (const url of ['http://d:1', 'http://e:1', 'http://f:1']) {
      errors.push((await outcomeOf(whole, changesOf(whole.leader).add([url], false))).error);
    }
    expect(errors).toEqual([
      undefined,
      undefined,
      'etcdserver: re-configuration failed due to not enough started members',
    ]);
  });

  test('that takes away who shows another to be new, where too few have started', async () => {
    const whole = await grown(1, { strictReconfigCheck: false });
    const one = whole.leader as VirtualMember;
    const second = await outcomeOf(whole, changesOf(one).add(['http://b:1'], false));
    const two = whole.join(second.value?.member.id ?? 0n, second.value?.members ?? []);
    await whole.until(() => two.running?.takesPart === true);
    const third = await outcomeOf(whole, changesOf(whole.leader).add(['http://c:1'], false));
    await announce(whole, two);
    await whole.pass(healthyMs);
    const remove = (): Promise<unknown> => changesOf(two).remove(one.id);
    expect((await outcomeOf(whole, remove())).error).toBe(
      'etcdserver: re-configuration failed due to not enough started members',
    );
    const three = whole.join(third.value?.member.id ?? 0n, third.value?.members ?? []);
    await whole.until(() => three.running?.takesPart === true);
    await announce(whole, three);
    expect((await outcomeOf(whole, remove())).error).toBeUndefined();
    await put(whole, 'after');
  });

  test('by nobody, where the checks are off', async () => {
    const whole = await grown(3, { strictReconfigCheck: false });
    for (const url of ['http://d:1', 'http://e:1']) {
      const { error } = await outcomeOf(whole, changesOf(follower(whole)).add([url], false));
      expect(error).toBeUndefined();
    }
  });

  test('not for others that are under way', async () => {
    const whole = await grown(3);
    const asked = [...whole.members, ...whole.members];
    const urls = asked.map((_, i) => `http://u${i}:1`);
    const learner = await outcomeOf(whole, changesOf(whole.leader).add(['http://l:1'], true));
    const id = learner.value?.member.id ?? 0n;
    const outcomes = await outcomeOf(
      whole,
      Promise.all(asked.map((member, i) => changesOf(member).update(id, [urls[i] as string]))),
    );
    expect(outcomes.error).toBeUndefined();
    await expectEqualStates(whole);
    const [url] = whole.leader?.running?.membership.get(id)?.peerUrls ?? [];
    expect(urls).toContain(url);
  });
});
