/**
 * What the dissertation adds to the paper: persisted state and restarts (3.8), leadership transfer
 * (3.10), check-quorum (6.2), pre-vote (9.6), and writing in parallel (10.2).
 */
import { describe, expect, test } from 'vitest';
import type { MemberId, Message } from '../../src/raft/index.ts';
import {
  clusterOf,
  electionTicks,
  entryOf,
  type MemberOptions,
  type RaftCluster,
} from '../support/raft-cluster.ts';

const three = [1n, 2n, 3n];

function ledBy1(options: MemberOptions = {}, voters: readonly MemberId[] = three): RaftCluster {
  const cluster = clusterOf(voters, options);
  cluster.elect(1n);
  return cluster;
}

describe('dissertation 3.8: persisted state and restarts', () => {
  test('3.8: term, vote and log survive a restart; role and leader do not', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.settle();
    const before = cluster.node(1n).status();
    cluster.member(1n).restart();
    const { term, vote, lastIndex, confState } = before;
    const after = { term, vote, lastIndex, confState, role: 'follower', leader: 0n };
    expect(cluster.node(1n).status()).toMatchObject(after);
  });

  test('3.8: the commit index may be lost, what was applied is not', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.settle();
    const { applied } = cluster.node(2n).status();
    const { term, vote } = cluster.node(2n).status();
    cluster.member(2n).storage.setHardState({ term, vote, commit: 0 });
    cluster.member(2n).restart();
    expect(cluster.node(2n).status()).toMatchObject({ committed: applied, applied });
  });

  test('3.8: a commit index alone needs no sync', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.handleReady(1n);
    cluster.deliver({ to: 2n });
    cluster.handleReady(2n);
    cluster.deliver({ to: 1n });
    const { persist } = cluster.handleReady(1n);
    expect(persist).toMatchObject({ mustSync: false, entries: [], hardState: { commit: 4 } });
  });
});

describe('dissertation 3.10: leadership transfer', () => {
  test('3.10: a follower that has everything is told to campaign at once', () => {
    const cluster = ledBy1();
    cluster.node(1n).transferLeader(2n);
    cluster.handleReady(1n);
    expect(cluster.network).toMatchObject([{ type: 'timeoutNow', from: 1n, to: 2n }]);
    cluster.settle();
    expect(cluster.node(2n).status()).toMatchObject({ role: 'leader', term: 2 });
    expect(cluster.node(1n).status()).toMatchObject({ role: 'follower', leader: 2n });
  });

  test('3.10: a follower that lags is brought up to date first', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.settle([1n, 2n]);
    cluster.take({ to: 3n });
    cluster.node(1n).transferLeader(3n);
    cluster.handleReady(1n);
    expect(cluster.network.filter(({ type }) => type === 'timeoutNow')).toEqual([]);
    // What was lost is found out at once and not with the next heartbeat.
    cluster.settle();
    expect(cluster.node(3n).status().role).toBe('leader');
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
  });

  test('3.10: meanwhile the leader takes no proposals', () => {
    const cluster = ledBy1();
    cluster.node(1n).transferLeader(2n);
    expect(cluster.node(1n).propose([Buffer.from('x')])).toBe('transferring');
    cluster.settle();
    cluster.propose(2n, 'x');
  });

  test('3.10: a transfer that takes longer than an election timeout is given up', () => {
    const cluster = ledBy1();
    // The timeout begins with the transfer, whatever time had passed before.
    cluster.tick(1n, electionTicks - 1);
    cluster.node(1n).transferLeader(2n);
    cluster.handleReady(1n);
    cluster.take({ to: 2n });
    cluster.tick(1n, electionTicks - 1);
    expect(cluster.node(1n).status().transferee).toBe(2n);
    cluster.tick(1n);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', transferee: 0n });
    cluster.propose(1n, 'x');
    cluster.settle();
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
  });

  test('3.10: neither pre-vote nor the lease of the others stands in the way', () => {
    const cluster = ledBy1({ preVote: true, checkQuorum: true });
    cluster.tick(1n);
    cluster.settle();
    cluster.node(1n).transferLeader(3n);
    cluster.settle();
    expect(cluster.node(3n).status()).toMatchObject({ role: 'leader', term: 2 });
  });

  test('3.10: a follower passes the request on to the leader', () => {
    const cluster = ledBy1();
    cluster.node(2n).transferLeader(3n);
    cluster.settle();
    expect(cluster.node(3n).status().role).toBe('leader');
  });

  test('3.10: another transferee replaces the first, the same one changes nothing', () => {
    const cluster = ledBy1();
    cluster.node(1n).transferLeader(2n);
    cluster.node(1n).transferLeader(2n);
    cluster.handleReady(1n);
    expect(cluster.take({ type: 'timeoutNow' })).toHaveLength(1);
    cluster.node(1n).transferLeader(3n);
    cluster.settle();
    expect(cluster.node(3n).status().role).toBe('leader');
  });

  test('3.10: to itself, to strangers and to learners nothing is handed over', () => {
    const cluster = clusterOf([1n, 2n], { learners: [3n] });
    cluster.elect(1n);
    for (const transferee of [1n, 3n, 99n]) {
      cluster.node(1n).transferLeader(transferee);
      cluster.settle();
      expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', transferee: 0n });
      cluster.propose(1n, 'x');
    }
  });

  test('3.10: a member that is no voter ignores the call to campaign', () => {
    const cluster = clusterOf([1n, 2n], { learners: [3n] });
    cluster.elect(1n);
    cluster.node(3n).step({ type: 'timeoutNow', from: 1n, to: 3n, term: 1 });
    expect(cluster.node(3n).status()).toMatchObject({ role: 'follower', term: 1 });
  });
});

