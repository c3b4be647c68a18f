/** A member that lost part of its log takes no part in elections until it has it back. */
import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { RaftFailure, type VoteMessage } from '../../../src/raft/index.ts';
import { RaftNetwork } from '../../support/raft-network.ts';
import type { HostOptions } from '../../support/raft-host.ts';

const three = [1n, 2n, 3n];

/**
 * Member 1 leads and commits an entry with member 2 that member 3 never sees; then member 2 loses
 * its log.
 */
function withLoss(options: HostOptions = {}, flushed = false): RaftNetwork {
  const network = new RaftNetwork(three, { options });
  network.elect(1n);
  if (flushed) for (const host of network.hosts.values()) host.flush();
  network.isolate(3n);
  assert.equal(network.propose(1n, 'acknowledged'), undefined);
  network.settle();
  assert.equal(network.oracle.highestCommit, 2);
  const loser = network.host(2n);
  loser.crash();
  loser.loseLog();
  loser.restart();
  network.heal();
  return network;
}

function ask(type: 'vote' | 'preVote', term: number): VoteMessage {
  return { type, from: 3n, to: 2n, term, index: 9, logTerm: term - 1, transfer: true };
}

describe('a member that lost its log', () => {
  test.each(['vote', 'preVote'] as const)('refuses a %s', (type) => {
    const network = withLoss();
    const { node } = network.host(2n);
    assert.equal(node.status().abstains, true);
    node.step(ask(type, 3));
    network.host(2n).takeReady();
    network.host(2n).sync();
    const answers = network.host(2n).outbox.filter(({ type: each }) => each === `${type}Response`);
    assert.deepEqual(
      answers.map((answer) => 'reject' in answer && answer.reject),
      [true],
    );
    assert.equal(node.core.vote, 0n);
  });

  test('starts in a term in which it never spoke', () => {
    const network = withLoss();
    assert.deepEqual([network.host(2n).node.core.term, network.host(1n).node.core.term], [2, 1]);
  });

  test('stands for no election, not even when told to', () => {
    const network = withLoss();
    const { node } = network.host(2n);
    for (let each = 0; each < 50; each++) node.tick();
    node.campaign();
    node.step({ type: 'timeoutNow', from: 1n, to: 2n, term: node.core.term });
    assert.equal(node.core.role, 'follower');
    assert.equal(node.core.term, 2);
  });

  test('does not help to elect a member without the committed entry', () => {
    const network = withLoss();
    network.host(1n).crash();
    for (let each = 0; each < 100; each++) network.tick();
    assert.equal(network.leader(), undefined);
    network.host(1n).restart();
    for (let each = 0; each < 60; each++) network.tick();
    assert.equal(network.leader()?.id, 1n);
    assert.equal(network.oracle.highestCommit > 2, true);
    for (const host of network.hosts.values()) {
      assert.equal(host.appliedIndex, network.oracle.highestCommit);
    }
  });

  test.each([
    ['whatever the options', {}],
    ['without pre-vote and check of the quorum', { preVote: false, checkQuorum: false }],
  ])('gets its log back from the next leader and votes again, %s', (_name, options) => {
    const network = withLoss(options);
    for (let each = 0; each < 60; each++) network.tick();
    const loser = network.host(2n);
    assert.equal(loser.node.status().abstains, false);
    assert.equal(loser.appliedIndex, network.oracle.highestCommit);
    network.elect(2n);
  });

  test('keeps what its state covers, and gets a snapshot where entries are gone', () => {
    const network = withLoss({}, true);
    const loser = network.host(2n);
    assert.equal(loser.storage.firstIndex(), 2);
    network.host(1n).flush();
    network.host(1n).compact(0);
    for (let each = 0; each < 60; each++) network.tick();
    assert.equal(loser.node.status().abstains, false);
    assert.equal(loser.appliedIndex, network.oracle.highestCommit);
  });

  test('abstains again after a crash that lost what it had got back', () => {
    const network = withLoss();
    const loser = network.host(2n);
    const term = loser.node.core.term;
    loser.node.step({
      type: 'append',
      from: 1n,
      to: 2n,
      term,
      index: 0,
      logTerm: 0,
      entries: [{ index: 1, term, kind: 0, data: new Uint8Array(0) }],
      commit: 0,
    });
    assert.equal(loser.node.status().abstains, false);
    loser.takeReady();
    loser.crash();
    loser.restart();
    assert.equal(loser.node.status().abstains, true);
  });

  test('must start in the term below which it abstains, or a later one', () => {
    const network = new RaftNetwork(three);
    const host = network.host(1n);
    host.crash();
    host.loseLog();
    host.storage.setHardState({ term: 0, vote: 0n, commit: 0 });
    assert.throws(() => host.restart(), RaftFailure);
  });
});
