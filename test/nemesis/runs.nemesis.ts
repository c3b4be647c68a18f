/** The runs that `npm run test:nemesis` asks for, one test each. */
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { FiguresFile, figuresOf, figuresWithoutResult } from './figures.ts';
import { nemesisOptions } from './options.ts';
import { describeViolations, failuresOf, keepRun, summary } from './report.ts';
import { type RunOptions, runNemesis } from './run.ts';
import { firstSeedOfDay, scenarioNamed, scenarioOfTurn, whySkipped } from './scenarios.ts';

/** Start, recovery and checks on a busy machine. */
const overheadMs = 240_000;

const options = nemesisOptions(process.env);
const firstSeed = options.seed ?? firstSeedOfDay(Date.now());
const keep = options.keep ?? tmpdir();
const figures = new FiguresFile(options.json);

function runOf(number: number): RunOptions {
  const seed = firstSeed + number;
  const scenario =
    options.scenario === undefined ? scenarioOfTurn(seed) : scenarioNamed(options.scenario);
  // Every fourth has five members.
  const members = options.members ?? (seed % 4 === 3 ? 5 : 3);
  return { seed, scenario, members, seconds: options.seconds };
}

describe('nemesis', () => {
  for (let number = options.lane; number < options.runs; number += options.lanes) {
    const run = runOf(number);
    const reason = whySkipped(run.scenario, tmpdir());
    const name = `${run.scenario.name}, seed ${run.seed}, ${run.members} members`;
    if (reason !== undefined) {
      test.skip(`${name}: skipped, as ${reason}`);
      figures.add(figuresWithoutResult(run, 'skipped', reason));
      continue;
    }
    test(name, { timeout: run.seconds * 1000 + overheadMs }, async () => {
      const result = await runNemesis(run).catch((error: unknown) => {
        figures.add(figuresWithoutResult(run, 'failed', String(error)));
        throw error;
      });
      figures.add(figuresOf(run, result));
      console.log(summary(run, result));
      const failures = failuresOf(result).length;
      if (failures === 0) return;
      const path = await keepRun(keep, run, result);
      console.log(`${describeViolations(result)}\nkept in ${path}`);
      expect.fail(`${failures} violations, kept in ${path}`);
    });
  }
});