describe('dissertation 6.2: check-quorum', () => {
  test('6.2: a leader that hears from no majority steps down within two timeouts', () => {
    const cluster = ledBy1({ checkQuorum: true });
    cluster.tick(1n, 2 * electionTicks);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'follower', term: 1, leader: 0n });
  });

  test('6.2: one that does hear from a majority stays', () => {
    const cluster = ledBy1({ checkQuorum: true }, [1n, 2n, 3n, 4n, 5n]);
    for (let tick = 0; tick < 10 * electionTicks; tick++) {
      cluster.tick(1n);
      cluster.settle([1n, 2n, 3n]);
      cluster.take();
    }
    expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', term: 1 });
  });

  test('6.2: learners are no part of a majority', () => {
    const cluster = clusterOf([1n, 2n], { learners: [3n], checkQuorum: true });
    cluster.elect(1n);
    for (let tick = 0; tick < 2 * electionTicks; tick++) {
      cluster.tick(1n);
      cluster.settle([1n, 3n]);
    }
    expect(cluster.node(1n).status().role).toBe('follower');
  });

  test('6.2: the only voter leads on', () => {
    const cluster = ledBy1({ checkQuorum: true }, [1n]);
    cluster.tick(1n, 10 * electionTicks);
    expect(cluster.node(1n).status().role).toBe('leader');
  });

  test('6.2: without check-quorum a lonely leader stays, but commits nothing', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.tick(1n, 10 * electionTicks);
    cluster.handleReady(1n);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', committed: 3 });
  });
});

