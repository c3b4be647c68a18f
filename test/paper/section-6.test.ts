/** Changes of membership: section 6 of the Raft paper and chapter 4 of the dissertation. */
import { describe, expect, test } from 'vitest';
import {
  ConfChangeTransition,
  ConfChangeType,
  EntryKind,
  type ConfChange,
  type ConfChangeSingle,
  type MemberId,
  type ProposalRefusal,
} from '../../src/raft/index.ts';
import { clusterOf, type RaftCluster } from '../support/raft-cluster.ts';

const three = [1n, 2n, 3n];
const { auto, jointExplicit } = ConfChangeTransition;

function add(member: MemberId): ConfChangeSingle {
  return { type: ConfChangeType.addVoter, member };
}

function learn(member: MemberId): ConfChangeSingle {
  return { type: ConfChangeType.addLearner, member };
}

function remove(member: MemberId): ConfChangeSingle {
  return { type: ConfChangeType.remove, member };
}

function idsOf(text: string): MemberId[] {
  return text.split(' ').map((word) => BigInt(word));
}

function change(
  cluster: RaftCluster,
  changes: readonly ConfChangeSingle[],
  transition: ConfChangeTransition = auto,
): ProposalRefusal | undefined {
  const leader = [...cluster.members.values()].findLast(
    ({ node }) => node.status().role === 'leader',
  );
  const proposal: ConfChange = { transition, changes, context: new Uint8Array(0) };
  return leader?.node.proposeConfChange(proposal);
}

function ledBy1(voters: readonly MemberId[] = three, options = {}): RaftCluster {
  const cluster = clusterOf(voters, options);
  cluster.elect(1n);
  return cluster;
}

