import { expect, test } from 'vitest';
import { firstSeed, recorded } from '../../proof/ledger.ts';
import { nothing, resultOf, simulationOf } from './samples.ts';

const old = {
  commit: 'old0000',
  from: 1,
  seeds: 500,
  failed: 2,
  virtualHours: 3,
  node: 'v20.20.2',
};

test('pieces that follow each other are one range; others stay apart', () => {
  const results = [
    resultOf(simulationOf(501, 1000)),
    resultOf({ ...simulationOf(1001, 1500), failed: [1007] }),
    resultOf(simulationOf(9001, 9100)),
    resultOf(simulationOf(9101, 9200), { node: 'v24.1.0' }),
    nothing('seeds-1-to-500'),
  ];
  const common = { commit: 'abc1234', node: 'v20.20.2' };
  expect(recorded([old], results)).toEqual([
    old,
    { ...common, from: 501, seeds: 1000, failed: 1, virtualHours: 4 },
    { ...common, from: 9001, seeds: 100, failed: 0, virtualHours: 2 },
    { ...common, from: 9101, seeds: 100, failed: 0, virtualHours: 2, node: 'v24.1.0' },
  ]);
});

test('to record the same again changes nothing, and more of it takes its place', () => {
  const [first, second] = [simulationOf(501, 600), simulationOf(601, 700)].map((figures) =>
    resultOf(figures),
  );
  const once = recorded([old], [first!]);
  expect(recorded(once, [first!])).toEqual(once);
  const more = recorded(once, [first!, second!]);
  expect(more.map(({ from, seeds }) => [from, seeds])).toEqual([
    [1, 500],
    [501, 200],
  ]);
});

test('the same seeds of another commit are another run', () => {
  const ledger = recorded([old], [resultOf(simulationOf(1, 500))]);
  expect(ledger.map(({ commit }) => commit)).toEqual(['old0000', 'abc1234']);
});

test('a commit goes on where it began, another one after all seeds so far', () => {
  const nobody = (): boolean => false;
  expect(firstSeed([], nobody)).toBe(1);
  expect(firstSeed([old], nobody)).toBe(501);
  expect(firstSeed([old, { ...old, commit: 'b', from: 201, seeds: 50 }], nobody)).toBe(501);
  expect(firstSeed([{ ...old, from: 7 }, old], (commit) => commit === 'old0000')).toBe(1);
});
