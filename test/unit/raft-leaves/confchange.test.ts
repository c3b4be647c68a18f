import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Changer } from '../../../src/raft/confchange/changer.ts';
import {
  confChangeSizeLimitBytes,
  decodeConfChange,
  decodeConfChangeV1,
  encodeConfChange,
  encodeConfChangeV1,
  fromConfChangeV1,
} from '../../../src/raft/confchange/codec.ts';
import { ConfChangeError } from '../../../src/raft/confchange/error.ts';
import { restore } from '../../../src/raft/confchange/restore.ts';
import { leavesByItself, transitionKind } from '../../../src/raft/confchange/transition.ts';
import { confStateOf, Tracker, type TrackedConfig } from '../../../src/raft/tracker/tracker.ts';
import {
  ConfChangeTransition,
  ConfChangeType,
  type ConfChange,
  type ConfChangeSingle,
  type ConfState,
  type MemberId,
} from '../../../src/raft/types.ts';

const limits = { messages: 8, bytes: 0 };
const noContext = new Uint8Array(0);

function trackerIn(state: ConfState): Tracker {
  const tracker = new Tracker(limits);
  tracker.install(restore(state, 1, limits));
  return tracker;
}

const single = fc.record({
  type: fc.constantFrom(...Object.values(ConfChangeType)),
  member: fc.bigInt({ min: 0n, max: 7n }),
});
const operation = fc.record({
  kind: fc.constantFrom('simple' as const, 'enterJoint' as const, 'leaveJoint' as const),
  autoLeave: fc.boolean(),
  changes: fc.array(single, { maxLength: 5 }),
});
type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;

function carryOut(changer: Changer, { kind, autoLeave, changes }: Operation): TrackedConfig {
  if (kind === 'simple') return changer.simple(changes);
  return kind === 'enterJoint' ? changer.enterJoint(autoLeave, changes) : changer.leaveJoint();
}

/** What each member should be in the end, worked out member by member: the last change counts. */
function wanted(before: ConfState, changes: readonly ConfChangeSingle[]): Map<MemberId, string> {
  const roles = new Map<MemberId, string>();
  for (const id of before.voters) roles.set(id, 'voter');
  for (const id of [...before.learners, ...before.learnersNext]) roles.set(id, 'learner');
  for (const { type, member } of changes) {
    if (member === 0n) continue;
    if (type === ConfChangeType.addVoter) roles.set(member, 'voter');
    if (type === ConfChangeType.addLearner) roles.set(member, 'learner');
    if (type === ConfChangeType.remove) roles.delete(member);
  }
  return roles;
}

function rolesIn(state: ConfState): Map<MemberId, string> {
  return wanted(state, []);
}

function sorted<Value>(map: ReadonlyMap<MemberId, Value>): [MemberId, Value][] {
  return [...map].sort(([left], [right]) => Number(left - right));
}

describe('Changer', () => {
  test('random changes keep every invariant, and a refused one changes nothing', () => {
    let refused = 0;
    let joint = 0;
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
        const tracker = trackerIn(conf([1n]));
        operations.forEach((each, position) => {
          const before = tracker.confState();
          const progressBefore = [...tracker.progress].map(([id, one]) => [id, one.toString()]);
          try {
            tracker.install(carryOut(new Changer(tracker, position + 1), each));
          } catch (error) {
            expect(error).toBeInstanceOf(ConfChangeError);
            expect(tracker.confState()).toEqual(before);
            const progressAfter = [...tracker.progress].map(([id, one]) => [id, one.toString()]);
            expect(progressAfter).toEqual(progressBefore);
            refused++;
            return;
          }
          checkStep(before, each, tracker);
          if (tracker.isJoint()) joint++;
        });
      }),
      { numRuns: 300 },
    );
    // The property says something only if both outcomes occur.
    expect(refused).toBeGreaterThan(100);
    expect(joint).toBeGreaterThan(100);
  });

  function checkStep(before: ConfState, { kind, autoLeave, changes }: Operation, tracker: Tracker) {
    const after = tracker.confState();
    const all = kind === 'leaveJoint' ? [] : changes;
    expect(sorted(rolesIn(after))).toEqual(sorted(wanted(before, all)));
    if (kind === 'enterJoint') {
      expect(after.votersOutgoing).toEqual(before.voters);
      expect(after.autoLeave).toBe(autoLeave);
    } else {
      expect(after.votersOutgoing).toEqual([]);
      expect(after.learnersNext).toEqual([]);
      expect(after.autoLeave).toBe(false);
    }
    if (kind === 'simple') {
      const changed = [...new Set([...before.voters, ...after.voters])].filter(
        (id) => before.voters.includes(id) !== after.voters.includes(id),
      );
      expect(changed.length).toBeLessThanOrEqual(1);
    }
    expect(after.voters.length).toBeGreaterThan(0);
    const members = new Set([...after.voters, ...after.votersOutgoing, ...after.learners]);
    expect([...tracker.progress.keys()]).toEqual([...members].sort((a, b) => Number(a - b)));
    for (const [id, progress] of tracker.progress) {
      expect(progress.isLearner).toBe(after.learners.includes(id));
    }
    expect(confStateOf(restore(after, 5, limits).config)).toEqual(after);
  }

  test('progress of a member that stays is kept through all its roles', () => {
    const tracker = trackerIn(conf([1n, 2n, 3n]));
    tracker.progress.get(3n)?.maybeUpdate(42);
    const demote = [{ type: ConfChangeType.addLearner, member: 3n }];
    tracker.install(new Changer(tracker, 50).enterJoint(false, demote));
    expect(tracker.progress.get(3n)?.match).toBe(42);
    tracker.install(new Changer(tracker, 50).leaveJoint());
    expect(tracker.progress.get(3n)?.toString()).toBe('StateProbe match=42 next=43 learner');
    const promote = [{ type: ConfChangeType.addVoter, member: 3n }];
    tracker.install(new Changer(tracker, 50).simple(promote));
    expect(tracker.progress.get(3n)?.toString()).toBe('StateProbe match=42 next=43');
  });

  test('a change chooses its way as etcd does', () => {
    const add = { type: ConfChangeType.addVoter, member: 5n };
    const { auto, jointExplicit, jointImplicit } = ConfChangeTransition;
    const change = (transition: ConfChangeTransition, count: number): ConfChange => ({
      transition,
      changes: Array.from({ length: count }, () => add),
      context: noContext,
    });
    const kinds = [auto, jointImplicit, jointExplicit].map((transition) =>
      [0, 1, 2].map((count) => transitionKind(change(transition, count))),
    );
    expect(kinds).toEqual([
      ['leaveJoint', 'simple', 'enterJoint'],
      ['enterJoint', 'enterJoint', 'enterJoint'],
      ['enterJoint', 'enterJoint', 'enterJoint'],
    ]);
    const leaves = [auto, jointImplicit, jointExplicit].map((each) =>
      leavesByItself(change(each, 2)),
    );
    expect(leaves).toEqual([true, true, false]);
  });
});

