/** The message `committed`: leaders tell it, and whoever refuses a vote. */
import assert from 'node:assert/strict';
import { describe, expect, test } from 'vitest';
import {
  ConfChangeTransition,
  ConfChangeType,
  encodeConfChange,
  EntryKind,
  type CommittedMessage,
  type ConfChange,
  type MemberId,
  type Message,
} from '../../../src/raft/index.ts';
import {
  clusterOf,
  electionTicks,
  entryOf,
  type MemberOptions,
  type RaftCluster,
} from '../../support/raft-cluster.ts';

const three = [1n, 2n, 3n];

function removalOf(member: MemberId): ConfChange {
  const changes = [{ type: ConfChangeType.remove, member }];
  return { transition: ConfChangeTransition.auto, changes, context: new Uint8Array(0) };
}

/**
 * Member 1 is removed and knows it; member 2 lost in a power cut that this is committed, and the
 * entry after it, which member 1 holds.
 */
function withForgottenRemoval(options: MemberOptions): RaftCluster {
  const cluster = clusterOf([1n, 2n], options);
  cluster.elect(2n);
  assert.equal(cluster.node(2n).proposeConfChange(removalOf(1n)), undefined);
  cluster.handleReady(2n);
  cluster.deliver({ to: 1n });
  cluster.handleReady(1n);
  // The next entry becomes durable at the follower only.
  cluster.propose(2n, 'lost');
  cluster.takeReady(2n);
  cluster.deliver({ to: 1n });
  cluster.handleReady(1n);
  // The removal is committed by now, which the follower hears at once.
  cluster.deliver({ to: 2n });
  cluster.takeReady(2n);
  cluster.deliver({ to: 1n });
  cluster.handleReady(1n);
  assert.deepEqual(votersOf(cluster, 1n), [2n]);
  cluster.take();
  cluster.member(2n).restart();
  assert.deepEqual(votersOf(cluster, 2n), [1n, 2n]);
  return cluster;
}

function votersOf(cluster: RaftCluster, member: MemberId): readonly MemberId[] {
  return cluster.node(member).status().confState.voters;
}

/** Time passes for one member only, for as long as a few elections take. */
function waitFor(cluster: RaftCluster, member: MemberId): void {
  for (let ticks = 0; ticks < 8 * electionTicks; ticks++) {
    cluster.tick(member);
    cluster.settle();
  }
}

/** What member 2 says when member 1 asks for its vote. */
function answersOf2(cluster: RaftCluster): Message[] {
  cluster.node(1n).campaign();
  cluster.handleReady(1n);
  cluster.deliver({ to: 2n });
  cluster.handleReady(2n);
  return cluster.take({ to: 1n });
}

function committedAt(cluster: RaftCluster, member: MemberId): number {
  return cluster.node(member).status().committed;
}

function told(index: number, logTerm: number, term = 1): CommittedMessage {
  return { type: 'committed', from: 2n, to: 1n, term, index, logTerm };
}

describe('two voters of which one is removed', () => {
  test.each([
    ['with pre-votes', true],
    ['without pre-votes', false],
  ])('do not stand still: the removed tells the other, %s', (_what, preVote) => {
    const cluster = withForgottenRemoval({ preVote });
    waitFor(cluster, 2n);
    assert.deepEqual(votersOf(cluster, 2n), [2n]);
    assert.equal(cluster.node(2n).status().role, 'leader');
  });

  test('do not stand still when the removed is of an older term', () => {
    const cluster = withForgottenRemoval({ preVote: true });
    const { term } = cluster.node(1n).status();
    cluster.member(2n).startWith({ term: term + 1, vote: 2n, commit: 2 }, []);
    waitFor(cluster, 2n);
    assert.deepEqual(votersOf(cluster, 2n), [2n]);
    assert.equal(cluster.node(2n).status().role, 'leader');
  });
});