describe('dissertation 9.6: pre-vote', () => {
  test('9.6: a pre-candidate raises no term and gives no vote, not even to itself', () => {
    const cluster = ledBy1({ preVote: true });
    cluster.node(3n).campaign();
    const ready = cluster.handleReady(3n);
    expect(ready.persist).toBeUndefined();
    expect(ready.messages).toMatchObject([
      { type: 'preVote', to: 1n, term: 2 },
      { type: 'preVote', to: 2n, term: 2 },
    ]);
    expect(cluster.node(3n).status()).toMatchObject({ role: 'preCandidate', term: 1, vote: 1n });
  });

  test('9.6: granting a pre-vote changes nothing at the voter', () => {
    const cluster = ledBy1({ preVote: true });
    const before = cluster.node(2n).status();
    const request = { index: 99, logTerm: 99, transfer: false };
    cluster.node(2n).step({ type: 'preVote', from: 3n, to: 2n, term: 2, ...request });
    const { persist, messages } = cluster.handleReady(2n);
    expect(messages).toMatchObject([{ type: 'preVoteResponse', to: 3n, term: 2, reject: false }]);
    expect(persist).toBeUndefined();
    expect(cluster.node(2n).status()).toEqual(before);
  });

  test('9.6: a voter may grant pre-votes to several', () => {
    const cluster = clusterOf(three, { preVote: true });
    const request = { index: 99, logTerm: 99, transfer: false };
    for (const from of [2n, 3n]) {
      cluster.node(1n).step({ type: 'preVote', from, to: 1n, term: 2, ...request });
    }
    const { messages } = cluster.handleReady(1n);
    expect(messages).toMatchObject([{ reject: false }, { reject: false }]);
  });

  test('9.6: the log is compared as in a real election', () => {
    const cluster = ledBy1({ preVote: true });
    const request = { index: 2, logTerm: 1, transfer: false };
    cluster.node(2n).step({ type: 'preVote', from: 3n, to: 2n, term: 2, ...request });
    const { messages } = cluster.handleReady(2n);
    const answers = messages.filter(({ type }) => type === 'preVoteResponse');
    expect(answers).toMatchObject([{ term: 1, reject: true }]);
  });

  test('9.6: with a majority of pre-votes the election begins', () => {
    const cluster = clusterOf(three, { preVote: true });
    cluster.tick(1n, cluster.member(1n).electionTimeout);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'preCandidate', term: 0 });
    cluster.settle();
    expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', term: 1 });
  });

  test('9.6: a refusing majority ends it', () => {
    const cluster = clusterOf(three, { preVote: true });
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    for (const from of [2n, 3n]) {
      cluster.node(1n).step({ type: 'preVoteResponse', from, to: 1n, term: 0, reject: true });
    }
    expect(cluster.node(1n).status()).toMatchObject({ role: 'follower', term: 0 });
  });

  test('9.6: a refusal from a newer term teaches the pre-candidate that term', () => {
    const cluster = clusterOf(three, { preVote: true });
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    cluster.node(1n).step({ type: 'preVoteResponse', from: 2n, to: 1n, term: 7, reject: true });
    expect(cluster.node(1n).status()).toMatchObject({ role: 'follower', term: 7 });
  });

  test('9.6: pre-votes are no votes', () => {
    const cluster = clusterOf([1n, 2n, 3n, 4n, 5n], { preVote: true });
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    for (const from of [2n, 3n]) {
      cluster.node(1n).step({ type: 'preVoteResponse', from, to: 1n, term: 1, reject: false });
    }
    cluster.handleReady(1n);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'candidate', term: 1 });
    for (const from of [4n, 5n]) {
      cluster.node(1n).step({ type: 'preVoteResponse', from, to: 1n, term: 1, reject: false });
    }
    expect(cluster.node(1n).status().role).toBe('candidate');
  });

  test('9.6: answers to an earlier pre-vote do not count for a later one', () => {
    const cluster = clusterOf([1n, 2n, 3n, 4n, 5n], { preVote: true });
    const grant = (from: MemberId, term: number): Message => ({
      ...{ type: 'preVoteResponse', from, to: 1n, term, reject: false },
    });
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    for (const from of [2n, 3n]) cluster.node(1n).step(grant(from, 1));
    cluster.handleReady(1n);
    // The election comes to nothing, and the next pre-vote is about term 2.
    cluster.tick(1n, cluster.member(1n).electionTimeout);
    cluster.handleReady(1n);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'preCandidate', term: 1 });
    for (const from of [4n, 5n]) cluster.node(1n).step(grant(from, 1));
    expect(cluster.node(1n).status().role).toBe('preCandidate');
    for (const from of [4n, 5n]) cluster.node(1n).step(grant(from, 2));
    expect(cluster.node(1n).status()).toMatchObject({ role: 'candidate', term: 2 });
  });

  test('9.6: a member that was cut off comes back without disturbing the leader', () => {
    for (const checkQuorum of [false, true]) {
      const cluster = ledBy1({ preVote: true, checkQuorum });
      cluster.propose(1n, 'x');
      cluster.settle([1n, 2n]);
      for (let time = 0; time < 10; time++) {
        cluster.tick(3n, cluster.member(3n).electionTimeout);
        if (cluster.node(3n).hasReady()) cluster.handleReady(3n);
        cluster.take();
      }
      expect(cluster.node(3n).status().term).toBe(1);
      cluster.tick(1n);
      cluster.settle();
      expect(cluster.node(1n).status()).toMatchObject({ role: 'leader', term: 1 });
      expect(cluster.node(3n).status()).toMatchObject({ role: 'follower', leader: 1n });
      expect(cluster.appliedCommands(3n)).toEqual(['x']);
    }
  });

  test('9.6: a member of a newer term without a leader finds back by being told of it', () => {
    const cluster = ledBy1({ preVote: true, checkQuorum: true });
    // As if it had campaigned before pre-vote was switched on.
    cluster.member(3n).startWith({ term: 9, vote: 3n, commit: 3 }, []);
    cluster.tick(1n);
    cluster.settle();
    // The leader has seen the newer term, and the next election settles all of them in one.
    cluster.tick(1n, cluster.member(1n).electionTimeout);
    cluster.settle();
    const terms = three.map((id) => cluster.node(id).status().term);
    expect(new Set(terms).size).toBe(1);
    expect(cluster.node(1n).status().role).toBe('leader');
  });
});

