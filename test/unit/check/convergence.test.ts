import { describe, expect, test } from 'vitest';
import { checkConvergence } from '../../check/convergence.ts';
import type { StateObservation } from '../../check/history.ts';

function rules(states: readonly StateObservation[]): string[] {
  const history = { operations: [], watches: [], states, events: [] };
  return checkConvergence(history).map(({ rule }) => rule);
}

function state(member: string, index: number, revision: number, hash: string): StateObservation {
  return { member, index, revision, hash };
}

describe('convergence', () => {
  test('equal states at equal indexes are accepted, in any order of observation', () => {
    expect(rules([])).toEqual([]);
    expect(
      rules([
        state('m1', 7, 4, 'b'),
        state('m2', 5, 3, 'a'),
        state('m1', 5, 3, 'a'),
        state('m3', 7, 4, 'b'),
        state('m2', 9, 4, 'c'),
      ]),
    ).toEqual([]);
  });

  test('an unequal hash at one index is found, whoever differs', () => {
    expect(rules([state('m1', 5, 3, 'a'), state('m2', 5, 3, 'a'), state('m3', 5, 3, 'x')])).toEqual(
      ['convergence-hash'],
    );
    expect(rules([state('m1', 5, 3, 'x'), state('m2', 5, 3, 'a')])).toEqual(['convergence-hash']);
  });

  test('an unequal revision at one index is found', () => {
    expect(rules([state('m1', 5, 3, 'a'), state('m2', 5, 4, 'a')])).toEqual([
      'convergence-revision',
    ]);
  });

  test('a revision that falls while the index grows is found', () => {
    expect(rules([state('m1', 5, 4, 'a'), state('m2', 6, 3, 'b')])).toEqual([
      'convergence-revision',
    ]);
  });
});