describe('whoever refuses a vote', () => {
  test('tells of no more than the candidate has', () => {
    const cluster = clusterOf(three);
    cluster.member(1n).startWith({ term: 1, vote: 0n, commit: 2 }, [1, 1]);
    cluster.member(2n).startWith({ term: 1, vote: 0n, commit: 5 }, [1, 1, 1]);
    const answers = answersOf2(cluster);
    expect(answers).toMatchObject([
      { type: 'committed', index: 4, logTerm: 1 },
      { type: 'voteResponse', reject: true },
    ]);
  });

  test('tells of no more than it knows to be committed', () => {
    const cluster = clusterOf(three);
    cluster.member(1n).startWith({ term: 1, vote: 0n, commit: 2 }, [1, 1]);
    cluster.member(2n).startWith({ term: 1, vote: 0n, commit: 3 }, [1, 1, 1]);
    expect(answersOf2(cluster)).toMatchObject([{ index: 3, logTerm: 1 }, { reject: true }]);
  });

  test('tells it as one that takes no part in votes, too', () => {
    const cluster = clusterOf(three);
    cluster.member(1n).startWith({ term: 2, vote: 0n, commit: 2 }, [1, 1]);
    cluster.member(2n).options = { abstainBelowTerm: 2 };
    cluster.member(2n).startWith({ term: 2, vote: 0n, commit: 3 }, [1]);
    assert.equal(cluster.node(2n).status().abstains, true);
    expect(answersOf2(cluster)).toMatchObject([{ index: 3, logTerm: 1 }, { reject: true }]);
  });

  test('says nothing where its own log is compacted', () => {
    const cluster = clusterOf(three);
    cluster.member(2n).startWith({ term: 1, vote: 0n, commit: 5 }, [1, 1, 1]);
    cluster.member(2n).storage.createSnapshot(5, cluster.node(2n).status().confState);
    cluster.member(2n).storage.compact(5);
    cluster.member(2n).restart();
    expect(answersOf2(cluster)).toMatchObject([{ type: 'voteResponse', reject: true }]);
  });

  test('says nothing to whom it votes for', () => {
    const cluster = clusterOf(three);
    expect(answersOf2(cluster)).toMatchObject([{ type: 'voteResponse', reject: false }]);
  });
});

describe('who is told what is committed', () => {
  test('takes nothing for it that its log does not hold', () => {
    const cluster = clusterOf(three);
    // The voter knows more than the candidate, which holds an entry of another term there.
    cluster.member(1n).startWith({ term: 3, vote: 0n, commit: 0 }, [1, 2]);
    cluster.member(2n).startWith({ term: 3, vote: 0n, commit: 5 }, [1, 3, 3]);
    const before = committedAt(cluster, 1n);
    const answers = answersOf2(cluster);
    expect(answers).toMatchObject([{ type: 'committed', index: 4, logTerm: 3 }, { reject: true }]);
    for (const answer of answers) cluster.node(1n).step(answer);
    assert.equal(committedAt(cluster, 1n), before);
    cluster.node(1n).step(told(9, 2));
    assert.equal(committedAt(cluster, 1n), before);
  });

  test.each([
    ['as a candidate, before the refusal', false],
    ['as a follower, after a refusal that decides', true],
  ])('learns it %s', (_what, refusalFirst) => {
    const cluster = clusterOf([1n, 2n]);
    cluster.member(1n).startWith({ term: 1, vote: 0n, commit: 2 }, [1, 1]);
    cluster.member(2n).startWith({ term: 1, vote: 0n, commit: 5 }, [1, 1, 1]);
    const answers = answersOf2(cluster);
    if (refusalFirst) answers.reverse();
    const [first, second] = answers as [Message, Message];
    cluster.node(1n).step(first);
    assert.equal(cluster.node(1n).status().role, refusalFirst ? 'follower' : 'candidate');
    cluster.node(1n).step(second);
    assert.equal(committedAt(cluster, 1n), 4);
  });

  test.each([
    ['an older', 1, 2],
    ['its own', 2, 2],
    ['a newer', 3, 3],
  ])('learns it from a member of %s term', (_what, term, termAfter) => {
    const cluster = clusterOf(three);
    cluster.member(1n).startWith({ term: 2, vote: 0n, commit: 2 }, [1, 1]);
    cluster.node(1n).step(told(4, 1, term));
    assert.equal(committedAt(cluster, 1n), 4);
    assert.equal(cluster.node(1n).status().term, termAfter);
  });

  test('tells a leader no more that lacks what was committed after its term', () => {
    const cluster = clusterOf(three);
    cluster.member(1n).startWith({ term: 3, vote: 0n, commit: 2 }, [2, 2]);
    cluster.node(1n).step(told(4, 2, 4));
    // Member 3 leads in term 3, with another entry at 3, and is not deposed yet.
    const append = { type: 'append', from: 3n, to: 1n, term: 3, index: 2, logTerm: 1 } as const;
    cluster.node(1n).step({ ...append, entries: [entryOf(3, 3)], commit: 2 });
    cluster.handleReady(1n);
    assert.equal(committedAt(cluster, 1n), 4);
    expect(cluster.take({ to: 3n }).filter(({ term }) => term === 3)).toEqual([]);
  });

  test('learns it as a learner, and as one without a state nothing', () => {
    const cluster = clusterOf([2n, 3n], { learners: [1n] });
    cluster.member(1n).startWith({ term: 1, vote: 0n, commit: 2 }, [1]);
    cluster.node(1n).step(told(3, 1));
    assert.equal(committedAt(cluster, 1n), 3);
    cluster.node(1n).step(told(0, 0));
    assert.equal(committedAt(cluster, 1n), 3);
  });

  test('applies what matches once it is durable', () => {
    const cluster = clusterOf(three);
    const entries = [entryOf(3, 1)];
    const append = { type: 'append', from: 3n, to: 1n, term: 1, index: 2, logTerm: 1 } as const;
    cluster.node(1n).step({ ...append, entries, commit: 2 });
    cluster.takeReady(1n);
    cluster.node(1n).step(told(3, 1));
    assert.equal(committedAt(cluster, 1n), 3);
    assert.deepEqual(cluster.takeReady(1n).committedEntries, []);
    cluster.finishWrite(1n);
    expect(cluster.takeReady(1n).committedEntries).toMatchObject([{ index: 3 }]);
  });

  test('does not need it as leader, who counts for itself', () => {
    const cluster = clusterOf(three);
    cluster.elect(1n);
    cluster.propose(1n, 'waiting');
    cluster.handleReady(1n);
    const { term, committed, lastIndex } = cluster.node(1n).status();
    assert.ok(lastIndex > committed);
    cluster.node(1n).step(told(lastIndex, term, term));
    assert.equal(committedAt(cluster, 1n), committed);
  });

  test('does not go on to its election before a change is applied that is in it', () => {
    const cluster = clusterOf(three, { preVote: true });
    const data = encodeConfChange(removalOf(3n));
    const member = cluster.member(1n);
    member.storage.append([{ index: 3, term: 1, kind: EntryKind.confChange, data }]);
    member.storage.setHardState({ term: 1, vote: 0n, commit: 2 });
    member.restart();
    cluster.node(1n).campaign();
    cluster.handleReady(1n);
    cluster.node(1n).step(told(3, 1));
    cluster.takeReady(1n);
    const grant = { type: 'preVoteResponse', from: 3n, to: 1n, term: 2, reject: false } as const;
    cluster.node(1n).step(grant);
    expect(cluster.node(1n).status()).toMatchObject({ role: 'preCandidate', term: 1 });
    cluster.finishApply(1n);
    assert.deepEqual(votersOf(cluster, 1n), [1n, 2n]);
    // It stands again at its next timeout.
    cluster.take();
    cluster.tick(1n, 2 * electionTicks);
    cluster.settle();
    assert.equal(cluster.node(1n).status().role, 'leader');
  });
});