describe('Raft 6: joint consensus', () => {
  /** Old voters 1 2 3, new voters 3 4 5, with the leader 1 in between. */
  function betweenTwo(): RaftCluster {
    const cluster = ledBy1();
    cluster.add(2);
    change(cluster, [add(4n), add(5n), remove(1n), remove(2n)], jointExplicit);
    cluster.settle();
    expect(cluster.node(1n).status().confState).toMatchObject({
      voters: [3n, 4n, 5n],
      votersOutgoing: three,
    });
    return cluster;
  }

  test.each([
    ['2', false],
    ['2 3', false],
    ['4 5', false],
    ['3', false],
    ['3 4', true],
    ['2 4 5', true],
    ['2 3 4', true],
  ])('6: between the configurations 1 commits with %s: %s', (helpers, committed) => {
    const cluster = betweenTwo();
    const { lastIndex } = cluster.node(1n).status();
    cluster.propose(1n, 'x');
    cluster.settle([1n, ...idsOf(helpers)]);
    expect(cluster.node(1n).status().committed).toBe(committed ? lastIndex + 1 : lastIndex);
  });

  test.each([
    ['4 5', false],
    ['2', false],
    ['2 3', false],
    ['2 4', true],
    ['1 5', true],
  ])('6: between the configurations 3 is elected with %s: %s', (helpers, elected) => {
    const cluster = betweenTwo();
    cluster.node(3n).campaign();
    cluster.settle([3n, ...idsOf(helpers)]);
    expect(cluster.node(3n).status().role === 'leader').toBe(elected);
  });

  test('6: any member of either configuration may lead in between', () => {
    for (const id of [1n, 2n, 3n, 4n, 5n]) {
      const cluster = betweenTwo();
      if (id !== 1n) cluster.elect(id);
      cluster.propose(id, 'x');
      cluster.settle();
      expect(cluster.appliedCommands(5n)).toEqual(['x']);
    }
  });

  test('6: the transition is an entry of the log, and so is its end', () => {
    const cluster = betweenTwo();
    change(cluster, []);
    cluster.settle();
    const kinds = cluster
      .member(3n)
      .log()
      .map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === EntryKind.confChange)).toHaveLength(2);
    expect(cluster.node(3n).status().confState).toMatchObject({
      voters: [3n, 4n, 5n],
      votersOutgoing: [],
    });
  });

  test('6: new members join as learners first, so that they hold up nobody', () => {
    const cluster = ledBy1();
    change(cluster, [learn(4n)]);
    cluster.settle(three);
    const { committed } = cluster.node(1n).status();
    cluster.propose(1n, 'x');
    cluster.settle([1n, 2n]);
    expect(cluster.node(1n).status().committed).toBe(committed + 1);
  });

  test('6: a leader that is not in the new configuration steps down once that is committed', () => {
    const cluster = ledBy1(three, { stepDownOnRemoval: true });
    change(cluster, [remove(1n)]);
    cluster.handleReady(1n);
    expect(cluster.node(1n).status().role).toBe('leader');
    cluster.settle();
    expect(cluster.node(1n).status().role).toBe('follower');
    cluster.elect(2n);
    expect(cluster.node(2n).status().confState.voters).toEqual([2n, 3n]);
  });

  test('6: while it manages a cluster without itself, a leader does not count itself', () => {
    const cluster = ledBy1();
    change(cluster, [remove(1n)]);
    cluster.settle();
    const { committed } = cluster.node(1n).status();
    expect(cluster.node(1n).status().confState.voters).toEqual([2n, 3n]);
    expect(cluster.node(1n).propose([Buffer.from('x')])).toBe('removed');
    expect(cluster.node(1n).status().committed).toBe(committed);
  });

  test('6: a smaller configuration commits at once what it holds', () => {
    const cluster = ledBy1([1n, 2n, 3n, 4n]);
    change(cluster, [remove(4n)]);
    cluster.handleReady(1n);
    cluster.deliver({ to: 3n });
    cluster.settle([3n]);
    cluster.propose(1n, 'x');
    cluster.settle([1n, 2n]);
    // 1, 2 and 3 committed the change, three of four; 1 and 2 hold x, two of three.
    expect(cluster.appliedCommands(1n)).toEqual(['x']);
    expect(cluster.appliedCommands(3n)).toEqual([]);
  });

  test('6: removed members cannot disturb: who hears from a leader ignores their campaigns', () => {
    const cluster = ledBy1(three, { checkQuorum: true });
    change(cluster, [remove(3n)]);
    cluster.settle([1n, 2n]);
    cluster.take({ to: 3n });
    const { term } = cluster.node(1n).status();
    for (let attempt = 0; attempt < 5; attempt++) {
      cluster.tick(3n, cluster.member(3n).electionTimeout);
      cluster.handleReady(3n);
      cluster.tick(1n);
      cluster.settle([1n, 2n]);
      cluster.take({ to: 3n });
    }
    expect(cluster.node(3n).status().term).toBeGreaterThan(term);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', term });
    expect(cluster.node(2n).status()).toMatchObject({ leader: 1n, term });
  });
});

