import { beforeEach, describe, expect, test } from 'vitest';
import { encodeMemberChange, type MemberChange } from '../../../src/cluster/member-change.ts';
import type { Member } from '../../../src/cluster/membership.ts';
import { type ConfState, encodeConfChange, EntryKind } from '../../../src/raft/index.ts';
import { MemberLedger } from '../../sim/member-ledger.ts';

function memberOf(id: bigint, isLearner = false): Member {
  return { id, name: `m${id}`, peerUrls: [`http://m${id}:2380`], clientUrls: [], isLearner };
}

const founders = [1n, 2n, 3n].map((id) => memberOf(id));
const addition: MemberChange = {
  kind: 'add',
  member: 4n,
  peerUrls: ['http://m4:2380'],
  isLearner: true,
  learnersMax: 1,
};
const added = { ...memberOf(4n, true), name: '' };

let ledger: MemberLedger;

beforeEach(() => {
  ledger = new MemberLedger(founders);
});

function apply(index: number, change: MemberChange): void {
  const data = encodeConfChange(encodeMemberChange({ request: 1n, change }));
  ledger.applied({ index, term: 1, kind: EntryKind.confChange, data });
}

function quorum(voters: readonly bigint[], learners: readonly bigint[] = []): ConfState {
  return { voters, votersOutgoing: [], learners, learnersNext: [], autoLeave: false };
}

describe('what members hold', () => {
  const holds = (index: number, list: readonly Member[], state: ConfState) => () => {
    ledger.holds('m1', index, { list, removed: [], quorum: state });
  };

  test('is that of their index, not of the newest', () => {
    apply(5, addition);
    expect(holds(4, founders, quorum([1n, 2n, 3n]))).not.toThrow();
    expect(holds(5, [...founders, added], quorum([1n, 2n, 3n], [4n]))).not.toThrow();
    expect(holds(5, founders, quorum([1n, 2n, 3n], [4n]))).toThrow('m1 has members');
  });

  test('has one quorum', () => {
    apply(5, addition);
    const list = [...founders, added];
    expect(holds(5, list, quorum([1n, 2n, 3n, 4n]))).toThrow('m1 has voters [1 2 3 4] at index 5');
    expect(holds(5, list, quorum([1n, 2n, 3n]))).toThrow('m1 has learners [] at index 5');
  });

  test('remembers who was removed', () => {
    apply(5, { kind: 'remove', member: 3n });
    expect(holds(5, founders.slice(0, 2), quorum([1n, 2n]))).toThrow('removed members []');
  });
});

test('an id that was removed does not come back, and the last voter stays', () => {
  apply(1, { kind: 'remove', member: 3n });
  apply(2, { ...addition, member: 3n });
  apply(3, { kind: 'remove', member: 2n });
  apply(4, { kind: 'remove', member: 1n });
  expect([...ledger.latest.members.keys()]).toEqual([1n]);
  expect(ledger.refused).toBe(2);
});

test('an update leaves a learner a learner, and a promotion does not', () => {
  apply(1, addition);
  apply(2, { kind: 'update', member: 4n, peerUrls: ['http://m4-1:2380'] });
  expect(ledger.latest.members.get(4n)).toMatchObject({
    peerUrls: ['http://m4-1:2380'],
    isLearner: true,
  });
  apply(3, { kind: 'promote', member: 4n });
  expect(ledger.latest.members.get(4n)?.isLearner).toBe(false);
});

describe('an answer that must be up to date', () => {
  test('tells at least what somebody was told before it was asked for', () => {
    apply(5, addition);
    const before = ledger.told;
    expect(ledger.listed([...founders, added], before)).toBeUndefined();
    // It was asked for before that answer came.
    expect(ledger.listed(founders, before)).toBeUndefined();
    expect(ledger.listed(founders, ledger.told)).toContain('a client was told of [1 m1');
  });

  test('tells of nobody who was never there', () => {
    expect(ledger.listed([...founders, added], 0)).toBeDefined();
  });
});
