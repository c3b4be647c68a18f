import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { RaftNetwork } from '../../support/raft-network.ts';

const three = [1n, 2n, 3n];

describe('leadership transfer', () => {
  test('to a member that has everything, in spite of the lease', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.tick(2);
    network.act(network.host(1n), ({ node }) => node.transferLeader(2n));
    network.settle();
    assert.equal(network.leader()?.id, 2n);
    assert.equal(network.host(1n).role, 'follower');
  });

  test('asked for at a follower', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.act(network.host(3n), ({ node }) => node.transferLeader(3n));
    network.settle();
    assert.equal(network.leader()?.id, 3n);
  });

  test('waits for a member that lags behind; proposals are refused meanwhile', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.isolate(3n);
    network.propose(1n, 'a');
    network.settle();
    network.act(network.host(1n), ({ node }) => node.transferLeader(3n));
    assert.equal(network.propose(1n, 'b'), 'transferring');
    assert.equal(network.host(1n).node.status().transferee, 3n);
    network.heal();
    network.tick(2);
    assert.equal(network.leader()?.id, 3n);
    assert.equal(network.host(3n).appliedIndex, 3);
  });

  test('is given up after an election timeout', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.isolate(3n);
    network.propose(1n, 'a');
    network.settle();
    network.act(network.host(1n), ({ node }) => node.transferLeader(3n));
    network.tick(11);
    assert.equal(network.leader()?.id, 1n);
    assert.equal(network.host(1n).node.status().transferee, 0n);
    assert.equal(network.propose(1n, 'b'), undefined);
  });

  test('is not made to learners, strangers or the leader itself', () => {
    const network = new RaftNetwork([1n, 2n], { confState: { learners: [3n] } });
    network.elect(1n);
    const { node } = network.host(1n);
    for (const id of [1n, 3n, 9n]) {
      node.transferLeader(id);
      assert.equal(node.status().transferee, 0n);
    }
  });

  test('to another member replaces the one under way', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.isolate(2n);
    network.propose(1n, 'a');
    network.settle();
    const leader = network.host(1n);
    network.act(leader, ({ node }) => node.transferLeader(2n));
    network.settle();
    network.act(leader, ({ node }) => node.transferLeader(3n));
    network.heal();
    network.settle();
    assert.equal(network.leader()?.id, 3n);
  });

  test('ends when the transferee is removed', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    const leader = network.host(1n);
    network.act(leader, ({ node }) =>
      node.proposeConfChange({
        transition: 0,
        changes: [{ type: 1, member: 3n }],
        context: new Uint8Array(0),
      }),
    );
    network.isolate(3n);
    network.act(leader, ({ node }) => node.transferLeader(3n));
    network.settle();
    assert.equal(leader.node.status().transferee, 0n);
  });
});
