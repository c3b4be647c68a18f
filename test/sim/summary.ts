/** What remains of a run once it is over, and of many. */
import type { Breach } from './cluster.ts';
import type { FaultKind } from './fault-plan.ts';
import type { RunReport } from './simulation.ts';

export interface Summary {
  readonly seed: number;
  readonly hash: string;
  readonly counts: boolean;
  readonly breaches: readonly Breach[];
  readonly virtualMs: number;
  readonly events: number;
  readonly messages: number;
  readonly operations: number;
  readonly answered: number;
  readonly renewals: number;
  readonly expiredLeases: number;
  readonly watchRecords: number;
  readonly elections: number;
  readonly statesCompared: number;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
}

export function summaryOf(report: RunReport): Summary {
  const { history: _, ...summary } = report;
  return summary;
}

/** Sums over many runs. */
export interface Total {
  seeds: number;
  /** Seeds that saw enough. */
  counted: number;
  virtualMs: number;
  events: number;
  messages: number;
  operations: number;
  answered: number;
  renewals: number;
  expiredLeases: number;
  watchRecords: number;
  elections: number;
  statesCompared: number;
  readonly faults: Partial<Record<FaultKind, number>>;
  /** Seeds of runs in which something was broken. */
  readonly failed: number[];
}

/** What is counted in a run and summed over many. */
const noFigures = {
  virtualMs: 0,
  events: 0,
  messages: 0,
  operations: 0,
  answered: 0,
  renewals: 0,
  expiredLeases: 0,
  watchRecords: 0,
  elections: 0,
  statesCompared: 0,
};
const summed = Object.keys(noFigures) as (keyof typeof noFigures)[];

export function emptyTotal(): Total {
  return { ...noFigures, seeds: 0, counted: 0, faults: {}, failed: [] };
}

/** Of a run that has no report. */
export function deadSummary(seed: number, text: string): Summary {
  const breaches = [{ rule: 'simulator', text, atMs: 0 }];
  return { ...noFigures, seed, hash: '', counts: false, breaches, faults: {} };
}

export function addTo(total: Total, summary: Summary): void {
  total.seeds++;
  if (summary.counts) total.counted++;
  for (const field of summed) total[field] += summary[field];
  for (const [kind, count] of Object.entries(summary.faults)) {
    const key = kind as FaultKind;
    total.faults[key] = (total.faults[key] ?? 0) + count;
  }
  if (summary.breaches.length > 0) total.failed.push(summary.seed);
}

export function lineOf(summary: Summary): string {
  const { seed, hash, answered, elections, virtualMs, events, counts, faults } = summary;
  const count = Object.values(faults).reduce((sum, each) => sum + each, 0);
  return (
    `seed ${seed}: ${answered} answers, ${count} faults, ${elections} elections, ` +
    `${(virtualMs / 1000).toFixed(1)} virtual s, ${events} events` +
    `${counts ? '' : ', too little to count'}  ${hash}`
  );
}
