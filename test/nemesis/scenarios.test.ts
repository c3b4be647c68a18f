import { expect, test } from 'vitest';
import { allFaultPoints } from './fault-point-attack.ts';
import { nemesisOptions } from './options.ts';
import { scenarioNamed, scenarioNames, scenarioOfTurn, scenarios } from './scenarios.ts';

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

test('a scenario is found by its name, and a wrong name is told the right ones', () => {
  for (const name of scenarioNames) expect(scenarioNamed(name).name).toBe(name);
  expect(() => scenarioNamed('nothing')).toThrow(
    'no scenario is called nothing; there are kill-one',
  );
});

test('without options: a dozen runs of 20 s, with the seeds of the day', () => {
  const day = 86_400_000;
  const { runs, seconds, seed, scenario, members } = nemesisOptions({}, 20 * day + 5);
  expect({ runs, seconds, seed, scenario, members }).toEqual({
    runs: 12,
    seconds: 20,
    seed: 20_000,
    scenario: undefined,
    members: undefined,
  });
});

test('options come through the environment, and nonsense is refused', () => {
  const options = nemesisOptions(
    {
      QUORATE_NEMESIS_RUNS: '3',
      QUORATE_NEMESIS_SECONDS: '7',
      QUORATE_NEMESIS_SEED: '11',
      QUORATE_NEMESIS_SCENARIO: 'ring',
      QUORATE_NEMESIS_MEMBERS: '5',
      QUORATE_NEMESIS_KEEP: '/somewhere',
    },
    0,
  );
  expect(options).toEqual({
    runs: 3,
    seconds: 7,
    seed: 11,
    scenario: 'ring',
    members: 5,
    keep: '/somewhere',
  });
  expect(() => nemesisOptions({ QUORATE_NEMESIS_RUNS: 'many' }, 0)).toThrow(
    '--runs takes a number from 1 on, not many',
  );
  expect(() => nemesisOptions({ QUORATE_NEMESIS_MEMBERS: '4' }, 0)).toThrow(
    '--members is 3 or 5, not 4',
  );
});
