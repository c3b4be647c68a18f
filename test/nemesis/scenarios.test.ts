import { expect, test } from 'vitest';
import { allFaultPoints } from './fault-point-attack.ts';
import { nemesisOptions, usualRuns } from './options.ts';
import {
  firstSeedOfDay,
  scenarioNamed,
  scenarioNames,
  scenarioOfTurn,
  scenarios,
} from './scenarios.ts';

test('turns go through every scenario and every step at which a member can crash', () => {
  const turns = 3 * allFaultPoints.length;
  const named = new Set(Array.from({ length: turns }, (_, turn) => scenarioOfTurn(turn).name));
  for (const { name } of scenarios) expect(named).toContain(name);
  for (const point of allFaultPoints) expect(named).toContain(`crash:${point}`);
});

test('any dozen runs in a row are of many kinds', () => {
  for (let first = 0; first < 60; first++) {
    const dozen = Array.from({ length: 12 }, (_, i) => scenarioOfTurn(first + i).name);
    expect(new Set(dozen).size).toBe(12);
  }
});

test('the usual runs of nine days go through everything, whichever day they begin', () => {
  const dayMs = 86_400_000;
  const all = scenarios.length + allFaultPoints.length;
  for (let first = 20_000; first < 20_100; first++) {
    const named = new Set<string>();
    for (let day = first; day < first + 9; day++) {
      const seed = firstSeedOfDay(day * dayMs + 5);
      for (let run = 0; run < usualRuns; run++) named.add(scenarioOfTurn(seed + run).name);
    }
    expect([first, named.size]).toEqual([first, all]);
  }
});

test('a scenario is found by its name, and a wrong name is told the right ones', () => {
  for (const name of scenarioNames) expect(scenarioNamed(name).name).toBe(name);
  expect(() => scenarioNamed('nothing')).toThrow(
    'no scenario is called nothing; there are kill-one',
  );
});

test('without options: a dozen runs of 20 s, with the seeds of the day', () => {
  const { runs, seconds, seed, scenario, members, lanes } = nemesisOptions({});
  expect({ runs, seconds, seed, scenario, members, lanes }).toEqual({
    runs: 12,
    seconds: 20,
    seed: undefined,
    scenario: undefined,
    members: undefined,
    lanes: 1,
  });
});

test('options come through the environment, and nonsense is refused', () => {
  const options = nemesisOptions({
    QUORATE_NEMESIS_RUNS: '3',
    QUORATE_NEMESIS_SECONDS: '7',
    QUORATE_NEMESIS_SEED: '11',
    QUORATE_NEMESIS_SCENARIO: 'ring',
    QUORATE_NEMESIS_MEMBERS: '5',
    QUORATE_NEMESIS_KEEP: '/somewhere',
    QUORATE_NEMESIS_JSON: '/figures.json',
    QUORATE_NEMESIS_LANE: '1',
    QUORATE_NEMESIS_LANES: '2',
  });
  expect(options).toEqual({
    runs: 3,
    seconds: 7,
    seed: 11,
    scenario: 'ring',
    members: 5,
    keep: '/somewhere',
    json: '/figures.json',
    lane: 1,
    lanes: 2,
  });
  expect(() => nemesisOptions({ QUORATE_NEMESIS_RUNS: 'many' })).toThrow(
    '--runs takes a number from 1 on, not many',
  );
  expect(() => nemesisOptions({ QUORATE_NEMESIS_MEMBERS: '4' })).toThrow(
    '--members is 3 or 5, not 4',
  );
});
