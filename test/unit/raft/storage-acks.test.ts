import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { Entry, Ready } from '../../../src/raft/index.ts';
import type { RaftHost } from '../../support/raft-host.ts';
import { RaftNetwork } from '../../support/raft-network.ts';

const three = [1n, 2n, 3n];

function entry(index: number, term: number): Entry {
  return { index, term, kind: 0, data: new Uint8Array([term]) };
}

function append(
  host: RaftHost,
  from: bigint,
  term: number,
  previous: readonly [index: number, term: number],
  entries: readonly Entry[],
  commit = 0,
): Ready {
  host.node.step({
    type: 'append',
    from,
    to: host.id,
    term,
    index: previous[0],
    logTerm: previous[1],
    entries,
    commit,
  });
  const ready = host.node.ready();
  if (ready.persist !== undefined) host.writes.push(ready.persist);
  return ready;
}

describe('asynchronous storage', () => {
  test('the next batch forms while the first is being written', () => {
    const network = new RaftNetwork([1n]);
    network.elect(1n);
    const { node } = network.host(1n);
    node.propose([new Uint8Array(1)]);
    const first = node.ready().persist;
    node.propose([new Uint8Array(1), new Uint8Array(1)]);
    const second = node.ready().persist;
    assert.deepEqual(
      first?.entries.map((each) => each.index),
      [2],
    );
    assert.deepEqual(
      second?.entries.map((each) => each.index),
      [3, 4],
    );
    assert.ok(second.ack.sequence > first.ack.sequence);
  });

  test('an answer waits for the write of its entries, also when it is a repeated one', () => {
    const host = new RaftNetwork(three).host(2n);
    const first = append(host, 1n, 1, [0, 0], [entry(1, 1)]);
    assert.deepEqual(first.messages, []);
    assert.equal(first.persist?.messages.length, 1);
    const again = append(host, 1n, 1, [0, 0], [entry(1, 1)]);
    assert.deepEqual(again.messages, []);
    assert.equal(again.persist?.messages.length, 1);
    assert.deepEqual(again.persist.entries, []);
    host.sync();
    const third = append(host, 1n, 1, [0, 0], [entry(1, 1)]);
    assert.equal(third.messages.length, 1);
    assert.equal(third.persist, undefined);
  });

  test('acknowledging a write acknowledges all before it', () => {
    const host = new RaftNetwork(three).host(2n);
    append(host, 1n, 1, [0, 0], [entry(1, 1)]);
    append(host, 1n, 1, [1, 1], [entry(2, 1)]);
    host.sync(2, true);
    assert.equal(host.node.status().durable, 2);
  });

  test('the acknowledgement of overwritten entries is ignored', () => {
    const host = new RaftNetwork(three).host(2n);
    append(host, 1n, 1, [0, 0], [entry(1, 1), entry(2, 1), entry(3, 1)]);
    append(host, 3n, 2, [1, 1], [entry(2, 2)]);
    host.sync(1);
    assert.equal(host.node.status().durable, 1);
    host.sync(1);
    assert.equal(host.node.status().durable, 2);
  });

  test('so is that of entries overwritten and written again, as long as the last is under way', () => {
    const host = new RaftNetwork(three).host(2n);
    append(host, 1n, 1, [0, 0], [entry(1, 1), entry(2, 1)]);
    append(host, 3n, 2, [1, 1], [entry(2, 2)]);
    // A leader of term 3 brings back what the leader of term 1 had written.
    const last = append(host, 1n, 3, [1, 1], [entry(2, 1), entry(3, 3)], 3);
    assert.deepEqual(last.committedEntries, []);
    host.sync(1);
    assert.equal(host.node.status().durable, 1);
    assert.deepEqual(
      host.node.ready().committedEntries.map((each) => each.index),
      [1],
    );
    host.sync(1);
    assert.equal(host.node.status().durable, 1);
    host.sync(1);
    assert.equal(host.node.status().durable, 3);
  });

  test('a commit index alone needs no sync and holds up no message', () => {
    const host = new RaftNetwork(three).host(2n);
    append(host, 1n, 1, [0, 0], [entry(1, 1)]);
    host.sync();
    const ready = append(host, 1n, 1, [1, 1], [], 1);
    assert.equal(ready.persist?.mustSync, false);
    assert.deepEqual(ready.persist.hardState, { term: 1, vote: 0n, commit: 1 });
    assert.deepEqual(ready.persist.messages, []);
    assert.equal(ready.messages.length, 1);
    assert.equal(ready.committedEntries.length, 1);
  });

  test('what was handed out does not grow afterwards', () => {
    const host = new RaftNetwork(three).host(2n);
    append(host, 1n, 1, [0, 0], [entry(1, 1)]);
    host.sync();
    const ready = append(host, 1n, 1, [1, 1], [], 1);
    append(host, 1n, 1, [1, 1], [entry(2, 1)]);
    assert.equal(ready.messages.length, 1);
    assert.equal(ready.persist?.messages.length, 0);
  });

  test('a restart with a lost commit index begins at what was applied', () => {
    const network = new RaftNetwork(three);
    network.elect(1n);
    network.propose(1n, 'a', 'b');
    network.settle();
    const host = network.host(1n);
    host.flush();
    host.crash();
    host.storage.setHardState({ term: 1, vote: 1n, commit: 0 });
    host.restart();
    assert.equal(host.node.status().committed, 3);
    assert.deepEqual(host.node.ready().committedEntries, []);
  });

  test('a member refuses to start from impossible state', () => {
    const network = new RaftNetwork(three);
    const host = network.host(1n);
    host.crash();
    host.storage.setHardState({ term: 1, vote: 1n, commit: 9 });
    assert.throws(() => host.restart(), /commit index 9 is beyond/);
  });
});