describe('dissertation 10.2.1: writing to the leader’s disk in parallel', () => {
  test('10.2.1: the leader sends entries before it has written them', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    const ready = cluster.takeReady(1n);
    expect(ready.messages.map(({ type }) => type)).toEqual(['append', 'append']);
    expect(cluster.node(1n).status()).toMatchObject({ lastIndex: 4, durable: 3 });
  });

  test('10.2.1: its own log counts only once it is durable', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.takeReady(1n);
    cluster.deliver({ to: 2n });
    cluster.handleReady(2n);
    cluster.deliver({ to: 1n });
    expect(cluster.node(1n).status().committed).toBe(3);
    cluster.finishWrite(1n);
    expect(cluster.node(1n).status().committed).toBe(4);
  });

  test('10.2.1: a majority of others may commit what the leader has not written yet', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.takeReady(1n);
    cluster.settle([2n, 3n]);
    cluster.deliver({ to: 1n });
    expect(cluster.node(1n).status()).toMatchObject({ committed: 4, durable: 3 });
    // It applies nothing that it does not hold itself.
    expect(cluster.takeReady(1n).committedEntries).toEqual([]);
    cluster.settle([1n]);
    cluster.finishWrite(1n);
    cluster.finishWrite(1n);
    expect(cluster.takeReady(1n).committedEntries).toMatchObject([{ index: 4 }]);
  });

  test('10.2.1: acknowledgements of overwritten entries count for nothing', () => {
    const cluster = clusterOf(three, { index: 0 });
    cluster.member(1n).startWith({ term: 5, vote: 0n, commit: 0 }, [1]);
    const append = (term: number, from: MemberId): Message => ({
      ...{ type: 'append', from, to: 1n, term, index: 1, logTerm: 1, commit: 0 },
      entries: [entryOf(2, term)],
    });
    cluster.node(1n).step(append(6, 2n));
    cluster.takeReady(1n);
    cluster.node(1n).step(append(7, 3n));
    cluster.takeReady(1n);
    cluster.finishWrite(1n);
    expect(cluster.node(1n).status()).toMatchObject({ lastIndex: 2, durable: 1 });
    cluster.finishWrite(1n);
    expect(cluster.node(1n).status()).toMatchObject({ lastIndex: 2, durable: 2 });
    expect(cluster.member(1n).logTerms()).toEqual([1, 7]);
  });

  test('10.2.2: appends are pipelined: the next does not wait for the answer to the last', () => {
    const cluster = ledBy1();
    for (const command of ['a', 'b', 'c']) {
      cluster.propose(1n, command);
      cluster.handleReady(1n);
    }
    const sent = cluster.network.filter(({ to }) => to === 2n);
    expect(sent.map((message) => message.type === 'append' && message.index)).toEqual([3, 4, 5]);
  });

  test('10.2.2: a refusal in the midst of a pipeline is recovered from', () => {
    const cluster = ledBy1();
    for (const command of ['a', 'b', 'c', 'd']) {
      cluster.propose(1n, command);
      cluster.handleReady(1n);
    }
    const [lost] = cluster.network.filter(({ to }) => to === 2n);
    cluster.network = cluster.network.filter((message) => message !== lost).reverse();
    cluster.settle();
    cluster.tick(1n);
    cluster.settle();
    expect(cluster.appliedCommands(2n)).toEqual(['a', 'b', 'c', 'd']);
  });
});
