/** The statements of the Raft paper about log replication (5.3) and crashes of followers (5.5). */
import { describe, expect, test } from 'vitest';
import type { MemberId, Message } from '../../src/raft/index.ts';
import { clusterOf, entryOf, type RaftCluster } from '../support/raft-cluster.ts';

const three = [1n, 2n, 3n];
const five = [1n, 2n, 3n, 4n, 5n];

function ledBy1(voters: readonly MemberId[] = three): RaftCluster {
  const cluster = clusterOf(voters);
  cluster.elect(1n);
  return cluster;
}

/** Member 1 as a follower in term 9 whose log has entries of these terms from index 1 on. */
function followerWith(terms: readonly number[], commit = 0): RaftCluster {
  const cluster = clusterOf(three, { index: 0 });
  cluster.member(1n).startWith({ term: 9, vote: 0n, commit }, terms);
  return cluster;
}

function append(index: number, logTerm: number, terms: readonly number[], commit = 0): Message {
  const entries = terms.map((term, position) => entryOf(index + 1 + position, term));
  return { type: 'append', from: 2n, to: 1n, term: 9, index, logTerm, entries, commit };
}

describe('Raft 5.3: log replication', () => {
  test('5.3: a leader appends a command and sends it to all others in parallel', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    const ready = cluster.takeReady(1n);
    expect(ready.persist?.entries).toMatchObject([{ index: 4, term: 1 }]);
    expect(ready.messages).toMatchObject(
      [2n, 3n].map((to) => ({ type: 'append', to, index: 3, logTerm: 1, entries: [{ index: 4 }] })),
    );
  });

  test.each([
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 2],
    [6, 3],
    [7, 3],
  ])('5.3: with %i voters an entry is committed once %i others hold it', (size, others) => {
    const cluster = ledBy1(Array.from({ length: size }, (_, index) => BigInt(index + 1)));
    cluster.propose(1n, 'x');
    cluster.handleReady(1n);
    for (let index = 0; index < others; index++) {
      expect(cluster.node(1n).status().committed).toBe(3);
      const follower = BigInt(index + 2);
      cluster.deliver({ to: follower });
      cluster.handleReady(follower);
      cluster.deliver({ to: 1n });
    }
    expect(cluster.node(1n).status().committed).toBe(4);
    expect(cluster.appliedCommands(1n)).toEqual([]);
    cluster.handleReady(1n);
    expect(cluster.appliedCommands(1n)).toEqual(['x']);
  });

  test('5.3: committing an entry commits all before it, also of earlier leaders', () => {
    const cluster = clusterOf(three, { index: 0 });
    for (const id of three) {
      cluster.member(id).startWith({ term: 2, vote: 0n, commit: 0 }, [1, 2, 2]);
    }
    cluster.elect(1n);
    expect(cluster.node(1n).status().committed).toBe(4);
    expect(cluster.appliedCommands(2n)).toEqual(['1@1', '2@2', '3@2']);
  });

  test('5.3: followers learn the commit index from the leader and apply in log order', () => {
    const cluster = ledBy1();
    for (const command of ['a', 'b', 'c']) cluster.propose(1n, command);
    cluster.handleReady(1n);
    cluster.deliver({ to: 2n });
    cluster.settle([2n]);
    expect(cluster.appliedCommands(2n)).toEqual([]);
    cluster.settle();
    expect(cluster.appliedCommands(2n)).toEqual(['a', 'b', 'c']);
  });

  test('5.3: a follower commits no further than the leader says, nor than it was sent', () => {
    for (const [told, committed] of [
      [2, 2],
      [3, 3],
      [9, 3],
    ] as const) {
      const cluster = followerWith([1, 1, 1, 1]);
      cluster.node(1n).step(append(2, 1, [1], told));
      expect(cluster.node(1n).status().committed).toBe(committed);
    }
  });

  test.each([
    // own terms, index and term of the entry before, taken
    [[1, 1, 2], 3, 2, true],
    [[1, 1, 2], 2, 1, true],
    [[1, 1, 2], 0, 0, true],
    [[], 0, 0, true],
    [[1, 1, 2], 4, 2, false],
    [[1, 1, 2], 3, 3, false],
    [[1, 1, 2], 3, 1, false],
    [[], 1, 1, false],
  ])('5.3: a log of terms %j has an entry after (%i, %i): %s', (terms, index, term, taken) => {
    const cluster = followerWith(terms);
    cluster.node(1n).step(append(index, term, [9]));
    cluster.handleReady(1n);
    expect(cluster.take({ to: 2n })).toMatchObject([{ type: 'appendResponse', reject: !taken }]);
    const expected = taken ? [...terms.slice(0, index), 9] : terms;
    expect(cluster.member(1n).logTerms()).toEqual(expected);
  });

  test.each([
    [[1, 1, 1], 1, 1, [2], [1, 2]],
    [[1, 1, 1], 1, 1, [2, 2, 2], [1, 2, 2, 2]],
    [[1, 2, 2, 2], 0, 0, [1, 3], [1, 3]],
    [[1, 2, 2, 2], 2, 2, [2], [1, 2, 2, 2]],
    [[1, 2, 2, 2], 1, 1, [], [1, 2, 2, 2]],
    [[1, 2, 2, 2], 1, 1, [2, 2, 2, 3], [1, 2, 2, 2, 3]],
  ])('5.3: %j, entries after (%i, %i): %j, becomes %j', (terms, index, logTerm, sent, expected) => {
    const cluster = followerWith(terms);
    cluster.node(1n).step(append(index, logTerm, sent));
    cluster.handleReady(1n);
    expect(cluster.member(1n).logTerms()).toEqual(expected);
  });

  test('5.3: only a conflict removes entries: an old append that arrives late removes none', () => {
    const cluster = followerWith([1]);
    cluster.node(1n).step(append(1, 1, [9, 9, 9]));
    cluster.node(1n).step(append(1, 1, [9]));
    cluster.handleReady(1n);
    expect(cluster.member(1n).logTerms()).toEqual([1, 9, 9, 9]);
  });

  test('5.3: a leader never overwrites or deletes entries of its own log', () => {
    const cluster = clusterOf(three, { index: 0 });
    cluster.member(1n).startWith({ term: 3, vote: 0n, commit: 0 }, [1, 1, 3]);
    cluster.member(2n).startWith({ term: 3, vote: 0n, commit: 0 }, [1, 2, 2, 2, 2]);
    cluster.elect(1n);
    expect(cluster.member(1n).logTerms()).toEqual([1, 1, 3, 4]);
    expect(cluster.member(2n).logTerms()).toEqual([1, 1, 3, 4]);
  });

  test('5.3: a leader begins by assuming that followers have all that it has', () => {
    const cluster = ledBy1();
    cluster.elect(2n);
    cluster.elect(1n);
    cluster.node(3n).campaign();
    cluster.handleReady(3n);
    cluster.deliver({ to: 1n });
    cluster.handleReady(1n);
    cluster.deliver({ to: 3n });
    const { lastIndex, role } = cluster.node(3n).status();
    expect(role).toBe('leader');
    const nexts = cluster
      .node(3n)
      .status()
      .progress.filter(({ member }) => member !== 3n);
    expect(nexts.map(({ next }) => next)).toEqual([lastIndex, lastIndex]);
  });

  /** The followers of figure 7 of the paper. */
  const figure7: readonly (readonly [string, readonly number[]])[] = [
    ['a', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ['b', [1, 1, 1, 4]],
    ['c', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ['d', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ['e', [1, 1, 1, 4, 4, 4, 4]],
    ['f', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ];

  test.each(figure7)('5.3, figure 7: the leader brings follower (%s) in line', (_name, terms) => {
    const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    const cluster = clusterOf(three, { index: 0 });
    cluster.member(1n).startWith({ term: 7, vote: 0n, commit: 0 }, leader);
    cluster.member(2n).startWith({ term: 7, vote: 0n, commit: 0 }, terms);
    cluster.member(3n).startWith({ term: 7, vote: 0n, commit: 0 }, leader.slice(0, 1));
    cluster.elect(1n);
    expect(cluster.member(2n).logTerms()).toEqual([...leader, 8]);
    expect(cluster.member(2n).log()).toEqual(cluster.member(1n).log());
  });

  test('5.3: a refusal tells where to go on, so that whole terms are skipped at once', () => {
    const cluster = clusterOf(three, { index: 0 });
    const shared = [1, 1];
    const strange = Array.from({ length: 100 }, () => 2);
    const own = Array.from({ length: 100 }, () => 3);
    cluster.member(1n).startWith({ term: 3, vote: 0n, commit: 0 }, [...shared, ...own]);
    cluster.member(2n).startWith({ term: 3, vote: 0n, commit: 0 }, [...shared, ...strange]);
    cluster.member(3n).startWith({ term: 3, vote: 0n, commit: 0 }, [...shared, ...own]);
    cluster.node(1n).campaign();
    cluster.settle([1n, 3n]);
    let refusals = 0;
    for (let round = 0; round < 10; round++) {
      cluster.deliver({ to: 2n });
      if (cluster.node(2n).hasReady()) cluster.handleReady(2n);
      refusals += cluster
        .deliver({ from: 2n, to: 1n })
        .filter((message) => message.type === 'appendResponse' && message.reject).length;
      cluster.settle([1n]);
    }
    expect(cluster.member(2n).logTerms()).toEqual([...shared, ...own, 4]);
    expect(refusals).toBe(1);
  });

  test('5.3: a slow follower does not hold up the majority', () => {
    const cluster = ledBy1(five);
    for (let index = 0; index < 20; index++) {
      cluster.propose(1n, `${index}`);
      cluster.settle([1n, 2n, 3n]);
    }
    expect(cluster.appliedCommands(1n)).toHaveLength(20);
    expect(cluster.appliedCommands(4n)).toHaveLength(0);
    cluster.settle();
    expect(cluster.appliedCommands(4n)).toEqual(cluster.appliedCommands(1n));
  });

  test('5.3: appends are sent again until they are answered', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.settle([1n, 2n]);
    for (let attempt = 0; attempt < 3; attempt++) {
      cluster.take({ to: 3n });
      cluster.tick(1n);
      cluster.handleReady(1n);
      cluster.deliver({ to: 3n, type: 'heartbeat' });
      cluster.settle([3n]);
      cluster.deliver({ to: 1n });
      cluster.handleReady(1n);
      expect(cluster.network.filter(({ to, type }) => to === 3n && type === 'append').length).toBe(
        1,
      );
    }
    cluster.settle();
    expect(cluster.appliedCommands(3n)).toEqual(['x']);
  });

  test('5.3: entries with the same index and term are the same, and so is all before them', () => {
    const cluster = ledBy1(five);
    cluster.propose(1n, 'one');
    cluster.settle([1n, 2n]);
    cluster.take();
    cluster.node(3n).campaign();
    cluster.settle([3n, 4n, 5n]);
    cluster.propose(3n, 'two');
    cluster.settle();
    const logs = five.map((id) => cluster.member(id).log());
    for (const log of logs) {
      for (const other of logs) {
        const shared = log.findLastIndex((entry, at) => other[at]?.term === entry.term);
        expect(log.slice(0, shared + 1)).toEqual(other.slice(0, shared + 1));
      }
    }
  });
});

describe('Raft 5.5: follower and candidate crashes', () => {
  test('5.5: an append that arrives twice changes nothing the second time', () => {
    const cluster = followerWith([1]);
    for (let time = 0; time < 2; time++) {
      cluster.node(1n).step(append(1, 1, [9, 9], 2));
      cluster.settle([1n]);
      expect(cluster.member(1n).logTerms()).toEqual([1, 9, 9]);
      expect(cluster.node(1n).status().committed).toBe(2);
      expect(cluster.take({ to: 2n })).toMatchObject([{ type: 'appendResponse', reject: false }]);
    }
  });

  test('5.5: a follower that crashed catches up when it is back', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'a');
    cluster.settle([1n, 2n]);
    cluster.take();
    cluster.member(3n).restart();
    cluster.propose(1n, 'b');
    cluster.settle();
    cluster.tick(1n);
    cluster.settle();
    expect(cluster.appliedCommands(3n)).toEqual(['a', 'b']);
  });

  test('5.5: an answered append is durable: the answer waits for the write', () => {
    const cluster = followerWith([1]);
    cluster.node(1n).step(append(1, 1, [9]));
    const ready = cluster.takeReady(1n);
    expect(ready.messages).toEqual([]);
    expect(ready.persist?.messages).toMatchObject([{ type: 'appendResponse', index: 2 }]);
    expect(ready.persist?.mustSync).toBe(true);
  });
});