describe('restore', () => {
  test.each<[string, ConfState]>([
    ['a learner that votes', { ...conf([1n, 2n]), learners: [2n] }],
    ['a learner that voted', { ...conf([1n]), votersOutgoing: [2n], learners: [2n] }],
    ['a waiting learner that is no outgoing voter', { ...conf([1n]), learnersNext: [2n] }],
    ['a waiting learner that is a voter', joint([1n, 2n], [1n, 2n], [2n])],
    ['learners without voters', { ...conf([]), learners: [2n] }],
    ['outgoing voters without incoming ones', joint([], [1n], [])],
    ['leaving a configuration that is not joint', { ...conf([1n]), autoLeave: true }],
  ])('refuses %s', (_claim, state) => {
    expect(() => restore(state, 1, limits)).toThrow(ConfChangeError);
  });

  test('takes the empty state of a member that has not joined yet', () => {
    expect(restore(conf([]), 0, limits).progress.size).toBe(0);
  });
});

function conf(voters: MemberId[]): ConfState {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}

function joint(
  voters: MemberId[],
  votersOutgoing: MemberId[],
  learnersNext: MemberId[],
): ConfState {
  return { ...conf(voters), votersOutgoing, learnersNext };
}

describe('the wire format of changes', () => {
  const id = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const type = fc.constantFrom(...Object.values(ConfChangeType));
  const context = fc.uint8Array({ maxLength: 200 });
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

  test('any change survives encoding', () => {
    const transition = fc.constantFrom(...Object.values(ConfChangeTransition));
    const changes = fc.array(fc.record({ type, member: id }), { maxLength: 5 });
    fc.assert(
      fc.property(fc.record({ transition, changes, context }), (change) => {
        expect(decodeConfChange(encodeConfChange(change))).toEqual(change);
      }),
    );
    fc.assert(
      fc.property(fc.record({ id, type, member: id, context }), (change) => {
        expect(decodeConfChangeV1(encodeConfChangeV1(change))).toEqual(change);
      }),
    );
  });

  test('bytes are those of raftpb', () => {
    const change = {
      transition: ConfChangeTransition.jointExplicit,
      changes: [
        { type: ConfChangeType.addVoter, member: 300n },
        { type: ConfChangeType.addLearner, member: 2n ** 64n - 1n },
      ],
      context: unhex('abcd'),
    };
    const bytes =
      '0802' + '1205' + '0800' + '10ac02' + '120d' + '0803' + '10ffffffffffffffffff01' + '1a02abcd';
    expect(hex(encodeConfChange(change))).toBe(bytes);
    const v1 = { id: 1n, type: ConfChangeType.remove, member: 3n, context: unhex('ff') };
    expect(hex(encodeConfChangeV1(v1))).toBe('0801' + '1001' + '1803' + '2201ff');
    expect(fromConfChangeV1(v1).changes).toEqual([{ type: ConfChangeType.remove, member: 3n }]);
  });

  test('the change that leaves a joint configuration is empty', () => {
    const leave = { transition: ConfChangeTransition.auto, changes: [], context: noContext };
    expect(encodeConfChange(leave)).toHaveLength(0);
    expect(decodeConfChange(noContext)).toEqual(leave);
  });

  test('unknown fields are skipped, unknown meanings and damage are refused', () => {
    expect(
      decodeConfChange(unhex('2a0101' + '3001' + '3d00000000' + '390000000000000000')).changes,
    ).toEqual([]);
    for (const bad of [
      '08',
      '0803',
      '1203',
      '12020804',
      '0b',
      '1802',
      '0a00',
      '08' + 'ff'.repeat(11),
      '00',
    ]) {
      expect(() => decodeConfChange(unhex(bad)), bad).toThrow(ConfChangeError);
    }
    expect(() => decodeConfChangeV1(unhex('1004'))).toThrow(ConfChangeError);
    const huge = new Uint8Array(confChangeSizeLimitBytes + 1);
    expect(() => decodeConfChange(huge)).toThrow(/too long/);
  });

  test('random bytes are decoded or refused, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeConfChange(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfChangeError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
