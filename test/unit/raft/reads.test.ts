import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { RaftNetwork } from '../../support/raft-network.ts';

const three = [1n, 2n, 3n];

describe('linearizable reads', () => {
  test('leader and followers get an index by one round of heartbeats', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.propose(1n, 'a');
    network.settle();
    network.delivered = [];
    const contexts = [network.read(1n), network.read(1n), network.read(1n)];
    network.settle();
    assert.deepEqual(
      network.answeredReads,
      contexts.map((context) => ({ index: 2, context })),
    );
    assert.equal(network.delivered.filter(({ type }) => type === 'heartbeat').length, 2);
    const context = network.read(3n);
    network.settle();
    assert.deepEqual(network.answeredReads.at(-1), { index: 2, context });
  });

  test('a read waits until the leader has committed in its own term', () => {
    const network = new RaftNetwork(three);
    network.filter = (message) => message.type !== 'append';
    network.elect(1n);
    network.tick();
    const contexts = [network.read(1n), network.read(2n)];
    network.tick(2);
    assert.equal(network.answeredReads.length, 0);
    network.heal();
    network.tick(2);
    assert.deepEqual(
      network.answeredReads,
      contexts.map((context) => ({ index: 1, context })),
    );
  });

  test('so does a single member that has just restarted', () => {
    const network = new RaftNetwork([1n]);
    network.elect(1n);
    network.propose(1n, 'a', 'b');
    network.settle();
    const host = network.host(1n);
    host.crash();
    host.restart();
    host.node.campaign();
    network.act(host, () => host.takeReady());
    network.act(host, () => host.sync());
    assert.equal(host.role, 'leader');
    const context = network.read(1n);
    network.settle();
    assert.deepEqual(network.answeredReads, [{ index: 4, context }]);
  });

  test('an old leader answers no read', () => {
    const network = new RaftNetwork(three, { options: { checkQuorum: false } });
    network.elect(1n);
    network.isolate(1n);
    network.elect(2n);
    network.propose(2n, 'new');
    network.settle();
    assert.equal(network.host(1n).role, 'leader');
    const context = network.read(1n);
    network.tick(5);
    assert.deepEqual(network.answeredReads, []);
    network.heal();
    network.tick(3);
    assert.deepEqual(network.dropped, [context]);
  });

  test('an answer to an earlier round confirms no later read', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    const leader = network.host(1n);
    leader.node.core.heartbeatElapsed = 0;
    network.read(1n);
    const first = leader.node.ready().messages.filter(({ type }) => type === 'heartbeat');
    assert.equal(first.length, 2);
    network.read(1n);
    leader.node.ready();
    leader.node.step({ type: 'heartbeatResponse', from: 2n, to: 1n, term: 1, context: 1n });
    assert.deepEqual(
      leader.node.ready().readStates.map((state) => state.context),
      [1n],
    );
    // A number that no round has had confirms nothing.
    leader.node.step({ type: 'heartbeatResponse', from: 2n, to: 1n, term: 1, context: 99n });
    assert.deepEqual(leader.node.ready().readStates, []);
    leader.node.step({ type: 'heartbeatResponse', from: 3n, to: 1n, term: 1, context: 2n });
    assert.deepEqual(
      leader.node.ready().readStates.map((state) => state.context),
      [2n],
    );
  });

  test('learners do not confirm reads', () => {
    const network = new RaftNetwork([1n, 2n], { confState: { learners: [3n] } });
    network.elect(1n);
    network.isolate(2n);
    network.read(1n);
    network.settle();
    assert.deepEqual(network.answeredReads, []);
  });

  test('without a leader a read is dropped at once', () => {
    const network = new RaftNetwork(three);
    const context = network.read(1n);
    network.settle();
    assert.deepEqual(network.dropped, [context]);
  });

  test('a read that was passed on is dropped when the leader changes', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.filter = (message) => message.type !== 'readIndex';
    const context = network.read(3n);
    network.settle();
    network.elect(2n);
    assert.deepEqual(network.dropped, [context]);
  });

  test('and after an election timeout without an answer', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.filter = (message) => message.type !== 'readIndexResponse';
    const context = network.read(3n);
    network.tick(9);
    assert.deepEqual(network.dropped, []);
    network.tick(3);
    assert.deepEqual(network.dropped, [context]);
    // The answer comes too late and is ignored.
    network.host(3n).node.step({
      type: 'readIndexResponse',
      from: 1n,
      to: 3n,
      term: 1,
      index: 1,
      context,
    });
    assert.deepEqual(network.host(3n).node.ready().readStates, []);
  });

  test('a lost round is made up for by the next heartbeat', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.filter = (message) => message.type !== 'heartbeat';
    network.read(1n);
    network.settle();
    assert.deepEqual(network.answeredReads, []);
    network.heal();
    network.tick();
    assert.equal(network.answeredReads.length, 1);
  });
});

describe('reads from a lease', () => {
  const options = { leaseReads: true };

  test('are answered without a message while the lease holds', () => {
    const network = new RaftNetwork(three, { options });
    network.tick(40);
    const leader = network.leader();
    assert.ok(leader);
    network.read(leader.id);
    assert.equal(leader.node.ready().readStates.length, 1);
  });

  test.each(['voteResponse', 'preVoteResponse'] as const)(
    'last as long as the lease, in spite of a late %s of a newer term',
    (type) => {
      const network = new RaftNetwork(three, { options });
      network.tick(40);
      const leader = network.leader();
      assert.ok(leader);
      const [to = 0n, from = 0n] = three.filter((id) => id !== leader.id);
      const { node } = network.host(to);
      const { term } = node.core;
      node.step({ type, from, to, term: term + 1, reject: true });
      assert.deepEqual([node.core.term, node.core.leader], [term, leader.id]);
    },
  );

  test('wait for a round once the lease has run out', () => {
    const network = new RaftNetwork(three, { options });
    network.tick(40);
    const leader = network.leader();
    assert.ok(leader);
    network.isolate(leader.id);
    network.tick(8);
    assert.equal(leader.role, 'leader');
    network.read(leader.id);
    network.settle();
    assert.deepEqual(network.answeredReads, []);
    network.tick(40);
    const next = network.leader();
    assert.ok(next !== undefined && next.id !== leader.id);
  });

  test('wait for a round once somebody was told to campaign', () => {
    const network = new RaftNetwork(three, { options });
    network.tick(40);
    const leader = network.leader();
    assert.ok(leader);
    const other = three.find((id) => id !== leader.id) ?? 0n;
    network.filter = (message) => message.type !== 'timeoutNow';
    network.act(leader, ({ node }) => node.transferLeader(other));
    network.settle();
    network.read(leader.id);
    assert.deepEqual(leader.node.ready().readStates, []);
  });
});