describe('dissertation 4.1: safety of single changes', () => {
  test.each<[string, readonly ConfChangeSingle[]]>([
    ['added', [add(4n)]],
    ['removed', [remove(3n)]],
    ['demoted', [learn(3n)]],
  ])('4.1: one voter is %s without a joint configuration', (_what, changes) => {
    const cluster = ledBy1();
    cluster.add(1);
    expect(change(cluster, changes)).toBeUndefined();
    cluster.settle();
    const kinds = cluster
      .member(1n)
      .log()
      .filter(({ kind }) => kind === EntryKind.confChange);
    expect(kinds).toHaveLength(1);
    expect(cluster.node(1n).status().confState.votersOutgoing).toEqual([]);
  });

  test('4.1: two voters at once take a joint configuration, which is left by itself', () => {
    const cluster = ledBy1();
    cluster.add(2);
    change(cluster, [add(4n), add(5n)]);
    cluster.settle();
    const kinds = cluster
      .member(1n)
      .log()
      .filter(({ kind }) => kind === EntryKind.confChange);
    expect(kinds).toHaveLength(2);
    expect(cluster.node(5n).status().confState.voters).toEqual([1n, 2n, 3n, 4n, 5n]);
  });

  test('4.1: no change begins before the one before it is done', () => {
    const cluster = ledBy1();
    cluster.add(2);
    expect(change(cluster, [add(4n)])).toBeUndefined();
    expect(change(cluster, [add(5n)])).toBe('confChangePending');
    cluster.settle();
    expect(change(cluster, [add(5n)])).toBeUndefined();
    cluster.settle();
    expect(cluster.node(4n).status().confState.voters).toHaveLength(5);
  });

  test('4.1: a new leader makes no change before it has committed an entry of its own term', () => {
    const cluster = ledBy1();
    cluster.node(2n).campaign();
    cluster.handleReady(2n);
    cluster.deliver({ to: 3n });
    cluster.handleReady(3n);
    cluster.deliver({ to: 2n });
    expect(cluster.node(2n).status().role).toBe('leader');
    const proposal = { transition: auto, changes: [remove(3n)], context: new Uint8Array(0) };
    expect(cluster.node(2n).proposeConfChange(proposal)).toBe('confChangePending');
    cluster.settle();
    expect(cluster.node(2n).proposeConfChange(proposal)).toBeUndefined();
  });

  test('4.1: a change of an earlier leader that is still in the log counts as under way', () => {
    const cluster = ledBy1();
    change(cluster, [remove(3n)]);
    cluster.handleReady(1n);
    cluster.deliver({ to: 2n });
    cluster.handleReady(2n);
    cluster.take();
    cluster.node(2n).campaign();
    cluster.handleReady(2n);
    cluster.deliver({ to: 3n });
    cluster.handleReady(3n);
    cluster.deliver({ to: 2n });
    const proposal = { transition: auto, changes: [add(4n)], context: new Uint8Array(0) };
    expect(cluster.node(2n).proposeConfChange(proposal)).toBe('confChangePending');
    cluster.settle();
    expect(cluster.node(2n).status().confState.voters).toEqual([1n, 2n]);
  });

  test('4.1: who has not applied a committed change yet does not campaign', () => {
    const cluster = ledBy1();
    change(cluster, [remove(3n)]);
    cluster.settle([1n, 2n]);
    const member = cluster.member(3n);
    cluster.deliver({ to: 3n });
    while (member.node.hasReady()) {
      cluster.takeReady(3n);
      while (cluster.finishWrite(3n) !== undefined);
    }
    expect(member.node.status().committed).toBeGreaterThan(member.node.status().applied);
    member.node.campaign();
    expect(member.node.status().role).toBe('follower');
  });
});

describe('dissertation 4.2: availability', () => {
  test('4.2.1: a learner gets all entries but is counted for nothing', () => {
    const cluster = clusterOf([1n, 2n], { learners: [3n] });
    cluster.elect(1n);
    cluster.propose(1n, 'x');
    cluster.settle([1n, 3n]);
    expect(cluster.appliedCommands(1n)).toEqual([]);
    cluster.settle();
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
  });

  test('4.2.1: a learner never campaigns', () => {
    const cluster = clusterOf([1n, 2n], { learners: [3n] });
    cluster.tick(3n, 100);
    cluster.node(3n).campaign();
    cluster.node(3n).step({ type: 'timeoutNow', from: 1n, to: 3n, term: 0 });
    expect(cluster.node(3n).status()).toMatchObject({ role: 'follower', term: 0, isLearner: true });
    expect(cluster.node(3n).hasReady()).toBe(false);
  });

  test('4.2.1: a learner that is promoted counts from then on', () => {
    const cluster = clusterOf([1n, 2n], { learners: [3n] });
    cluster.elect(1n);
    change(cluster, [add(3n)]);
    cluster.settle();
    cluster.propose(1n, 'x');
    cluster.settle([1n, 3n]);
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
    cluster.elect(3n);
  });

  test('4.2.2: a leader replicates its own removal, and the others go on', () => {
    const cluster = ledBy1(three, { stepDownOnRemoval: true });
    change(cluster, [remove(1n)]);
    cluster.settle();
    cluster.tick(2n, cluster.member(2n).electionTimeout);
    cluster.settle([2n, 3n]);
    cluster.propose(2n, 'x');
    cluster.settle([2n, 3n]);
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
  });

  test('4.2.2: a removed leader that may stay on needs both of the two that are left', () => {
    const cluster = ledBy1();
    change(cluster, [remove(1n)]);
    cluster.propose(1n, 'x');
    cluster.settle([1n, 2n]);
    // The change itself was committed by 1 and 2, under the old configuration; x came along.
    expect(cluster.node(1n).status().confState.voters).toEqual([2n, 3n]);
    cluster.settle();
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
  });

  test('4.2.3: with a live leader a vote request does not even raise the term', () => {
    const cluster = ledBy1(three, { checkQuorum: true });
    const request = { index: 99, logTerm: 99, transfer: false };
    for (const type of ['vote', 'preVote'] as const) {
      cluster.node(2n).step({ type, from: 3n, to: 2n, term: 50, ...request });
    }
    expect(cluster.node(2n).status()).toMatchObject({ term: 1, leader: 1n });
    expect(cluster.node(2n).hasReady()).toBe(false);
  });

  test('4.2.3: after an election timeout without a word the same request is heard', () => {
    const cluster = ledBy1(three, { checkQuorum: true });
    cluster.tick(2n, 3);
    const request = { index: 99, logTerm: 99, transfer: false };
    cluster.node(2n).step({ type: 'vote', from: 3n, to: 2n, term: 50, ...request });
    expect(cluster.node(2n).status()).toMatchObject({ term: 50, vote: 3n });
  });

  test('4.2.3: a campaign that the leader itself asked for is heard at once', () => {
    const cluster = ledBy1(three, { checkQuorum: true });
    const request = { index: 99, logTerm: 99, transfer: true };
    cluster.node(2n).step({ type: 'vote', from: 3n, to: 2n, term: 2, ...request });
    expect(cluster.node(2n).status()).toMatchObject({ term: 2, vote: 3n });
  });
});

