/** What remains of a run in numbers: for the file that `--json` names and for the totals. */
import { writeFileSync } from 'node:fs';
import type { Operation } from '../check/history.ts';
import { failuresOf } from './report.ts';
import type { RunOptions, RunResult } from './run.ts';
import type { RunFigures } from './run-figures.ts';

export function figuresOf(options: RunOptions, result: RunResult): RunFigures {
  const { answered, refused, unknown } = result.counts;
  const { operations, watches, states } = result.history;
  const failures = failuresOf(result);
  return {
    ...whatRan(options),
    verdict: failures.length === 0 ? 'passed' : 'failed',
    reasons: failures.slice(0, reasonsLimit).map(({ rule, text }) => `${rule}: ${text}`),
    acknowledged: answered,
    refused,
    unknown,
    leases: { ...result.leases },
    faults: Object.fromEntries(result.faults),
    leaderTerms: result.leaderTerms,
    checked: {
      operations: operations.length,
      watches: watches.length,
      watchedEvents: result.watchedEvents,
      states: states.length,
      undecided: result.violations.length - failures.length,
    },
    longestSilenceMs: longestSilenceMs(operations),
  };
}

const reasonsLimit = 5;

/** Of a run that came to no result: it broke, or could not be made here. */
export function figuresWithoutResult(
  options: RunOptions,
  verdict: 'failed' | 'skipped',
  reason: string,
): RunFigures {
  return {
    ...whatRan(options),
    verdict,
    reasons: [reason],
    acknowledged: 0,
    refused: 0,
    unknown: 0,
    faults: {},
    leaderTerms: 0,
    checked: { operations: 0, watches: 0, watchedEvents: 0, states: 0, undecided: 0 },
    longestSilenceMs: 0,
  };
}

function whatRan({ scenario, seed, members, seconds }: RunOptions): {
  readonly scenario: string;
  readonly seed: number;
  readonly members: number;
  readonly seconds: number;
} {
  return { scenario: scenario.name, seed, members, seconds };
}

function isWrite({ call, outcome }: Operation): boolean {
  return call.kind !== 'range' && call.kind !== 'compact' && outcome.kind === 'answered';
}

/** Between two acknowledgements that follow each other; zero if there are not two. */
export function longestSilenceMs(operations: readonly Operation[]): number {
  const times = operations.filter(isWrite).map(({ endMs }) => endMs);
  times.sort((a, b) => a - b);
  let longest = 0;
  for (const [i, time] of times.entries())
    longest = Math.max(longest, time - (times[i - 1] ?? time));
  return Math.round(longest);
}

/** Gathers figures and writes all of them after each run, so that a stopped command leaves some. */
export class FiguresFile {
  readonly #path: string | undefined;
  readonly #runs: RunFigures[] = [];

  constructor(path: string | undefined) {
    this.#path = path;
  }

  add(figures: RunFigures): void {
    this.#runs.push(figures);
    if (this.#path !== undefined) writeFileSync(this.#path, `${JSON.stringify(this.#runs)}\n`);
  }
}
