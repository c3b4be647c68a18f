import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { RaftHost } from '../../support/raft-host.ts';
import { RaftNetwork } from '../../support/raft-network.ts';

/** A cluster whose member 3 lags behind what the others still hold. */
function lagging(options = {}): { network: RaftNetwork; leader: RaftHost; lame: RaftHost } {
  const network = new RaftNetwork([1n, 2n, 3n], { options });
  network.elect(1n);
  network.isolate(3n);
  for (let each = 0; each < 10; each++) network.propose(1n, `value ${each}`);
  network.settle();
  const leader = network.host(1n);
  leader.flush();
  leader.compact(0);
  return { network, leader, lame: network.host(3n) };
}

describe('snapshots', () => {
  test('a follower that needs compacted entries gets a snapshot and goes on', () => {
    const { network, leader, lame } = lagging();
    network.heal();
    network.tick(3);
    assert.equal(network.oracle.snapshots, 1);
    assert.equal(lame.appliedIndex, 11);
    assert.equal(leader.node.status().progress[2]?.state, 'replicate');
    network.propose(1n, 'more');
    network.settle();
    network.tick();
    assert.equal(lame.appliedIndex, 12);
    assert.equal(network.oracle.snapshots, 1);
  });

  test('nothing else is sent while the snapshot is on its way', () => {
    const { network, leader } = lagging();
    network.heal();
    network.filter = (message) => message.type !== 'snapshot';
    network.act(leader, ({ node }) => node.tick());
    for (
      let round = 0;
      round < 5 && leader.node.status().progress[2]?.state !== 'snapshot';
      round++
    ) {
      for (const host of network.hosts.values()) {
        if (host.node.hasReady()) network.act(host, () => host.takeReady());
        network.act(host, () => host.sync());
      }
      for (const message of network.inFlight.splice(0)) {
        if (network.connected(message)) network.deliver(message);
      }
    }
    const progress = leader.node.status().progress[2];
    assert.equal(progress?.state, 'snapshot');
    assert.equal(progress.pendingSnapshot, 11);
    leader.node.propose([new Uint8Array(1)]);
    const { messages } = leader.node.ready();
    assert.ok(messages.some((message) => message.to === 2n && message.type === 'append'));
    assert.ok(!messages.some((message) => message.to === 3n && message.type === 'append'));
    leader.node.reportSnapshot(3n, false);
    assert.equal(leader.node.status().progress[2]?.state, 'probe');
    assert.equal(leader.node.status().progress[2]?.next, 2);
  });

  test('a member that was not heard from is sent none', () => {
    const { network, leader } = lagging({ checkQuorum: true });
    network.tick(25);
    assert.equal(leader.role, 'leader');
    leader.node.reportUnreachable(3n);
    network.propose(1n, 'more');
    network.settle();
    assert.ok(!network.delivered.some((message) => message.type === 'snapshot'));
    assert.equal(leader.node.status().progress[2]?.state, 'probe');
  });

  test('its entries are handed out only once it is installed; nobody may elect it before', () => {
    const { network, leader, lame } = lagging();
    const snapshot = leader.storage.snapshot();
    assert.ok(typeof snapshot !== 'symbol');
    lame.node.step({ type: 'snapshot', from: 1n, to: 3n, term: 1, snapshot });
    assert.equal(lame.node.status().committed, 11);
    assert.equal(lame.node.core.promotable(), false);
    const ready = lame.node.ready();
    assert.deepEqual(ready.messages, []);
    assert.deepEqual(ready.committedEntries, []);
    assert.deepEqual(ready.persist?.snapshot, snapshot);
    assert.equal(ready.persist.mustSync, true);
    const [answer] = ready.persist.messages;
    assert.ok(answer?.type === 'appendResponse' && answer.index === 11);
    assert.equal(lame.node.status().applied, 1);
    lame.writes.push(ready.persist);
    network.act(lame, () => lame.sync());
    assert.equal(lame.node.status().applied, 11);
    assert.equal(lame.node.status().durable, 11);
    assert.equal(lame.node.core.promotable(), true);
  });

  test('entries after the snapshot may arrive while it is being installed', () => {
    const { network, leader, lame } = lagging();
    const snapshot = leader.storage.snapshot();
    assert.ok(typeof snapshot !== 'symbol');
    lame.node.step({ type: 'snapshot', from: 1n, to: 3n, term: 1, snapshot });
    lame.takeReady();
    network.propose(1n, 'after');
    network.settle();
    lame.node.step({
      type: 'append',
      from: 1n,
      to: 3n,
      term: 1,
      index: 11,
      logTerm: 1,
      entries: [{ index: 12, term: 1, kind: 0, data: new TextEncoder().encode('after') }],
      commit: 12,
    });
    lame.takeReady();
    assert.deepEqual(lame.toApply, []);
    network.act(lame, () => lame.sync());
    network.act(lame, () => lame.takeReady());
    network.act(lame, () => lame.apply());
    assert.equal(lame.appliedIndex, 12);
  });

  test('a snapshot of what the log holds already only moves the commit index', () => {
    const network = new RaftNetwork([1n, 2n, 3n]);
    network.elect(1n);
    const { node } = network.host(2n);
    const step = { from: 1n, to: 2n, term: 1 } as const;
    node.step({
      ...step,
      type: 'append',
      index: 1,
      logTerm: 1,
      entries: [2, 3].map((index) => ({ index, term: 1, kind: 0, data: new Uint8Array(0) })),
      commit: 1,
    });
    const { confState } = node.status();
    node.step({ ...step, type: 'snapshot', snapshot: { index: 2, term: 1, confState } });
    assert.equal(node.status().committed, 2);
    assert.equal(node.status().lastIndex, 3);
    assert.equal(node.ready().persist?.snapshot, undefined);
  });

  test('an old snapshot is answered with the commit index', () => {
    const network = new RaftNetwork([1n, 2n, 3n]);
    network.elect(1n);
    network.propose(1n, 'a', 'b');
    network.settle();
    network.tick();
    const { node } = network.host(2n);
    const { confState } = node.status();
    const snapshot = { index: 2, term: 1, confState };
    node.step({ type: 'snapshot', from: 1n, to: 2n, term: 1, snapshot });
    const [answer] = node.ready().messages;
    assert.ok(answer?.type === 'appendResponse' && answer.index === 3 && !answer.reject);
  });

  test('entries applied while a snapshot is under way do not touch its configuration', () => {
    const network = new RaftNetwork([1n, 2n, 3n]);
    network.elect(1n);
    const { node } = network.host(3n);
    const step = { from: 1n, to: 3n, term: 1 } as const;
    const change = {
      transition: 0,
      changes: [{ type: 1, member: 2n }],
      context: new Uint8Array(0),
    } as const;
    // The entry that removes member 2 is handed out, and then overtaken by a snapshot.
    const confState = { ...node.status().confState, voters: [1n, 3n, 4n] };
    node.step({ ...step, type: 'snapshot', snapshot: { index: 9, term: 1, confState } });
    assert.deepEqual(node.applyConfChange(change).voters, [1n, 3n]);
    assert.deepEqual(node.status().confState, confState);
    const { persist } = node.ready();
    assert.ok(persist);
    node.persisted(persist.ack);
    assert.deepEqual(node.applyConfChange({ ...change, changes: [], transition: 1 }).voters, [
      1n,
      3n,
      4n,
    ]);
  });

  test('a snapshot brings its configuration, even one without the member', () => {
    const network = new RaftNetwork([1n, 2n, 3n], { spare: [4n] });
    const { node } = network.host(4n);
    const confState = {
      voters: [1n, 2n],
      votersOutgoing: [],
      learners: [3n],
      learnersNext: [],
      autoLeave: false,
    };
    node.step({
      type: 'snapshot',
      from: 1n,
      to: 4n,
      term: 3,
      snapshot: { index: 9, term: 2, confState },
    });
    assert.deepEqual(node.status().confState, confState);
    assert.equal(node.core.promotable(), false);
  });
});
