import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import {
  ConfChangeTransition,
  ConfChangeType,
  type ConfChange,
  type ConfChangeSingle,
} from '../../../src/raft/index.ts';
import { RaftNetwork } from '../../support/raft-network.ts';

const three = [1n, 2n, 3n];

function change(
  changes: readonly ConfChangeSingle[],
  transition: ConfChangeTransition = ConfChangeTransition.auto,
): ConfChange {
  return { transition, changes, context: new Uint8Array(0) };
}

function addVoter(member: bigint): ConfChangeSingle {
  return { type: ConfChangeType.addVoter, member };
}

function addLearner(member: bigint): ConfChangeSingle {
  return { type: ConfChangeType.addLearner, member };
}

function remove(member: bigint): ConfChangeSingle {
  return { type: ConfChangeType.remove, member };
}

function proposeChange(network: RaftNetwork, id: bigint, proposed: ConfChange): string | undefined {
  return network.act(network.host(id), ({ node }) => node.proposeConfChange(proposed));
}

describe('membership', () => {
  test('a new voter is brought up and counts', () => {
    const network = new RaftNetwork([1n], { spare: [2n] });
    network.elect(1n);
    network.propose(1n, 'a');
    assert.equal(proposeChange(network, 1n, change([addVoter(2n)])), undefined);
    network.settle();
    network.tick(2);
    assert.equal(network.host(2n).appliedIndex, 3);
    assert.deepEqual(network.host(2n).node.status().confState.voters, [1n, 2n]);
    network.isolate(2n);
    network.propose(1n, 'b');
    network.settle();
    assert.equal(network.host(1n).appliedIndex, 3);
  });

  test('a learner receives the log, does not count, and is promoted', () => {
    const network = new RaftNetwork([1n, 2n], { spare: [3n] });
    network.elect(1n);
    proposeChange(network, 1n, change([addLearner(3n)]));
    network.settle();
    network.tick();
    assert.equal(network.host(3n).node.status().isLearner, true);
    network.isolate(2n);
    network.propose(1n, 'a');
    network.settle();
    assert.equal(network.host(1n).appliedIndex, 2);
    network.heal();
    network.tick(2);
    proposeChange(network, 1n, change([addVoter(3n)]));
    network.settle();
    network.isolate(2n);
    network.propose(1n, 'b');
    network.settle();
    assert.equal(network.host(1n).appliedIndex, 5);
  });

  test('one change at a time', () => {
    const network = new RaftNetwork(three, { spare: [4n] });
    network.elect(1n);
    assert.equal(proposeChange(network, 1n, change([addVoter(4n)])), undefined);
    assert.equal(proposeChange(network, 1n, change([remove(2n)])), 'confChangePending');
    network.settle();
    assert.equal(proposeChange(network, 1n, change([remove(2n)])), undefined);
  });

  test('none before the new leader has applied an entry of its own term', () => {
    const network = new RaftNetwork(three, { spare: [4n] });
    network.filter = (message) => message.type !== 'append';
    network.elect(1n);
    assert.equal(proposeChange(network, 1n, change([addVoter(4n)])), 'confChangePending');
  });

  test('senseless changes are refused', () => {
    const network = new RaftNetwork([1n]);
    network.elect(1n);
    assert.equal(proposeChange(network, 1n, change([remove(1n)])), 'confChangeInvalid');
    assert.equal(proposeChange(network, 1n, change([])), 'confChangeInvalid');
  });

  test('a refused change among passed-on proposals leaves the others', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    proposeChange(network, 1n, change([remove(3n)]));
    const last = network.host(1n).node.core.log.lastIndex;
    // Member 2 passes on a change while one is pending: nothing is appended.
    proposeChange(network, 2n, change([remove(1n)]));
    for (const message of network.host(2n).node.ready().messages) network.deliver(message);
    assert.equal(network.host(1n).node.core.log.lastIndex, last);
  });

  test('several changes go through a joint configuration, which is left by itself', () => {
    const network = new RaftNetwork(three, { spare: [4n, 5n] });
    network.elect(1n);
    const states: string[] = [];
    const proposed = change([addVoter(4n), addVoter(5n), remove(2n), remove(3n)]);
    assert.equal(proposeChange(network, 1n, proposed), undefined);
    for (let round = 0; round < 12; round++) {
      for (const host of network.hosts.values()) {
        if (host.node.hasReady()) network.act(host, () => host.takeReady());
        network.act(host, () => host.sync());
        network.act(host, () => host.apply());
      }
      for (const message of network.inFlight.splice(0)) network.deliver(message);
      const { voters, votersOutgoing } = network.host(1n).node.status().confState;
      const state = `${voters.join()}&${votersOutgoing.join()}`;
      if (states.at(-1) !== state) states.push(state);
    }
    assert.deepEqual(states, ['1,2,3&', '1,4,5&1,2,3', '1,4,5&']);
  });

  test('in a joint configuration both majorities are needed', () => {
    const network = new RaftNetwork(three, { spare: [4n, 5n] });
    network.elect(1n);
    const { jointExplicit } = ConfChangeTransition;
    const proposed = change([addVoter(4n), addVoter(5n), remove(2n), remove(3n)], jointExplicit);
    proposeChange(network, 1n, proposed);
    network.settle();
    network.tick(2);
    assert.deepEqual(network.host(1n).node.status().confState.votersOutgoing, three);
    const before = network.oracle.highestCommit;
    network.isolate(2n, 3n);
    network.propose(1n, 'a');
    network.tick();
    assert.equal(network.oracle.highestCommit, before);
    network.heal();
    network.tick(2);
    assert.equal(network.oracle.highestCommit, before + 1);
    network.isolate(4n, 5n);
    network.propose(1n, 'b');
    network.tick();
    assert.equal(network.oracle.highestCommit, before + 1);
    network.heal();
    network.tick(2);
    assert.equal(network.oracle.highestCommit, before + 2);
    assert.equal(proposeChange(network, 1n, change([])), undefined);
    network.settle();
    network.tick(2);
    assert.deepEqual(network.host(4n).node.status().confState, {
      voters: [1n, 4n, 5n],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    });
  });

  test('a new leader leaves the joint configuration of the old one', () => {
    const network = new RaftNetwork(three, { spare: [4n] });
    network.elect(1n);
    proposeChange(network, 1n, change([addVoter(4n), addLearner(3n)]));
    const leader = network.host(1n);
    // The change is committed and applied everywhere, but the leader dies before it goes on.
    network.filter = (message) =>
      message.type !== 'append' || message.entries.every(({ data }) => data.length > 0);
    network.settle();
    network.tick(2);
    assert.equal(network.host(2n).node.status().confState.autoLeave, true);
    leader.crash();
    network.heal();
    network.tick(60);
    assert.deepEqual(network.host(2n).node.status().confState, {
      voters: [1n, 2n, 4n],
      votersOutgoing: [],
      learners: [3n],
      learnersNext: [],
      autoLeave: false,
    });
  });

  test('a leader that removes itself steps down, and others go on', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    proposeChange(network, 1n, change([remove(1n)]));
    network.settle();
    network.tick();
    assert.equal(network.host(1n).role, 'follower');
    network.tick(60);
    const leader = network.leader();
    assert.ok(leader !== undefined && leader.id !== 1n);
    assert.deepEqual(leader.node.status().confState.voters, [2n, 3n]);
  });

  test('or stays, if so configured, but takes no proposals', () => {
    const network = new RaftNetwork(three, { options: { stepDownOnRemoval: false } });
    network.elect(1n);
    proposeChange(network, 1n, change([remove(1n)]));
    network.settle();
    network.tick();
    assert.equal(network.host(1n).role, 'leader');
    assert.equal(network.propose(1n, 'a'), 'removed');
  });

  test('a removed member does not disturb the others', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.isolate(3n);
    proposeChange(network, 1n, change([remove(3n)]));
    network.settle();
    network.heal();
    network.tick(100);
    assert.equal(network.leader()?.id, 1n);
    assert.equal(network.host(1n).node.core.term, 1);
  });

  test('a smaller quorum commits what was waiting', () => {
    const network = new RaftNetwork([1n, 2n]);
    network.elect(1n);
    const leader = network.host(1n);
    proposeChange(network, 1n, change([remove(2n)]));
    network.act(leader, () => leader.takeReady());
    network.propose(1n, 'waiting');
    // Member 2 gets the change, but not the proposal after it.
    network.filter = (message) =>
      message.type !== 'append' || message.entries.every(({ index }) => index < 3);
    network.settle();
    assert.equal(network.host(2n).node.core.log.lastIndex, 2);
    assert.equal(leader.node.status().committed, 3);
  });
});
