/** How much of everything: a few minutes' worth, hours' worth, or what fits into given minutes. */

export interface Budget {
  /** Seeds of the simulation. */
  readonly seeds: number;
  /** Seeds that each version of Node runs twice. */
  readonly traceSeeds: number;
  /** Planted bugs: their names, or how many from all over the list. */
  readonly bugs: number | readonly string[];
  /** Seeds after which a planted bug counts as not caught. */
  readonly bugSeeds: number;
  readonly nemesisRuns: number;
  readonly nemesisSeconds: number;
  /** Every case of damage, or every file and kind once. */
  readonly damage: 'all' | 'some';
  /** Scripts in whose writes the power is cut. */
  readonly crashScripts: number;
  /** Moments of recorded members at which the power is cut. */
  readonly powerPoints: number;
  /** Inputs for a decoder of usual cost. */
  readonly fuzzInputs: number;
}

export const quick: Budget = {
  seeds: 200,
  traceSeeds: 10,
  // A few seeds find these; of others many are needed.
  bugs: [
    'minority-commits',
    'votes-for-shorter-logs',
    'failed-flush-tried-again',
    'reads-from-local-state',
    'random-in-apply',
    'watch-repeats-when-slow',
  ],
  bugSeeds: 500,
  nemesisRuns: 4,
  nemesisSeconds: 8,
  damage: 'some',
  crashScripts: 1,
  powerPoints: 15,
  fuzzInputs: 300,
};

export const full: Budget = {
  // Some see too little to count: at least 50,000 do.
  seeds: 52_000,
  traceSeeds: 50,
  bugs: Infinity,
  bugSeeds: 2000,
  // Turns go through every scenario and every step: more than twice.
  nemesisRuns: 200,
  nemesisSeconds: 20,
  damage: 'all',
  crashScripts: 10,
  powerPoints: 1000,
  fuzzInputs: 20_000,
};

/** On two cores, roughly. */
const secondsOf = {
  seed: 0.2,
  bug: 5,
  nemesisRun: 20,
  crashScript: 15,
  powerPoint: 2,
  fuzzInput: 0.03,
} as const;

/** Parts of the time; traces and damage take what little is left. */
const shareOf = {
  seed: 0.4,
  bug: 0.15,
  nemesisRun: 0.2,
  crashScript: 0.02,
  powerPoint: 0.1,
  fuzzInput: 0.05,
} as const;

/** Above so many minutes, every case of damage has its place. */
const minutesForAllDamage = 60;

/** @throws Error for what is neither a name nor a number of minutes */
export function budgetOf(text: string): Budget {
  if (text === 'quick') return quick;
  if (text === 'full') return full;
  const minutes = Number(text);
  if (!(minutes > 0) || !Number.isFinite(minutes)) {
    throw new Error(`--budget takes quick, full or minutes, not ${text}`);
  }
  const countOf = (unit: keyof typeof secondsOf): number =>
    Math.max(1, Math.floor((minutes * 60 * shareOf[unit]) / secondsOf[unit]));
  return {
    seeds: countOf('seed'),
    traceSeeds: full.traceSeeds,
    bugs: countOf('bug'),
    bugSeeds: full.bugSeeds,
    nemesisRuns: countOf('nemesisRun'),
    nemesisSeconds: full.nemesisSeconds,
    damage: minutes >= minutesForAllDamage ? 'all' : 'some',
    crashScripts: countOf('crashScript'),
    powerPoints: countOf('powerPoint'),
    fuzzInputs: countOf('fuzzInput'),
  };
}
