/** Results of made-up proofs. */
import type { RunFigures } from '../../nemesis/run-figures.ts';
import type { Hunted } from '../../sim/bugs/hunt.ts';
import { emptyTotal } from '../../sim/summary.ts';
import type { SimulationFigures } from '../../proof/figures.ts';
import type { Result, Results } from '../../proof/results.ts';

export const noResults: Results = {
  simulation: [],
  traces: [],
  bugs: [],
  nemesis: [],
  damage: [],
  crashes: [],
  power: [],
  fuzz: [],
};

const piece = { key: 'k', commit: 'abc1234', node: 'v20.20.2', seconds: 5, status: 0 };

export function resultOf<Figures>(
  figures: Figures,
  changes: Partial<typeof piece> = {},
): Result<Figures> {
  return { ...piece, ...changes, figures };
}

/** Of a command that left no figures. */
export function nothing(key: string): Result<never> {
  return { ...piece, key, figures: null };
}

/** Seeds that all passed. */
export function simulationOf(first: number, last: number): SimulationFigures {
  return {
    ...emptyTotal(),
    seeds: last - first + 1,
    counted: last - first + 1,
    answered: 1000,
    virtualMs: 7_200_000,
    faults: { crash: 40, pause: 10 },
    points: { 'persist-after-write': 3 },
    ranges: [{ first, last }],
    traces: '0123456789abcdef',
  };
}

export function huntedOf(id: string, seeds: number, rule: string | undefined): Hunted {
  const bug = { id, mistake: 5, title: `what ${id} does`, caughtBy: 'convergence' } as const;
  return { ...bug, rule, text: '', seed: seeds, seeds };
}

export function runOf(changes: Partial<RunFigures> = {}): RunFigures {
  return {
    scenario: 'kill-one',
    seed: 3,
    members: 3,
    seconds: 20,
    verdict: 'passed',
    reasons: [],
    acknowledged: 1200,
    refused: 1,
    unknown: 2,
    faults: { kill: 4, 'killed at persist-after-write': 1, 'killed at start-after-log': 2 },
    leaderTerms: 2,
    checked: { operations: 1203, watches: 9, watchedEvents: 400, states: 80, undecided: 0 },
    longestSilenceMs: 1500,
    ...changes,
  };
}
