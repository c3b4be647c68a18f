import { expect, test } from 'vitest';
import { type Entry, EntryKind, type RawNode } from '../../../src/raft/index.ts';
import { ChangeRules } from '../../sim/change-rules.ts';

type Core = RawNode['core'];

const { normal, confChange } = EntryKind;
const data = new Uint8Array(0);

interface Shape {
  readonly role: Core['role'];
  readonly term: number;
  readonly kinds: readonly EntryKind[];
  readonly committed: number;
  readonly applied: number;
  readonly committedInTerm?: boolean;
}

/** A core with a log of entries of such kinds, from index 1 on. */
function coreOf({ role, term, kinds, committed, applied, committedInTerm = true }: Shape): Core {
  const entries = kinds.map((kind, i): Entry => ({ index: i + 1, term, kind, data }));
  const log = {
    committed,
    applied,
    lastIndex: entries.length,
    firstIndex: () => 1,
    slice: (low: number, high: number) => entries.slice(low - 1, high - 1),
  };
  return { role, term, log, hasCommittedInTerm: () => committedInTerm } as unknown as Core;
}

test('nobody stands for election beside a committed change that it has not applied', () => {
  const core = { role: 'candidate', term: 2, kinds: [normal, confChange], committed: 2 } as const;
  expect(new ChangeRules().stepped(coreOf({ ...core, applied: 1 }))).toEqual({
    rule: 'campaign-too-early',
    text: 'is candidate of 2 and has not applied the change at 2, which is committed',
  });
  expect(new ChangeRules().stepped(coreOf({ ...core, applied: 2 }))).toBeUndefined();
  expect(new ChangeRules().stepped(coreOf({ ...core, committed: 1, applied: 1 }))).toBeUndefined();
});

test('a leader proposes no change before it has committed an entry of its term', () => {
  const rules = new ChangeRules();
  const leads = { role: 'leader', term: 3, committed: 0, applied: 0 } as const;
  const early = { ...leads, committedInTerm: false };
  // What it finds in its log was proposed by others.
  expect(rules.stepped(coreOf({ ...early, kinds: [confChange, normal] }))).toBeUndefined();
  const kinds = [confChange, normal, confChange];
  expect(rules.stepped(coreOf({ ...early, kinds }))).toEqual({
    rule: 'change-too-early',
    text: 'proposes a change at 3 and has committed nothing in term 3',
  });
});

test('a leader proposes no change before it has applied the one before', () => {
  const leads = { role: 'leader', term: 3, committed: 2 } as const;
  const kinds = [normal, confChange];
  const after = (applied: number): unknown => {
    const rules = new ChangeRules();
    rules.stepped(coreOf({ ...leads, applied: 1, kinds: [normal] }));
    expect(rules.stepped(coreOf({ ...leads, applied: 1, kinds }))).toBeUndefined();
    return rules.stepped(coreOf({ ...leads, applied, kinds: [...kinds, confChange] }));
  };
  expect(after(2)).toBeUndefined();
  expect(after(1)).toEqual({
    rule: 'change-too-early',
    text: 'proposes a change at 3 before that at 2 is applied',
  });
});
