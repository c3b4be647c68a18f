import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { AppendMessage, Message } from '../../../src/raft/index.ts';
import type { RaftHost } from '../../support/raft-host.ts';
import { RaftNetwork } from '../../support/raft-network.ts';

const three = [1n, 2n, 3n];

function appendsOf(messages: readonly Message[], to?: bigint): AppendMessage[] {
  return messages.filter(
    (message): message is AppendMessage =>
      message.type === 'append' && (to === undefined || message.to === to),
  );
}

function bytes(size: number): Uint8Array {
  return new Uint8Array(size);
}

function logOf(host: RaftHost): string {
  const { log } = host.node.core;
  const terms: number[] = [];
  for (let index = log.firstIndex(); index <= log.lastIndex; index++) {
    terms.push(log.termOrZero(index));
  }
  return terms.join(' ');
}

describe('replication', () => {
  test('a batch travels as one message to each follower', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    const leader = network.host(1n);
    leader.node.propose(Array.from({ length: 1000 }, () => bytes(8)));
    leader.node.propose([bytes(8)]);
    const appends = appendsOf(leader.node.ready().messages);
    assert.deepEqual(
      appends.map((append) => append.entries.length),
      [1001, 1001],
    );
  });

  test('appends are cut at the limit of size, but one entry always travels', () => {
    const network = new RaftNetwork([1n, 2n], { options: { appendSizeLimitBytes: 100 } });
    network.elect(1n);
    network.tick();
    const { node } = network.host(1n);
    node.propose([bytes(30), bytes(30), bytes(500), bytes(1)]);
    assert.deepEqual(
      appendsOf(node.ready().messages).map((append) => append.entries.length),
      [2, 1, 1],
    );
  });

  test('the window of messages closes and opens with the answers', () => {
    const options = { appendSizeLimitBytes: 1, inflightMessagesLimit: 2 };
    const network = new RaftNetwork([1n, 2n], { options });
    network.elect(1n);
    network.tick();
    const leader = network.host(1n);
    leader.node.propose([bytes(1), bytes(1), bytes(1), bytes(1)]);
    assert.equal(appendsOf(leader.node.ready().messages).length, 2);
    leader.node.propose([bytes(1)]);
    assert.equal(appendsOf(leader.node.ready().messages).length, 0);
    const answer = { from: 2n, to: 1n, term: leader.node.core.term, reject: false } as const;
    leader.node.step({ ...answer, type: 'appendResponse', index: 2, rejectHint: 0, logTerm: 0 });
    assert.equal(appendsOf(leader.node.ready().messages).length, 1);
  });

  test('the window of bytes closes too', () => {
    const options = { appendSizeLimitBytes: 64, inflightBytesLimit: 64 };
    const network = new RaftNetwork([1n, 2n], { options });
    network.elect(1n);
    network.tick();
    const { node } = network.host(1n);
    node.propose([bytes(60), bytes(60)]);
    assert.equal(appendsOf(node.ready().messages).length, 1);
  });

  test('lost appends are found out by heartbeats, even with a full window', () => {
    const options = { appendSizeLimitBytes: 1, inflightMessagesLimit: 2 };
    const network = new RaftNetwork(three, { options });
    network.elect(1n);
    network.filter = (message) => message.type !== 'append' || message.to !== 3n;
    network.propose(1n, 'a', 'b', 'c', 'd');
    network.settle();
    assert.equal(network.host(3n).node.core.log.lastIndex, 1);
    network.heal();
    network.tick(3);
    assert.equal(network.host(3n).appliedIndex, 5);
  });

  test('a leader commits what a majority holds durably, its own copy included only then', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    const leader = network.host(1n);
    network.propose(1n, 'a');
    network.act(leader, () => leader.takeReady());
    const answer = { to: 1n, term: 1, reject: false, rejectHint: 0, logTerm: 0 } as const;
    network.act(leader, ({ node }) =>
      node.step({ ...answer, type: 'appendResponse', from: 2n, index: 1 }),
    );
    assert.equal(leader.node.status().committed, 1);
    // One follower has it, the leader's own write is still under way.
    leader.node.step({ ...answer, type: 'appendResponse', from: 2n, index: 2 });
    assert.equal(leader.node.status().committed, 1);
    leader.sync();
    assert.equal(leader.node.status().committed, 2);
  });

  test('two followers may commit before the leader itself is durable; it applies later', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    const leader = network.host(1n);
    network.propose(1n, 'a');
    leader.takeReady();
    for (const from of [2n, 3n]) {
      leader.node.step({
        type: 'appendResponse',
        from,
        to: 1n,
        term: 1,
        index: 2,
        reject: false,
        rejectHint: 0,
        logTerm: 0,
      });
    }
    assert.equal(leader.node.status().committed, 2);
    const ready = leader.node.ready();
    assert.deepEqual(ready.committedEntries, []);
    assert.equal(ready.persist?.mustSync, false);
    leader.sync();
    assert.deepEqual(
      leader.node.ready().committedEntries.map((entry) => entry.index),
      [2],
    );
  });

  test('entries of older terms commit only along with one of the own term (Raft figure 8)', () => {
    const network = new RaftNetwork(three, { options: { checkQuorum: false, preVote: false } });
    network.elect(1n);
    network.filter = (message) => message.type !== 'appendResponse';
    network.propose(1n, 'old');
    network.settle();
    assert.equal(network.host(2n).node.core.log.lastIndex, 2);
    network.host(1n).crash();
    network.host(1n).restart();
    network.filter = (message) => message.type !== 'append';
    network.elect(1n);
    const { node } = network.host(1n);
    assert.equal(node.core.term, 2);
    // Both followers acknowledge the entry of term 1, but not that of term 2.
    for (const from of [2n, 3n]) {
      node.step({
        type: 'appendResponse',
        from,
        to: 1n,
        term: 2,
        index: 2,
        reject: false,
        rejectHint: 0,
        logTerm: 0,
      });
    }
    assert.equal(node.core.log.committed, 1);
    network.heal();
    network.tick(3);
    assert.equal(node.core.log.committed, 3);
  });

  test('a follower with another tail is brought in line in one probe per term', () => {
    const network = new RaftNetwork(three, { options: { checkQuorum: false, preVote: false } });
    network.elect(1n);
    network.isolate(1n);
    for (let each = 0; each < 50; each++) network.propose(1n, 'lost');
    network.settle();
    network.elect(2n);
    for (let each = 0; each < 20; each++) network.propose(2n, 'kept');
    network.settle();
    network.delivered = [];
    network.heal();
    network.tick(3);
    assert.equal(logOf(network.host(1n)), logOf(network.host(2n)));
    const refused = network.delivered.filter(
      (message) => message.type === 'appendResponse' && message.from === 1n && message.reject,
    );
    assert.ok(refused.length <= 2, `${refused.length} refusals`);
  });

  test('a stale append answers with the commit index and changes nothing', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.propose(1n, 'a', 'b');
    network.settle();
    network.tick();
    const { node } = network.host(2n);
    node.step({
      type: 'append',
      from: 1n,
      to: 2n,
      term: 1,
      index: 0,
      logTerm: 0,
      entries: [{ index: 1, term: 1, kind: 0, data: bytes(0) }],
      commit: 0,
    });
    const [answer] = node.ready().messages;
    assert.ok(answer?.type === 'appendResponse');
    assert.equal(answer.index, 3);
  });

  test('followers pass proposals on as one message, and may be told not to', () => {
    const network = new RaftNetwork(three);
    assert.equal(network.propose(2n, 'a'), 'noLeader');
    network.elect(1n);
    assert.equal(network.propose(2n, 'a', 'b'), undefined);
    const { messages } = network.host(2n).node.ready();
    assert.deepEqual(
      messages.map(({ type, to }) => ({ type, to })),
      [{ type: 'propose', to: 1n }],
    );
    for (const message of messages) network.deliver(message);
    network.settle();
    assert.equal(network.host(1n).appliedIndex, 3);

    const closed = new RaftNetwork(three, { options: { disableProposalForwarding: true } });
    closed.elect(1n);
    assert.equal(closed.propose(2n, 'a'), 'forwardingDisabled');
  });

  test('the cap on uncommitted bytes refuses whole batches and lets empty and first ones pass', () => {
    const network = new RaftNetwork(three, { options: { uncommittedSizeLimitBytes: 100 } });
    network.elect(1n);
    network.isolate(1n);
    const { node } = network.host(1n);
    assert.equal(node.propose([bytes(500)]), undefined);
    const last = node.core.log.lastIndex;
    assert.equal(node.propose([bytes(1), bytes(0)]), 'uncommittedLimit');
    assert.equal(node.core.log.lastIndex, last);
    assert.equal(node.propose([bytes(0)]), undefined);
    network.heal();
    network.tick(3);
    assert.equal(node.core.uncommittedBytes, 0);
    assert.equal(node.propose([bytes(50), bytes(50)]), undefined);
    assert.equal(node.propose([bytes(1)]), 'uncommittedLimit');
  });

  test('committed entries are handed out in slices, the next after room was made', () => {
    // Two of the entries below, at 16 bytes beside their payload each.
    const options = { committedSizeLimitBytes: 92 };
    const network = new RaftNetwork([1n], { options });
    network.elect(1n);
    const host = network.host(1n);
    host.node.propose([bytes(30), bytes(30), bytes(30)]);
    host.takeReady();
    host.sync();
    const first = host.node.ready().committedEntries;
    assert.deepEqual(
      first.map((entry) => entry.index),
      [2, 3],
    );
    assert.deepEqual(
      host.node.ready().committedEntries.map((entry) => entry.index),
      [],
    );
    host.node.applied(3);
    assert.deepEqual(
      host.node.ready().committedEntries.map((entry) => entry.index),
      [4],
    );
  });

  test('an unreachable follower is probed until it answers', () => {
    const network = new RaftNetwork([1n, 2n]);
    network.elect(1n);
    network.tick();
    const leader = network.host(1n);
    const sent = (): number => {
      leader.node.propose([bytes(1)]);
      leader.takeReady();
      return appendsOf(leader.outbox.splice(0)).length;
    };
    leader.node.reportUnreachable(2n);
    assert.equal(leader.node.status().progress[1]?.state, 'probe');
    assert.deepEqual([sent(), sent(), sent()], [1, 0, 0]);
    network.tick(2);
    assert.equal(leader.node.status().progress[1]?.state, 'replicate');
    network.tick();
    assert.equal(network.host(2n).appliedIndex, 4);
  });

  test('a member that lost acknowledged entries stops instead of going on', () => {
    const network = new RaftNetwork(three);
    const { node } = network.host(2n);
    assert.throws(
      () => node.step({ type: 'heartbeat', from: 1n, to: 2n, term: 1, commit: 5, context: 1n }),
      /acknowledged entries were lost/,
    );
  });
});
