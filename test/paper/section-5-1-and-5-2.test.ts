/** The statements of the Raft paper about terms (5.1) and leader election (5.2). */
import { describe, expect, test } from 'vitest';
import type { MemberId, Message, Role } from '../../src/raft/index.ts';
import { clusterOf, electionTicks, entryOf, type RaftCluster } from '../support/raft-cluster.ts';

const three = [1n, 2n, 3n];

/** Brings member 1 into a role in term 1 (pre-candidates: about term 1). */
function clusterWithRole(role: Role): RaftCluster {
  const cluster = clusterOf(three, { index: 0, preVote: role === 'preCandidate' });
  cluster.members.forEach((member) => member.startWith({ term: 1, vote: 0n, commit: 0 }, [1]));
  if (role === 'follower') return cluster;
  cluster.node(1n).campaign();
  if (role === 'leader') cluster.settle();
  else cluster.handleReady(1n);
  cluster.take();
  expect(cluster.node(1n).status().role).toBe(role);
  return cluster;
}

const roles: readonly Role[] = ['follower', 'preCandidate', 'candidate', 'leader'];

function appendOf(term: number, index = 1, logTerm = 1): Message {
  const entries = [entryOf(index + 1, term)];
  return { type: 'append', from: 2n, to: 1n, term, index, logTerm, entries, commit: 0 };
}

describe('Raft 5.1: terms', () => {
  test.each(roles)('5.1: a %s that sees a larger term takes it over and follows', (role) => {
    const cluster = clusterWithRole(role);
    cluster.node(1n).step(appendOf(9));
    expect(cluster.node(1n).status()).toMatchObject({ role: 'follower', term: 9, leader: 2n });
    cluster.handleReady(1n);
    expect(cluster.member(1n).storage.initialState().hardState).toMatchObject({
      term: 9,
      vote: 0n,
    });
  });

  test.each(roles)('5.1: a %s that is answered with a larger term steps back', (role) => {
    const cluster = clusterWithRole(role);
    const answer = { index: 0, reject: false, rejectHint: 0, logTerm: 0 };
    cluster.node(1n).step({ type: 'appendResponse', from: 2n, to: 1n, term: 9, ...answer });
    expect(cluster.node(1n).status()).toMatchObject({ role: 'follower', term: 9, leader: 0n });
  });

  test.each(roles)('5.1: a %s takes no entries of an older term', (role) => {
    const cluster = clusterWithRole(role);
    const before = cluster.member(1n).logTerms();
    cluster.node(1n).step({ type: 'append', from: 2n, to: 1n, term: 0, ...oldEntries });
    cluster.settle([1n]);
    expect(cluster.node(1n).status().role).toBe(role);
    expect(cluster.member(1n).logTerms()).toEqual(before);
  });
  const oldEntries = { index: 1, logTerm: 1, entries: [entryOf(2, 0)], commit: 2 };

  test.each(roles)('figure 2: a %s refuses a vote of an older term, and tells its own', (role) => {
    const cluster = clusterWithRole(role);
    const request = { index: 99, logTerm: 99, transfer: false };
    cluster.node(1n).step({ type: 'vote', from: 2n, to: 1n, term: 0, ...request });
    cluster.settle([1n]);
    const { term } = cluster.node(1n).status();
    expect(cluster.take({ type: 'voteResponse' })).toMatchObject([{ term, reject: true }]);
  });

  test('5.1: the term survives a restart and never falls', () => {
    const cluster = clusterWithRole('candidate');
    const { term } = cluster.node(1n).status();
    cluster.member(1n).restart();
    expect(cluster.node(1n).status()).toMatchObject({ term, vote: 1n, role: 'follower' });
    cluster.node(1n).step(appendOf(1));
    expect(cluster.node(1n).status().term).toBe(term);
  });

  test('5.1: a term that was not made durable was never spoken of', () => {
    const cluster = clusterWithRole('follower');
    cluster.node(1n).campaign();
    const ready = cluster.takeReady(1n);
    expect(ready.messages).toEqual([]);
    expect(ready.persist?.mustSync).toBe(true);
    cluster.member(1n).restart();
    expect(cluster.node(1n).status().term).toBe(1);
    expect(cluster.network).toEqual([]);
  });
});

