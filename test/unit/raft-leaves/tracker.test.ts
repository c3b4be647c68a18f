import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Changer } from '../../../src/raft/confchange/changer.ts';
import { restore } from '../../../src/raft/confchange/restore.ts';
import { Inflights } from '../../../src/raft/tracker/inflights.ts';
import { Progress } from '../../../src/raft/tracker/progress.ts';
import { Tracker } from '../../../src/raft/tracker/tracker.ts';
import { ConfChangeType } from '../../../src/raft/types.ts';

function progress(match: number, next: number, messages = 256): Progress {
  const inflights = new Inflights({ messages, bytes: 0 });
  return new Progress({ match, next, inflights, isLearner: false, recentActive: true });
}

describe('Inflights', () => {
  type Step = { add: number; bytes: number } | { free: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ add: fc.integer({ min: 1, max: 3 }), bytes: fc.nat({ max: 9 }) }),
    fc.record({ free: fc.nat({ max: 60 }) }),
  );

  test('equals a plain list of what is on its way', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.nat({ max: 20 }),
        fc.array(step, { maxLength: 60 }),
        (messages, bytes, steps) => {
          const window = new Inflights({ messages, bytes });
          let list: { index: number; bytes: number }[] = [];
          let last = 0;
          for (const each of steps) {
            const sum = list.reduce((total, { bytes: size }) => total + size, 0);
            const full = list.length === messages || (bytes > 0 && sum >= bytes);
            expect([window.count, window.bytes, window.isFull()]).toEqual([list.length, sum, full]);
            if ('free' in each) {
              window.freeTo(each.free);
              list = list.filter(({ index }) => index > each.free);
            } else if (full) {
              expect(() => window.add(last + each.add, each.bytes)).toThrow();
            } else {
              last += each.add;
              window.add(last, each.bytes);
              list.push({ index: last, bytes: each.bytes });
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('Progress', () => {
  test('a probe pauses after one append with entries and goes on after an answer', () => {
    const probing = progress(3, 5);
    probing.sentEntries(0, 0);
    expect(probing.isPaused()).toBe(false);
    probing.sentEntries(2, 20);
    expect([probing.isPaused(), probing.next]).toEqual([true, 5]);
    expect(probing.maybeUpdate(6)).toBe(true);
    expect([probing.isPaused(), probing.match, probing.next]).toEqual([false, 6, 7]);
  });

  test('replication runs ahead until the window is full', () => {
    const replicating = progress(3, 4, 2);
    replicating.becomeReplicate();
    replicating.sentEntries(2, 10);
    expect([replicating.next, replicating.isPaused()]).toEqual([6, false]);
    replicating.sentEntries(1, 10);
    expect([replicating.next, replicating.isPaused()]).toEqual([7, true]);
    replicating.inflights.freeTo(5);
    expect(replicating.maybeUpdate(5)).toBe(true);
    expect([replicating.next, replicating.isPaused()]).toEqual([7, false]);
    expect(replicating.toString()).toBe('StateReplicate match=5 next=7 inflight=1');
  });

  test.each([
    // match, rejected, hint, then: accepted, next
    [5, 5, 5, false, 9],
    [5, 4, 4, false, 9],
    [5, 8, 2, true, 6],
  ])(
    'replication at %i refused at %i (hint %i): %s, next %i',
    (match, rejected, hint, ok, next) => {
      const replicating = progress(match, match + 1);
      replicating.becomeReplicate();
      replicating.sentEntries(3, 3);
      expect(replicating.maybeDecrTo(rejected, hint)).toBe(ok);
      expect(replicating.next).toBe(next);
    },
  );

  test.each([
    [0, 10, 8, 8, false, 10],
    [0, 10, 9, 9, true, 9],
    [0, 10, 9, 2, true, 3],
    [0, 1, 0, 0, true, 1],
    [4, 10, 9, 2, true, 5],
  ])(
    'probe (%i, %i) refused at %i (hint %i): %s, next %i',
    (match, from, rejected, hint, ok, to) => {
      const probing = progress(match, from);
      probing.msgAppFlowPaused = true;
      expect(probing.maybeDecrTo(rejected, hint)).toBe(ok);
      expect([probing.next, probing.isPaused()]).toEqual([to, !ok]);
    },
  );

  test('after a snapshot the probe starts behind it, or behind a later match', () => {
    const behind = progress(1, 2);
    behind.becomeSnapshot(10);
    expect([behind.isPaused(), behind.next, behind.sentCommit]).toEqual([true, 11, 10]);
    expect(() => behind.sentEntries(1, 1)).toThrow();
    behind.becomeProbe();
    expect([behind.state, behind.next, behind.pendingSnapshot]).toEqual(['probe', 11, 0]);

    const ahead = progress(1, 2);
    ahead.becomeSnapshot(10);
    ahead.maybeUpdate(12);
    ahead.becomeProbe();
    expect(ahead.next).toBe(13);
  });

  test('a commit index is worth sending until one that covers all sent entries was sent', () => {
    const replicating = progress(5, 6);
    replicating.becomeReplicate();
    expect(replicating.canBumpCommit(0)).toBe(false);
    expect(replicating.canBumpCommit(4)).toBe(true);
    replicating.sentCommit = 4;
    expect([replicating.canBumpCommit(4), replicating.canBumpCommit(9)]).toEqual([false, true]);
    replicating.sentCommit = 9;
    expect(replicating.canBumpCommit(12)).toBe(false);
    replicating.becomeProbe();
    expect(replicating.sentCommit).toBe(5);
  });
});

describe('Tracker', () => {
  function trackerOf(voters: bigint[], learners: bigint[] = []): Tracker {
    const tracker = new Tracker({ messages: 8, bytes: 0 });
    const state = { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
    tracker.install(restore(state, 1, tracker.limits));
    return tracker;
  }

  test('visits members in ascending order of 64-bit ids', () => {
    const ids = [10n, 2n, 2n ** 63n + 1n, 9n, 2n ** 63n];
    const visited: bigint[] = [];
    trackerOf(ids, [3n]).visit((id) => visited.push(id));
    expect(visited).toEqual([2n, 3n, 9n, 10n, 2n ** 63n, 2n ** 63n + 1n]);
  });

  test('commits by voters only and ignores how far learners are', () => {
    const tracker = trackerOf([1n, 2n, 3n], [4n, 5n]);
    for (const [id, match] of [
      [1n, 7],
      [4n, 9],
      [5n, 9],
    ] as const) {
      tracker.progress.get(id)?.maybeUpdate(match);
    }
    expect(tracker.committed()).toBe(0);
    tracker.progress.get(2n)?.maybeUpdate(5);
    expect(tracker.committed()).toBe(5);
  });

  test('counts the first vote of each voter and none of learners and strangers', () => {
    const tracker = trackerOf([1n, 2n, 3n], [4n]);
    tracker.recordVote(1n, true);
    tracker.recordVote(1n, false);
    tracker.recordVote(4n, true);
    tracker.recordVote(9n, true);
    expect(tracker.tallyVotes()).toEqual({ granted: 1, rejected: 0, result: 'pending' });
    tracker.recordVote(2n, false);
    tracker.recordVote(3n, true);
    expect(tracker.tallyVotes()).toEqual({ granted: 2, rejected: 1, result: 'won' });
    tracker.resetVotes();
    expect(tracker.voteResult()).toBe('pending');
  });

  test('the quorum is active if a majority of voters was heard from', () => {
    const tracker = trackerOf([1n, 2n, 3n], [4n]);
    tracker.visit((id, each) => (each.recentActive = id === 1n || id === 4n));
    expect(tracker.quorumActive()).toBe(false);
    tracker.visit((id, each) => (each.recentActive = id <= 2n));
    expect(tracker.quorumActive()).toBe(true);
  });

  test('a new term forgets progress, not membership', () => {
    const tracker = trackerOf([1n, 2n], [4n]);
    tracker.progress.get(2n)?.maybeUpdate(5);
    const before = tracker.confState();
    tracker.resetProgress(9);
    expect(tracker.confState()).toEqual(before);
    const facts = [...tracker.progress].map(([id, each]) => [id, each.toString()]);
    expect(facts).toEqual([
      [1n, 'StateProbe match=0 next=9 inactive'],
      [2n, 'StateProbe match=0 next=9 inactive'],
      [4n, 'StateProbe match=0 next=9 learner inactive'],
    ]);
  });

  test('one voter is a singleton, unless a joint configuration is to be left', () => {
    const tracker = trackerOf([1n], [2n]);
    expect(tracker.isSingleton()).toBe(true);
    const changes = [
      { type: ConfChangeType.remove, member: 1n },
      { type: ConfChangeType.addVoter, member: 2n },
    ];
    tracker.install(new Changer(tracker, 1).enterJoint(false, changes));
    expect([tracker.isSingleton(), tracker.isJoint(), tracker.voterIds()]).toEqual([
      false,
      true,
      [1n, 2n],
    ]);
  });
});
