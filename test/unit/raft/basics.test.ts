import assert from 'node:assert/strict';
import { test } from 'vitest';
import { RaftNetwork } from '../../support/raft-network.ts';

test('three members elect a leader and commit', () => {
  const network = new RaftNetwork([1n, 2n, 3n]);
  network.elect(1n);
  assert.equal(network.propose(1n, 'a', 'b', 'c'), undefined);
  network.settle();
  network.tick();
  for (const host of network.hosts.values()) {
    assert.equal(host.appliedIndex, 4);
    assert.equal(host.node.status().committed, 4);
  }
});

test('a single member commits by itself, but not before its write is durable', () => {
  const network = new RaftNetwork([1n]);
  network.elect(1n);
  const host = network.host(1n);
  network.propose(1n, 'a');
  network.act(host, () => host.takeReady());
  assert.equal(host.node.status().committed, 1);
  network.act(host, () => host.sync());
  assert.equal(host.node.status().committed, 2);
});

test('members elect a leader by themselves', () => {
  const network = new RaftNetwork([1n, 2n, 3n]);
  network.tick(40);
  assert.ok(network.leader());
  const context = network.read(2n);
  network.settle();
  assert.deepEqual(
    network.answeredReads.map((read) => read.context),
    [context],
  );
});