describe('dissertation 4.3: arbitrary changes', () => {
  test('4.3: all voters are replaced at once while commands go on', () => {
    const cluster = ledBy1();
    cluster.add(3);
    change(cluster, [...[4n, 5n, 6n].map(add), ...three.map(remove)]);
    for (let index = 0; index < 5; index++) {
      cluster.node(1n).propose([Buffer.from(`${index}`)]);
      cluster.settle();
    }
    expect(cluster.node(4n).status().confState.voters).toEqual([4n, 5n, 6n]);
    cluster.elect(4n);
    cluster.propose(4n, 'x');
    cluster.settle([4n, 5n, 6n]);
    expect(cluster.appliedCommands(6n).at(-1)).toBe('x');
  });

  test('4.3: a new leader leaves a joint configuration that its predecessor entered', () => {
    const cluster = ledBy1();
    cluster.add(2);
    change(cluster, [add(4n), add(5n)]);
    // 1 dies when the joint configuration is committed and applied, before it proposes to leave.
    for (let guard = 0; cluster.node(1n).status().confState.votersOutgoing.length === 0; guard++) {
      expect(guard).toBeLessThan(20);
      for (const id of three) if (cluster.node(id).hasReady()) cluster.handleReady(id);
      for (const id of three) cluster.deliver({ to: id });
    }
    cluster.settle([2n, 3n]);
    cluster.take();
    cluster.member(1n).restart();
    cluster.node(2n).campaign();
    cluster.settle();
    expect(cluster.node(2n).status().role).toBe('leader');
    expect(cluster.node(2n).status().confState).toMatchObject({
      voters: [1n, 2n, 3n, 4n, 5n],
      votersOutgoing: [],
    });
  });

  test('4.3: a voter that is to be a learner votes until the joint configuration is left', () => {
    const cluster = ledBy1();
    cluster.add(1);
    change(cluster, [learn(3n), add(4n)], jointExplicit);
    cluster.settle();
    const joint = cluster.node(3n).status().confState;
    expect(joint).toMatchObject({ learners: [], learnersNext: [3n], votersOutgoing: three });
    expect(cluster.node(3n).status().isLearner).toBe(false);
    change(cluster, []);
    cluster.settle();
    expect(cluster.node(3n).status().isLearner).toBe(true);
    expect(cluster.node(3n).status().confState.learners).toEqual([3n]);
  });
});
