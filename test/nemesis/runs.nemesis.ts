/** The runs that `npm run test:nemesis` asks for, one test each. */
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { nemesisOptions } from './options.ts';
import { describeViolations, failuresOf, keepRun, summary } from './report.ts';
import { type RunOptions, runNemesis } from './run.ts';
import { scenarioNamed, scenarioOfTurn, whySkipped } from './scenarios.ts';

/** Start, recovery and checks on a busy machine. */
const overheadMs = 240_000;

const options = nemesisOptions(process.env, Date.now());
const keep = options.keep ?? tmpdir();

function runOf(number: number): RunOptions {
  const seed = options.seed + number;
  const scenario =
    options.scenario === undefined ? scenarioOfTurn(seed) : scenarioNamed(options.scenario);
  // Every fourth has five members.
  const members = options.members ?? (seed % 4 === 3 ? 5 : 3);
  return { seed, scenario, members, seconds: options.seconds };
}

describe('nemesis', () => {
  for (let number = 0; number < options.runs; number++) {
    const run = runOf(number);
    const reason = whySkipped(run.scenario, tmpdir());
    const name = `${run.scenario.name}, seed ${run.seed}, ${run.members} members`;
    if (reason !== undefined) {
      test.skip(`${name}: skipped, as ${reason}`);
      continue;
    }
    test(name, { timeout: run.seconds * 1000 + overheadMs }, async () => {
      const result = await runNemesis(run);
      console.log(summary(run, result));
      const failures = failuresOf(result).length;
      if (failures === 0) return;
      const path = await keepRun(keep, run, result);
      console.log(`${describeViolations(result)}\nkept in ${path}`);
      expect.fail(`${failures} violations, kept in ${path}`);
    });
  }
});
