/**
 * Log compaction (section 7 of the Raft paper, chapter 5 of the dissertation) and reads (section 8
 * of the paper, chapter 6 of the dissertation).
 */
import { describe, expect, test } from 'vitest';
import type { MemberId, Message, SnapshotMetadata } from '../../src/raft/index.ts';
import {
  clusterOf,
  electionTicks,
  type MemberOptions,
  type RaftCluster,
} from '../support/raft-cluster.ts';

const three = [1n, 2n, 3n];
const confState = {
  voters: three,
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function ledBy1(options: MemberOptions = {}): RaftCluster {
  const cluster = clusterOf(three, options);
  cluster.elect(1n);
  return cluster;
}

/** Member 3 misses some commands, and the leader compacts its log past them. */
function leftBehind(options: MemberOptions = {}): RaftCluster {
  const cluster = ledBy1(options);
  for (const command of ['a', 'b', 'c']) cluster.propose(1n, command);
  cluster.settle([1n, 2n]);
  cluster.take({ to: 3n });
  cluster.member(1n).storage.compact(cluster.node(1n).status().applied);
  return cluster;
}

/** Lets 1 and 3 talk until the leader sends a snapshot. */
function untilSnapshot(cluster: RaftCluster): void {
  cluster.tick(1n);
  for (let round = 0; round < 5; round++) {
    cluster.handleReady(1n);
    if (cluster.network.some(({ type }) => type === 'snapshot')) return;
    cluster.deliver({ from: 1n, to: 3n });
    cluster.handleReady(3n);
    cluster.deliver({ from: 3n, to: 1n });
  }
  throw new Error('no snapshot was sent');
}

function snapshotMessage(snapshot: SnapshotMetadata, term = 9): Message {
  return { type: 'snapshot', from: 2n, to: 1n, term, snapshot };
}

/** Member 1 as a follower of term 9 with entries of these terms from index 1 on. */
function followerWith(terms: readonly number[], commit: number): RaftCluster {
  const cluster = clusterOf(three, { index: 0 });
  cluster.member(1n).startWith({ term: 9, vote: 0n, commit }, terms);
  return cluster;
}

describe('Raft 7, dissertation 5: log compaction', () => {
  test('7: each member compacts what it has applied, and goes on from there', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'a');
    cluster.settle();
    for (const id of three) cluster.member(id).storage.compact(cluster.node(id).status().applied);
    cluster.propose(1n, 'b');
    cluster.settle();
    for (const id of three) cluster.member(id).restart();
    cluster.elect(2n);
    cluster.propose(2n, 'c');
    cluster.settle();
    for (const id of three) expect(cluster.appliedCommands(id)).toEqual(['a', 'b', 'c']);
  });

  test('7: the first entry after a compaction is checked against the snapshot', () => {
    const cluster = leftBehind();
    cluster.propose(1n, 'd');
    cluster.handleReady(1n);
    const [message] = cluster.network.filter(({ to, type }) => to === 2n && type === 'append');
    expect(message).toMatchObject({ index: 6, logTerm: 1 });
    expect(cluster.member(1n).storage.firstIndex()).toBe(7);
  });

  test('7: a follower that needs what was discarded is sent a snapshot', () => {
    const cluster = leftBehind();
    untilSnapshot(cluster);
    const { applied, progress } = cluster.node(1n).status();
    const sent = cluster.network.filter(({ type }) => type === 'snapshot');
    expect(sent).toMatchObject([{ to: 3n, snapshot: { index: applied, term: 1, confState } }]);
    expect(progress[2]).toMatchObject({ state: 'snapshot', pendingSnapshot: applied });
    cluster.settle();
    expect(cluster.node(3n).status()).toMatchObject({ committed: applied, applied });
    cluster.propose(1n, 'd');
    cluster.settle();
    expect(cluster.appliedCommands(3n)).toEqual(['d']);
  });

  test('7: while a snapshot is on its way nothing else is sent but heartbeats', () => {
    const cluster = leftBehind();
    untilSnapshot(cluster);
    cluster.take();
    cluster.propose(1n, 'd');
    cluster.tick(1n);
    cluster.handleReady(1n);
    expect(cluster.take({ to: 3n }).map(({ type }) => type)).toEqual(['heartbeat']);
  });

  test.each([true, false])(
    '7: when the host reports the transfer (ok: %s), sending resumes',
    (ok) => {
      const cluster = leftBehind();
      untilSnapshot(cluster);
      const lost = cluster.take({ type: 'snapshot' });
      expect(lost).toHaveLength(1);
      const { applied } = cluster.node(1n).status();
      cluster.node(1n).reportSnapshot(3n, ok);
      const progress = cluster.node(1n).status().progress[2];
      expect(progress).toMatchObject({ state: 'probe', next: ok ? applied + 1 : 4 });
      cluster.tick(1n);
      cluster.settle();
      expect(cluster.node(3n).status().applied).toBe(applied);
    },
  );

  test('7: a member that is not heard from is sent no snapshot', () => {
    const cluster = leftBehind({ checkQuorum: true });
    for (let tick = 0; tick < 2 * electionTicks; tick++) {
      cluster.tick(1n);
      cluster.settle([1n, 2n]);
    }
    cluster.node(1n).reportUnreachable(3n);
    cluster.propose(1n, 'd');
    cluster.settle([1n, 2n]);
    expect(cluster.node(1n).status().progress[2]).toMatchObject({ state: 'probe', next: 4 });
    expect(cluster.take({ to: 3n }).filter(({ type }) => type === 'snapshot')).toEqual([]);
    untilSnapshot(cluster);
  });

  test('7: a snapshot replaces the whole log if the log conflicts or ends before it', () => {
    for (const terms of [[1], [1, 2, 2, 2, 2, 2]]) {
      const cluster = followerWith(terms, 1);
      cluster.node(1n).step(snapshotMessage({ index: 5, term: 8, confState }));
      cluster.settle([1n]);
      expect(cluster.member(1n).log()).toEqual([]);
      expect(cluster.node(1n).status()).toMatchObject({ lastIndex: 5, committed: 5, applied: 5 });
      expect(cluster.take({ to: 2n })).toMatchObject([{ type: 'appendResponse', index: 5 }]);
    }
  });

  test('7: entries after a snapshot that the log agrees with are kept', () => {
    const cluster = followerWith([1, 1, 8, 8, 8], 1);
    cluster.node(1n).step(snapshotMessage({ index: 3, term: 8, confState }));
    cluster.settle([1n]);
    expect(cluster.member(1n).logTerms()).toEqual([1, 1, 8, 8, 8]);
    expect(cluster.node(1n).status()).toMatchObject({ lastIndex: 5, committed: 3 });
  });

  test('7: a snapshot older than what is committed is ignored', () => {
    const cluster = followerWith([1, 1, 1, 1], 3);
    cluster.node(1n).step(snapshotMessage({ index: 2, term: 1, confState }));
    cluster.settle([1n]);
    expect(cluster.member(1n).logTerms()).toEqual([1, 1, 1, 1]);
    expect(cluster.take({ to: 2n })).toMatchObject([{ type: 'appendResponse', index: 3 }]);
  });

  test('7: a snapshot of an older term is refused like any message', () => {
    const cluster = followerWith([1], 1);
    cluster.node(1n).step(snapshotMessage({ index: 5, term: 8, confState }, 8));
    cluster.settle([1n]);
    expect(cluster.node(1n).status().lastIndex).toBe(1);
  });

  test('7: a snapshot is answered once it is durable, and nothing is applied before', () => {
    const cluster = followerWith([1], 1);
    cluster.settle([1n]);
    cluster.node(1n).step(snapshotMessage({ index: 5, term: 8, confState }));
    const entry = { index: 6, term: 9, kind: 0, data: new Uint8Array(1) } as const;
    const sent = { index: 5, logTerm: 8, entries: [entry], commit: 6 };
    cluster.node(1n).step({ type: 'append', from: 2n, to: 1n, term: 9, ...sent });
    const ready = cluster.takeReady(1n);
    expect(ready.messages).toEqual([]);
    expect(ready.persist).toMatchObject({ mustSync: true, snapshot: { index: 5 } });
    expect(ready.committedEntries).toEqual([]);
    cluster.settle([1n]);
    cluster.finishWrite(1n);
    cluster.settle([1n]);
    expect(cluster.node(1n).status().applied).toBe(6);
  });

  test('7: the configuration is part of the snapshot', () => {
    const cluster = followerWith([1], 1);
    const joint = { ...confState, votersOutgoing: [1n, 4n], learners: [5n], autoLeave: true };
    cluster.node(1n).step(snapshotMessage({ index: 5, term: 8, confState: joint }));
    cluster.settle([1n]);
    expect(cluster.node(1n).status().confState).toEqual(joint);
    cluster.member(1n).restart();
    expect(cluster.node(1n).status().confState).toEqual(joint);
  });
});

