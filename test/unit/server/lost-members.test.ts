/** Members that leave while others still need them, and that come back without what they had. */
import { describe, expect, test } from 'vitest';
import {
  changesOf,
  expectEqualStates,
  follower,
  forgetFailure,
  grown,
  healthyMs,
  join,
  outcomeOf,
  put,
} from '../../support/changing-cluster.ts';
import type { VirtualMember } from '../../support/virtual-cluster.ts';

describe('one of two voters is removed', () => {
  test('and ends only once the other will not forget that, though it stops', async () => {
    let forgotten = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const whole = await grown(2, { seed, strictReconfigCheck: false });
      const left = whole.leader as VirtualMember;
      const gone = follower(whole);
      await outcomeOf(whole, changesOf(left).remove(gone.id));
      await whole.pass(whole.random.below(20));
      left.crash();
      await whole.pass(2_000);
      expect(gone.failure).toBeUndefined();
      left.start();
      await whole.until(() => left.running !== undefined);
      if (left.running?.membership.isRemoved(gone.id) === false) forgotten++;
      await whole.until(() => gone.failure !== undefined);
      expect(gone.failure?.message).toContain('permanently removed');
      await put(whole, 'after');
    }
    // It could not have had a majority without the other's vote.
    expect(forgotten).toBeGreaterThan(0);
  });
});

describe('a member whose disk was emptied', () => {
  test('comes back under a new id, after it was removed, and never under the old one', async () => {
    const whole = await grown(3);
    const victim = follower(whole);
    victim.crash();
    victim.directory.empty();
    victim.start();
    await whole.until(() => victim.failure !== undefined);
    expect(victim.failure?.message).toContain('has already been bootstrapped');
    victim.crash();
    const removed = await outcomeOf(whole, changesOf(whole.leader).remove(victim.id));
    expect(removed.error).toBeUndefined();
    const joined = await join(whole, `http://m${victim.id}:1`);
    expect(joined.id).not.toBe(victim.id);
    await put(whole, 'after');
    await expectEqualStates(whole);
    // The old one is told what it is, with whatever disk it comes.
    forgetFailure(victim);
    victim.start();
    await whole.until(() => victim.failure !== undefined);
    expect(victim.failure?.message).toMatch(/permanently removed|already been bootstrapped/);
  });

  test('is refused where it had joined, too', async () => {
    const whole = await grown(3);
    const joined = await join(whole, 'http://d:1');
    await put(whole, 'a');
    joined.crash();
    joined.directory.empty();
    joined.start();
    await whole.until(() => joined.failure !== undefined);
    expect(joined.failure?.message).toContain('has already been bootstrapped');
  });

  test('is refused where it had joined and nobody had heard its name yet', async () => {
    const whole = await grown(3);
    const { value } = await outcomeOf(whole, changesOf(whole.leader).add(['http://d:1'], false));
    const joined = whole.join(value?.member.id ?? 0n, value?.members ?? []);
    await whole.until(() => joined.running?.takesPart === true);
    joined.crash();
    joined.directory.empty();
    joined.start();
    await whole.until(() => joined.failure !== undefined);
    expect(joined.failure?.message).toContain('has already been bootstrapped');
  });

  test.each([
    ['before it was started', false],
    ['since it was started once', true],
  ])('is refused where most of its witnesses were removed %s', async (_, startsFirst) => {
    const whole = await grown(3);
    const first = await outcomeOf(whole, changesOf(whole.leader).add(['http://d:1'], true));
    const id = first.value?.member.id ?? 0n;
    const early = startsFirst ? whole.join(id, first.value?.members ?? []) : undefined;
    early?.crash();
    for (const url of ['http://e:1', 'http://f:1']) await join(whole, url);
    await whole.pass(healthyMs);
    for (const { id: witness } of whole.members.slice(0, 2)) {
      await whole.until(() => whole.leader !== undefined);
      const removed = await outcomeOf(whole, changesOf(whole.leader).remove(witness));
      expect(removed.error).toBeUndefined();
    }
    await whole.until(() => whole.leader !== undefined);
    const joined = early ?? whole.join(id, whole.leader?.running?.membership.list() ?? []);
    if (joined === early) joined.start();
    await whole.until(() => joined.failure !== undefined);
    expect(joined.failure?.message).toContain(`member ${id.toString(16)} cannot take part`);
    await join(whole, 'http://g:1');
  });
});
