import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { Message } from '../../../src/raft/index.ts';
import { clusterOf } from '../../support/raft-cluster.ts';
import { RaftNetwork } from '../../support/raft-network.ts';

const three = [1n, 2n, 3n];

/** Messages that a member wants sent now, and those that wait for its disk. */
function outbox(network: RaftNetwork, id: bigint): { now: Message[]; later: Message[] } {
  const host = network.host(id);
  const ready = host.node.ready();
  const later = ready.persist?.messages ?? [];
  if (ready.persist !== undefined) host.writes.push(ready.persist);
  return { now: [...ready.messages], later: [...later] };
}

describe('elections', () => {
  test('a vote leaves only once it is durable', () => {
    const network = new RaftNetwork(three);
    const { node } = network.host(2n);
    node.step({
      type: 'vote',
      from: 1n,
      to: 2n,
      term: 1,
      index: 0,
      logTerm: 0,
      transfer: false,
    });
    const { now, later } = outbox(network, 2n);
    assert.deepEqual(now, []);
    assert.deepEqual(
      later.map(({ type, to }) => ({ type, to })),
      [{ type: 'voteResponse', to: 1n }],
    );
    assert.deepEqual(network.host(2n).writes[0]?.hardState, { term: 1, vote: 1n, commit: 0 });
    assert.equal(network.host(2n).writes[0]?.mustSync, true);
  });

  test('a candidate asks for votes only once its own is durable, and counts it then', () => {
    const network = new RaftNetwork(three, { options: { preVote: false } });
    const host = network.host(1n);
    host.node.campaign();
    const { now, later } = outbox(network, 1n);
    assert.deepEqual(now, []);
    assert.deepEqual(
      later.map((message) => message.type),
      ['vote', 'vote'],
    );
    assert.equal(host.node.core.tracker.votes.size, 0);
    host.sync();
    assert.equal(host.node.core.tracker.votes.get(1n), true);
  });

  test('a write of an earlier term does not make the own vote count', () => {
    const network = new RaftNetwork(three, { options: { preVote: false } });
    const host = network.host(1n);
    const { node } = host;
    const ask = { type: 'vote', from: 2n, to: 1n, index: 0, logTerm: 0, transfer: false } as const;
    node.step({ ...ask, term: 1 });
    host.takeReady();
    node.forgetLeader();
    node.campaign();
    host.takeReady();
    assert.equal(host.writes.length, 2);
    host.sync(1);
    assert.equal(node.core.tracker.votes.size, 0);
    host.sync(1);
    assert.equal(node.core.tracker.votes.get(1n), true);
  });

  test('where reads rest on leases, a restarted member does not vote for one timeout', () => {
    const network = new RaftNetwork(three, { options: { leaseReads: true } });
    const { node } = network.host(1n);
    const ask = { type: 'vote', from: 2n, to: 1n, index: 0, logTerm: 0, transfer: false } as const;
    node.step({ ...ask, term: 1 });
    assert.equal(node.core.vote, 0n);
    for (let each = 0; each < 9; each++) node.tick();
    node.step({ ...ask, term: 1 });
    assert.equal(node.core.vote, 0n);
    node.tick();
    node.step({ ...ask, term: 1 });
    assert.equal(node.core.vote, 2n);
  });

  test('a single voter leads only once its vote is durable', () => {
    const network = new RaftNetwork([1n]);
    const host = network.host(1n);
    host.node.campaign();
    assert.equal(host.role, 'candidate');
    host.takeReady();
    assert.equal(host.role, 'candidate');
    host.sync();
    assert.equal(host.role, 'leader');
  });

  test('a member votes once in a term, for the same candidate as often as it asks', () => {
    const network = new RaftNetwork(three);
    const { node } = network.host(3n);
    const ask = (from: bigint): boolean => {
      node.step({ type: 'vote', from, to: 3n, term: 1, index: 0, logTerm: 0, transfer: false });
      const answer = outbox(network, 3n).later.at(-1);
      assert.ok(answer?.type === 'voteResponse');
      return !answer.reject;
    };
    assert.deepEqual([ask(1n), ask(2n), ask(1n)], [true, false, true]);
  });

  test('a candidate whose log is behind loses', () => {
    const network = new RaftNetwork(three, { options: { preVote: false, checkQuorum: false } });
    network.elect(1n);
    network.isolate(3n);
    network.propose(1n, 'a');
    network.settle();
    network.heal();
    network.act(network.host(3n), ({ node }) => node.campaign());
    network.settle();
    assert.notEqual(network.host(3n).role, 'leader');
    assert.equal(network.host(1n).node.core.term, 2);
    network.elect(2n);
  });

  test('with pre-vote a member that was cut off does not disturb the others', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.isolate(3n);
    network.tick(100);
    assert.equal(network.host(3n).node.core.term, 1);
    assert.equal(network.host(3n).role, 'preCandidate');
    network.heal();
    network.tick(5);
    assert.equal(network.leader()?.id, 1n);
    assert.equal(network.host(3n).role, 'follower');
    assert.equal(network.host(3n).node.core.term, 1);
  });

  test('without pre-vote such a member is taken back in by a new term', () => {
    const network = new RaftNetwork(three, { options: { preVote: false } });
    network.elect(1n);
    network.isolate(3n);
    network.tick(100);
    assert.ok(network.host(3n).node.core.term > 1);
    network.heal();
    network.tick(60);
    const leader = network.leader();
    assert.ok(leader);
    for (const host of network.hosts.values())
      assert.equal(host.node.core.term, leader.node.core.term);
  });

  test('voters that hear from their leader ignore candidates', () => {
    const network = new RaftNetwork(three, { options: { preVote: false } });
    network.elect(1n);
    network.tick(2);
    const { node } = network.host(2n);
    node.step({
      type: 'vote',
      from: 3n,
      to: 2n,
      term: 9,
      index: 9,
      logTerm: 9,
      transfer: false,
    });
    assert.equal(node.core.term, 1);
    assert.equal(node.hasReady(), false);
  });

  test('a candidate of an older term hears of the newer one from who does not know it', () => {
    const cluster = clusterOf([1n, 2n]);
    cluster.member(2n).startWith({ term: 5, vote: 0n, commit: 2 }, []);
    cluster.node(1n).campaign();
    cluster.settle();
    assert.deepEqual(
      [cluster.node(1n).status().term, cluster.node(1n).status().role],
      [5, 'follower'],
    );
    cluster.elect(1n);
  });

  test('but not from who hears from a leader', () => {
    const cluster = clusterOf([1n, 2n, 3n], { checkQuorum: true });
    cluster.elect(2n);
    const { term } = cluster.node(2n).status();
    const vote = { type: 'vote', from: 1n, to: 3n, index: 9, logTerm: 9, transfer: false } as const;
    cluster.node(3n).step({ ...vote, term: term - 1 });
    cluster.handleReady(3n);
    assert.deepEqual(cluster.take({ from: 3n }), []);
  });

  test('a leader without a quorum steps down', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.isolate(1n);
    network.tick(25);
    assert.notEqual(network.host(1n).role, 'leader');
    const leader = network.leader();
    assert.ok(leader !== undefined && leader.id !== 1n);
  });

  test('without check-quorum it goes on, and steps down at the first newer term', () => {
    const network = new RaftNetwork(three, { options: { checkQuorum: false } });
    network.elect(1n);
    network.isolate(1n);
    network.tick(50);
    assert.equal(network.host(1n).role, 'leader');
    network.heal();
    network.tick(3);
    assert.equal(network.host(1n).role, 'follower');
  });

  test('answers to an earlier pre-vote count for nothing', () => {
    const network = new RaftNetwork(three);
    const { node } = network.host(1n);
    node.campaign();
    assert.equal(node.core.role, 'preCandidate');
    node.step({ type: 'preVoteResponse', from: 2n, to: 1n, term: 7, reject: false });
    assert.equal(node.core.role, 'preCandidate');
    node.step({ type: 'preVoteResponse', from: 2n, to: 1n, term: 1, reject: false });
    assert.equal(node.core.role, 'candidate');
  });

  test('learners do not campaign, but vote', () => {
    const network = new RaftNetwork([1n, 2n], { confState: { learners: [3n] } });
    network.act(network.host(3n), ({ node }) => node.campaign());
    network.tick(5);
    assert.equal(network.host(3n).role, 'follower');
    const { node } = network.host(3n);
    const term = node.core.term + 1;
    node.step({ type: 'vote', from: 1n, to: 3n, term, index: 0, logTerm: 0, transfer: true });
    const answer = outbox(network, 3n).later.at(-1);
    assert.ok(answer?.type === 'voteResponse' && !answer.reject);
  });

  test('a member does not campaign while a committed change of membership is not applied', () => {
    const network = new RaftNetwork(three, { options: { checkQuorum: false, preVote: false } });
    network.elect(1n);
    network.act(network.host(1n), ({ node }) =>
      node.proposeConfChange({
        transition: 0,
        changes: [{ type: 2, member: 2n }],
        context: new Uint8Array(0),
      }),
    );
    const host = network.host(2n);
    // Everything but applying at member 2.
    for (let round = 0; round < 20; round++) {
      for (const each of network.hosts.values()) {
        if (each.node.hasReady()) network.act(each, () => each.takeReady());
        network.act(each, () => each.sync());
      }
      for (const message of network.inFlight.splice(0)) network.deliver(message);
      network.host(1n).node.tick();
    }
    assert.ok(host.node.core.log.committed >= 2);
    host.node.campaign();
    assert.equal(host.role, 'follower');
    network.act(host, () => host.apply());
    host.node.campaign();
    assert.equal(host.role, 'candidate');
  });

  test('terms of election timeouts are spread between one and two timeouts', () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const network = new RaftNetwork([1n], { seed });
      seen.add(network.host(1n).node.core.randomizedElectionTicks);
    }
    assert.deepEqual(
      [...seen].sort((left, right) => left - right),
      [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    );
  });
});