describe('Raft 8, dissertation 6.4: linearizable reads without the log', () => {
  function read(cluster: RaftCluster, id: MemberId, context = 7n): void {
    cluster.node(id).readIndex(context);
  }

  /** All read states and drops that come out while the members settle. */
  function settleReads(cluster: RaftCluster, ids: readonly MemberId[] = three): string[] {
    const results: string[] = [];
    for (let busy = true; busy;) {
      busy = false;
      for (const id of ids) {
        if (!cluster.node(id).hasReady()) continue;
        busy = true;
        const { readStates, droppedReads } = cluster.handleReady(id);
        results.push(...readStates.map(({ context, index }) => `${id}: ${context} at ${index}`));
        results.push(...droppedReads.map((context) => `${id}: ${context} dropped`));
      }
      for (const id of ids) busy = cluster.deliver({ to: id }).length > 0 || busy;
    }
    return results;
  }

  test('8: a new leader commits an empty entry of its term at once', () => {
    const cluster = clusterOf(three);
    cluster.elect(1n);
    expect(cluster.member(1n).log()).toMatchObject([{ index: 3, term: 1, data: { length: 0 } }]);
    expect(cluster.node(1n).status().committed).toBe(3);
  });

  test('8: a read waits until the leader has committed in its term', () => {
    const cluster = ledBy1();
    cluster.node(2n).campaign();
    cluster.handleReady(2n);
    cluster.deliver({ to: 3n });
    cluster.handleReady(3n);
    cluster.deliver({ to: 2n });
    read(cluster, 2n);
    const early = cluster.handleReady(2n);
    expect(early.readStates).toEqual([]);
    expect(early.messages.some(({ type }) => type === 'heartbeat')).toBe(false);
    expect(settleReads(cluster)).toEqual(['2: 7 at 4']);
  });

  test('8: a read is answered after a round of heartbeats with a majority', () => {
    const cluster = ledBy1();
    read(cluster, 1n);
    expect(cluster.handleReady(1n).readStates).toEqual([]);
    const beats = cluster.network.filter(({ type }) => type === 'heartbeat');
    expect(beats.map(({ to }) => to)).toEqual([2n, 3n]);
    cluster.deliver({ to: 2n });
    cluster.handleReady(2n);
    cluster.deliver({ to: 1n });
    expect(cluster.handleReady(1n).readStates).toEqual([{ context: 7n, index: 3 }]);
  });

  test('8: without a majority no read is answered', () => {
    const cluster = ledBy1();
    read(cluster, 1n);
    cluster.tick(1n, 2);
    expect(settleReads(cluster, [1n])).toEqual([]);
  });

  test('8: a deposed leader that does not know it yet answers no read', () => {
    const cluster = ledBy1();
    cluster.node(2n).campaign();
    cluster.settle([2n, 3n]);
    cluster.propose(2n, 'newer');
    cluster.settle([2n, 3n]);
    cluster.take();
    expect(cluster.node(1n).status().role).toBe('leader');
    read(cluster, 1n);
    const results = settleReads(cluster);
    expect(results.filter((result) => result.includes(' at '))).toEqual([]);
  });

  test('6.4: the answer is the commit index at the time of the request, or later', () => {
    const cluster = ledBy1();
    read(cluster, 1n);
    cluster.propose(1n, 'x');
    const [result] = settleReads(cluster);
    expect(result).toBe('1: 7 at 3');
    read(cluster, 1n, 8n);
    expect(settleReads(cluster)).toEqual(['1: 8 at 4']);
  });

  test('6.4: many reads share a round', () => {
    const cluster = ledBy1();
    for (let context = 1n; context <= 50n; context++) read(cluster, 1n, context);
    cluster.handleReady(1n);
    expect(cluster.network.filter(({ type }) => type === 'heartbeat')).toHaveLength(2);
    expect(settleReads(cluster)).toHaveLength(50);
  });

  test('6.4: answers to a round that began before the read do not confirm it', () => {
    const cluster = ledBy1();
    cluster.tick(1n);
    cluster.handleReady(1n);
    cluster.deliver({ to: 2n });
    cluster.deliver({ to: 3n });
    read(cluster, 1n);
    for (const id of [2n, 3n]) cluster.handleReady(id);
    cluster.deliver({ to: 1n });
    expect(cluster.handleReady(1n).readStates).toEqual([]);
    expect(settleReads(cluster)).toEqual(['1: 7 at 3']);
  });

  test('6.4: a follower asks the leader and serves the read itself', () => {
    const cluster = ledBy1();
    cluster.propose(1n, 'x');
    cluster.settle([1n, 3n]);
    cluster.take({ to: 2n });
    read(cluster, 2n);
    expect(settleReads(cluster)).toEqual(['2: 7 at 4']);
    expect(cluster.node(2n).status().term).toBe(1);
  });

  test('6.4: a learner can ask, too, but confirms nothing', () => {
    const cluster = clusterOf([1n, 2n], { learners: [3n] });
    cluster.elect(1n);
    read(cluster, 3n);
    expect(settleReads(cluster, [1n, 3n])).toEqual([]);
    expect(settleReads(cluster)).toEqual(['3: 7 at 3']);
  });

  test('6.4: a read without a leader is dropped, and so is one whose leader is gone', () => {
    const cluster = ledBy1();
    read(cluster, 2n, 8n);
    cluster.handleReady(2n);
    cluster.take();
    cluster.node(3n).campaign();
    expect(settleReads(cluster)).toContain('2: 8 dropped');
    const alone = clusterOf(three);
    read(alone, 1n, 9n);
    expect(settleReads(alone)).toEqual(['1: 9 dropped']);
  });

  test('6.4: a leader that steps down drops the reads of its own host', () => {
    const cluster = ledBy1();
    read(cluster, 1n);
    cluster.handleReady(1n);
    cluster.take();
    cluster.node(2n).campaign();
    expect(settleReads(cluster)).toContain('1: 7 dropped');
  });

  test('6.4: the only voter confirms its reads itself', () => {
    const cluster = clusterOf([1n]);
    cluster.elect(1n);
    read(cluster, 1n);
    expect(settleReads(cluster, [1n])).toEqual(['1: 7 at 3']);
  });

  test('6.4: between two configurations both majorities must confirm', () => {
    const cluster = ledBy1();
    cluster.add(2);
    const change = { type: 0, member: 0n } as const;
    const changes = [4n, 5n].map((member) => ({ ...change, member }));
    const removals = [2n, 3n].map((member) => ({ type: 1, member }) as const);
    const context = new Uint8Array(0);
    cluster
      .node(1n)
      .proposeConfChange({ transition: 2, changes: [...changes, ...removals], context });
    cluster.settle();
    read(cluster, 1n);
    expect(settleReads(cluster, [1n, 2n, 3n])).toEqual([]);
    expect(settleReads(cluster, [1n, 4n])).toEqual(['1: 7 at 4']);
  });

  describe('with leases', () => {
    const leases = { checkQuorum: true, leaseReads: true, electionTicks: 10, heartbeatTicks: 1 };

    function leased(): RaftCluster {
      const cluster = clusterOf(three, leases);
      for (const id of three) cluster.tick(id, 10);
      cluster.elect(1n);
      cluster.tick(1n);
      cluster.settle();
      return cluster;
    }

    test('6.4.1: within its lease the leader answers at once', () => {
      const cluster = leased();
      read(cluster, 1n);
      const ready = cluster.handleReady(1n);
      expect(ready.readStates).toEqual([{ context: 7n, index: 3 }]);
      expect(ready.messages).toEqual([]);
    });

    test('6.4.1: the lease ends before any voter could elect another', () => {
      const cluster = leased();
      cluster.tick(1n, leases.electionTicks - 2);
      cluster.handleReady(1n);
      cluster.take();
      read(cluster, 1n);
      expect(cluster.handleReady(1n).readStates).toEqual([]);
    });

    test('6.4.1: who hands leadership over gives up the lease', () => {
      const cluster = leased();
      cluster.node(1n).transferLeader(2n);
      read(cluster, 1n);
      expect(cluster.handleReady(1n).readStates).toEqual([]);
    });

    test('6.4.1: a member that has just started keeps still for one timeout', () => {
      const cluster = leased();
      cluster.member(2n).restart();
      const request = { index: 99, logTerm: 99, transfer: false };
      cluster.node(2n).step({ type: 'vote', from: 3n, to: 2n, term: 5, ...request });
      expect(cluster.node(2n).status().term).toBe(1);
      cluster.tick(2n, leases.electionTicks);
      cluster.node(2n).step({ type: 'vote', from: 3n, to: 2n, term: 5, ...request });
      expect(cluster.node(2n).status().term).toBe(5);
    });
  });

  test('6.2: reads of a leader that lost its quorum end with its leadership', () => {
    const cluster = ledBy1({ checkQuorum: true });
    read(cluster, 1n);
    cluster.handleReady(1n);
    cluster.take();
    cluster.tick(1n, 2 * electionTicks);
    expect(settleReads(cluster, [1n])).toEqual(['1: 7 dropped']);
  });
});