describe('Raft 5.2: leader election', () => {
  test('5.2: members start as followers', () => {
    for (const { node } of clusterOf(three).members.values()) {
      expect(node.status()).toMatchObject({ role: 'follower', leader: 0n });
    }
  });

  test('5.2: a leader sends heartbeats to all others at every heartbeat interval', () => {
    const cluster = clusterOf(three, { heartbeatTicks: 2 });
    cluster.elect(1n);
    const beats = [1, 2, 3, 4].map(() => {
      cluster.tick(1n);
      if (cluster.node(1n).hasReady()) cluster.handleReady(1n);
      return cluster.take({ type: 'heartbeat' }).map(({ to }) => to);
    });
    expect(beats).toEqual([[], [2n, 3n], [], [2n, 3n]]);
  });

  test.each(['append', 'heartbeat', 'snapshot'] as const)(
    '5.2: a follower that receives a valid %s waits a whole timeout from then on',
    (type) => {
      const cluster = clusterOf(three);
      cluster.elect(1n);
      cluster.tick(2n, cluster.member(2n).electionTimeout - 1);
      const envelope = { from: 1n, to: 2n, term: 1 };
      const snapshot = { index: 1, term: 1, confState: cluster.node(2n).status().confState };
      const messages: Record<typeof type, Message> = {
        append: { type: 'append', ...envelope, index: 3, logTerm: 1, entries: [], commit: 3 },
        heartbeat: { type: 'heartbeat', ...envelope, commit: 3, context: 1n },
        snapshot: { type: 'snapshot', ...envelope, snapshot },
      };
      cluster.node(2n).step(messages[type]);
      cluster.tick(2n, cluster.member(2n).electionTimeout - 1);
      expect(cluster.node(2n).status().role).toBe('follower');
      cluster.tick(2n);
      expect(cluster.node(2n).status().role).toBe('candidate');
    },
  );

  test('5.2: to stand, a follower raises its term, votes for itself and asks all others', () => {
    const cluster = clusterOf([1n, 2n, 3n, 4n, 5n]);
    cluster.tick(1n, cluster.member(1n).electionTimeout);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'candidate', term: 1, vote: 1n });
    cluster.handleReady(1n);
    const requests = cluster.take({ type: 'vote' });
    expect(requests.map(({ to, term }) => [to, term])).toEqual([
      [2n, 1],
      [3n, 1],
      [4n, 1],
      [5n, 1],
    ]);
  });

  test.each([
    // voters, grants by others, refusals, outcome
    [1, 0, 0, 'leader'],
    [2, 0, 1, 'follower'],
    [2, 1, 0, 'leader'],
    [3, 1, 0, 'leader'],
    [3, 0, 1, 'candidate'],
    [3, 0, 2, 'follower'],
    [4, 1, 1, 'candidate'],
    [4, 2, 1, 'leader'],
    [5, 1, 2, 'candidate'],
    [5, 2, 2, 'leader'],
    [5, 1, 3, 'follower'],
    [6, 2, 3, 'follower'],
    [7, 3, 0, 'leader'],
    [7, 2, 3, 'candidate'],
  ] as const)('5.2: of %i voters %i grant and %i refuse: %s', (size, grants, refusals, outcome) => {
    const cluster = clusterOf(Array.from({ length: size }, (_, index) => BigInt(index + 1)));
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    for (let index = 0; index < grants + refusals; index++) {
      const from = BigInt(index + 2);
      const reject = index >= grants;
      cluster.node(1n).step({ type: 'voteResponse', from, to: 1n, term: 1, reject });
    }
    expect(cluster.node(1n).status().role).toBe(outcome);
  });

  test('5.2: an answer that arrives twice is one vote', () => {
    const cluster = clusterOf([1n, 2n, 3n, 4n, 5n]);
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    const grant: Message = { type: 'voteResponse', from: 2n, to: 1n, term: 1, reject: false };
    for (let count = 0; count < 3; count++) cluster.node(1n).step(grant);
    expect(cluster.node(1n).status().role).toBe('candidate');
  });

  test('5.2: votes of another term do not count', () => {
    const cluster = clusterOf(three);
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    cluster.node(1n).step({ type: 'voteResponse', from: 2n, to: 1n, term: 1, reject: false });
    expect(cluster.node(1n).status()).toMatchObject({ role: 'candidate', term: 2 });
  });

  function askForVote(cluster: RaftCluster, candidate: MemberId, term = 1): boolean | undefined {
    const request = { index: 9, logTerm: 9, transfer: false };
    cluster.node(1n).step({ type: 'vote', from: candidate, to: 1n, term, ...request });
    cluster.settle([1n]);
    const [answer] = cluster.take({ type: 'voteResponse' });
    return answer?.type === 'voteResponse' ? !answer.reject : undefined;
  }

  test('5.2: a member votes for one candidate in a term, the first to ask', () => {
    const cluster = clusterOf(three);
    expect(askForVote(cluster, 2n)).toBe(true);
    expect(askForVote(cluster, 3n)).toBe(false);
    expect(askForVote(cluster, 2n), 'asked again, it answers the same').toBe(true);
    expect(askForVote(cluster, 3n, 2), 'a new term, a new vote').toBe(true);
  });

  test('5.2: the vote is durable before it is given, so a restart cannot give another', () => {
    const cluster = clusterOf(three);
    const request = { index: 9, logTerm: 9, transfer: false };
    cluster.node(1n).step({ type: 'vote', from: 2n, to: 1n, term: 1, ...request });
    const ready = cluster.takeReady(1n);
    expect(ready.messages).toEqual([]);
    expect(ready.persist).toMatchObject({ mustSync: true, hardState: { term: 1, vote: 2n } });
    expect(cluster.network).toEqual([]);
    cluster.finishWrite(1n);
    expect(cluster.take({ to: 2n })).toMatchObject([{ type: 'voteResponse', reject: false }]);
    cluster.member(1n).restart();
    expect(askForVote(cluster, 3n)).toBe(false);
  });

  test('5.2: a winner tells all others at once', () => {
    const cluster = clusterOf(three);
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    cluster.take();
    cluster.node(1n).step({ type: 'voteResponse', from: 2n, to: 1n, term: 1, reject: false });
    cluster.handleReady(1n);
    expect(cluster.take({ type: 'append' }).map(({ to, term }) => [to, term])).toEqual([
      [2n, 1],
      [3n, 1],
    ]);
  });

  test.each([
    [1, 'follower'],
    [2, 'follower'],
    [0, 'candidate'],
  ] as const)('5.2: a candidate of term 1 that hears a leader of term %i is %s', (term, role) => {
    const cluster = clusterOf(three);
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    const claim = { index: 2, logTerm: 1, entries: [], commit: 2 };
    cluster.node(1n).step({ type: 'append', from: 2n, to: 1n, term, ...claim });
    expect(cluster.node(1n).status().role).toBe(role);
    expect(cluster.node(1n).status().leader).toBe(role === 'follower' ? 2n : 0n);
  });

  test('5.2: a split vote elects nobody; the next timeout begins a new term', () => {
    const cluster = clusterOf([1n, 2n, 3n, 4n]);
    cluster.node(1n).campaign();
    cluster.node(2n).campaign();
    cluster.handleReady(1n);
    cluster.handleReady(2n);
    cluster.deliver({ to: 3n, from: 1n });
    cluster.deliver({ to: 4n, from: 2n });
    cluster.settle();
    const statuses = [...cluster.members.values()].map(({ node }) => node.status());
    expect(statuses.every(({ role, term }) => role !== 'leader' && term === 1)).toBe(true);
    cluster.tick(1n, cluster.member(1n).electionTimeout);
    cluster.settle();
    expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', term: 2 });
  });

  test('5.2: election timeouts are drawn anew, from one up to two base timeouts', () => {
    const drawn = new Set<number>();
    for (const timeout of [electionTicks, electionTicks + 1, 2 * electionTicks - 1]) {
      const cluster = clusterOf(three);
      const member = cluster.member(1n);
      member.electionTimeout = timeout;
      member.restart();
      let ticks = 0;
      for (; member.node.status().role === 'follower'; ticks++) member.node.tick();
      expect(ticks).toBe(timeout);
      drawn.add(ticks);
      // The candidate draws again for its next attempt.
      member.electionTimeout = electionTicks;
      cluster.handleReady(1n);
      member.node.campaign();
      cluster.handleReady(1n);
      const before = member.node.status().term;
      cluster.tick(1n, electionTicks);
      expect(member.node.status().term).toBe(before + 1);
    }
    expect(drawn.size).toBe(3);
  });

  test('5.2: without a leader somebody is elected, however the timeouts fall', () => {
    for (let seed = 0; seed < 27; seed++) {
      const cluster = clusterOf(three);
      three.forEach((id, position) => {
        const member = cluster.member(id);
        member.electionTimeout = electionTicks + (Math.floor(seed / 3 ** position) % 3);
        member.restart();
      });
      for (let tick = 0; tick < 2 * electionTicks; tick++) {
        for (const id of three) cluster.tick(id);
        cluster.settle();
        // Equal timeouts may collide once; then they differ.
        three.forEach((id, position) => {
          cluster.member(id).electionTimeout = electionTicks + position;
        });
      }
      for (let tick = 0; tick < 2 * electionTicks; tick++) {
        for (const id of three) cluster.tick(id);
        cluster.settle();
      }
      const leaders = [...cluster.members.values()].filter(
        ({ node }) => node.status().role === 'leader',
      );
      expect(leaders, `timeouts of seed ${seed}`).toHaveLength(1);
    }
  });
});
