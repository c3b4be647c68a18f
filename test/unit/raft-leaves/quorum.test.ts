import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as joint from '../../../src/raft/quorum/joint.ts';
import * as majority from '../../../src/raft/quorum/majority.ts';
import type { MemberId } from '../../../src/raft/types.ts';

const member = fc.bigInt({ min: 1n, max: 14n });
const voterSet = fc.uniqueArray(member, { maxLength: 12 }).map((ids) => new Set(ids));
const halves = fc.record({ incoming: voterSet, outgoing: voterSet });
const indexes = fc.array(fc.tuple(member, fc.nat({ max: 8 }))).map((pairs) => new Map(pairs));
const ballots = fc.array(fc.tuple(member, fc.boolean())).map((pairs) => new Map(pairs));

/** By definition: the largest index that more than half of the voters have reached. */
function committedByDefinition(
  voters: ReadonlySet<MemberId>,
  acked: ReadonlyMap<MemberId, number>,
): number {
  if (voters.size === 0) return Infinity;
  const candidates = [0, ...acked.values()].filter(
    (index) =>
      [...voters].filter((voter) => (acked.get(voter) ?? 0) >= index).length * 2 > voters.size,
  );
  return Math.max(...candidates);
}

/** By definition: decided if the outcome is the same however the missing voters vote. */
function voteByDefinition(
  config: joint.JointConfig,
  votes: ReadonlyMap<MemberId, boolean>,
): majority.VoteResult {
  const wins = (missing: boolean): boolean =>
    [config.incoming, config.outgoing].every(
      (voters) =>
        voters.size === 0 ||
        [...voters].filter((voter) => votes.get(voter) ?? missing).length * 2 > voters.size,
    );
  if (wins(false)) return 'won';
  return wins(true) ? 'pending' : 'lost';
}

const nobody: ReadonlySet<MemberId> = new Set();

describe('quorum', () => {
  test('a majority commits what more than half of its voters hold', () => {
    fc.assert(
      fc.property(voterSet, indexes, (voters, acked) => {
        expect(majority.committedIndex(voters, (id) => acked.get(id))).toBe(
          committedByDefinition(voters, acked),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('a joint configuration commits what both halves commit', () => {
    fc.assert(
      fc.property(halves, indexes, (config, acked) => {
        expect(joint.committedIndex(config, (id) => acked.get(id))).toBe(
          Math.min(
            committedByDefinition(config.incoming, acked),
            committedByDefinition(config.outgoing, acked),
          ),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('the committed index never falls when a member acknowledges more', () => {
    fc.assert(
      fc.property(halves, indexes, member, fc.nat({ max: 20 }), (config, acked, id, more) => {
        const before = joint.committedIndex(config, (each) => acked.get(each));
        const grown = new Map(acked).set(id, (acked.get(id) ?? 0) + more);
        const after = joint.committedIndex(config, (each) => grown.get(each));
        expect(after).toBeGreaterThanOrEqual(before);
      }),
    );
  });

  test('an election is decided once the missing votes cannot change it', () => {
    fc.assert(
      fc.property(voterSet, ballots, (incoming, votes) => {
        expect(majority.voteResult(incoming, votes)).toBe(
          voteByDefinition({ incoming, outgoing: nobody }, votes),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('a joint election needs both halves and is lost with either', () => {
    fc.assert(
      fc.property(halves, ballots, (config, votes) => {
        expect(joint.voteResult(config, votes)).toBe(voteByDefinition(config, votes));
      }),
      { numRuns: 500 },
    );
  });

  test('two joint quorums of one configuration share a member', () => {
    fc.assert(
      fc.property(halves, ballots, (config, votes) => {
        fc.pre(joint.allVoters(config).size > 0);
        const opposite = new Map([...votes].map(([id, vote]) => [id, !vote]));
        const both = [joint.voteResult(config, votes), joint.voteResult(config, opposite)];
        expect(both).not.toEqual(['won', 'won']);
      }),
    );
  });

  test('the values of one computation do not leak into the next', () => {
    const five = new Set([1n, 2n, 3n, 4n, 5n]);
    expect(majority.committedIndex(five, () => 100)).toBe(100);
    expect(majority.committedIndex(new Set([1n, 2n, 3n]), () => undefined)).toBe(0);
  });
});