/** Member 1 leads and has committed an entry with member 2; nothing has reached member 3. */
function withCommitOfTwo(): RaftCluster {
  const cluster = clusterOf(three);
  cluster.elect(1n);
  cluster.propose(1n, 'a');
  cluster.handleReady(1n);
  cluster.take({ to: 3n });
  cluster.deliver({ to: 2n });
  cluster.handleReady(2n);
  cluster.deliver({ from: 2n });
  cluster.handleReady(1n);
  return cluster;
}

describe('a leader', () => {
  test('tells those who hold everything what is committed, and gets no answer', () => {
    const cluster = withCommitOfTwo();
    const index = committedAt(cluster, 1n);
    expect(cluster.take({ to: 2n })).toMatchObject([{ type: 'committed', index }]);
    cluster.node(2n).step({ type: 'committed', from: 1n, to: 2n, term: 1, index, logTerm: 1 });
    cluster.handleReady(2n);
    assert.equal(committedAt(cluster, 2n), index);
    assert.deepEqual(cluster.take({ from: 2n }), []);
  });

  test('sends an append to who may lack something, which has to answer', () => {
    const cluster = withCommitOfTwo();
    expect(cluster.take({ to: 3n })).toMatchObject([{ type: 'append', entries: [] }]);
  });

  test('tells by its heartbeats what got lost', () => {
    const cluster = clusterOf(three);
    cluster.elect(1n);
    cluster.propose(1n, 'a');
    cluster.handleReady(1n);
    cluster.deliver();
    cluster.handleReady(2n);
    cluster.handleReady(3n);
    cluster.deliver({ to: 1n });
    cluster.handleReady(1n);
    assert.equal(cluster.take({ type: 'committed' }).length, 2);
    cluster.tick(1n);
    cluster.settle();
    assert.equal(committedAt(cluster, 2n), committedAt(cluster, 1n));
    assert.equal(committedAt(cluster, 3n), committedAt(cluster, 1n));
  });
});
