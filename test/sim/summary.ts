/** What remains of a run once it is over, and of many. */
import { createHash } from 'node:crypto';
import type { FaultPoint } from '../../src/base/fault-point.ts';
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
  readonly locks: number;
  readonly memberChanges: number;
  readonly memberLists: number;
  readonly watchRecords: number;
  readonly elections: number;
  readonly statesCompared: number;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly points: Readonly<Partial<Record<FaultPoint, number>>>;
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
  locks: number;
  memberChanges: number;
  memberLists: number;
  watchRecords: number;
  elections: number;
  statesCompared: number;
  readonly faults: Partial<Record<FaultKind, number>>;
  readonly points: Partial<Record<FaultPoint, number>>;
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
  locks: 0,
  memberChanges: 0,
  memberLists: 0,
  watchRecords: 0,
  elections: 0,
  statesCompared: 0,
};
const summed = Object.keys(noFigures) as (keyof typeof noFigures)[];

export function emptyTotal(): Total {
  return { ...noFigures, seeds: 0, counted: 0, faults: {}, points: {}, failed: [] };
}

/** Of a run that has no report. */
export function deadSummary(seed: number, text: string): Summary {
  const breaches = [{ rule: 'simulator', text, atMs: 0 }];
  return { ...noFigures, seed, hash: '', counts: false, breaches, faults: {}, points: {} };
}

export function addTo(total: Total, summary: Summary): void {
  total.seeds++;
  if (summary.counts) total.counted++;
  for (const field of summed) total[field] += summary[field];
  addCounts(total.faults, summary.faults);
  addCounts(total.points, summary.points);
  if (summary.breaches.length > 0) total.failed.push(summary.seed);
}

function addCounts<Key extends string>(
  total: Partial<Record<Key, number>>,
  counts: Readonly<Partial<Record<Key, number>>>,
): void {
  for (const key of Object.keys(counts) as Key[]) {
    total[key] = (total[key] ?? 0) + (counts[key] ?? 0);
  }
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

/** Seeds that follow one another. */
export interface SeedRange {
  readonly first: number;
  readonly last: number;
}

/** The fewest ranges that hold the seeds and nothing else, in order. */
export function rangesOf(seeds: Iterable<number>): readonly SeedRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const seed of [...new Set(seeds)].sort((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range?.last === seed - 1) range.last = seed;
    else ranges.push({ first: seed, last: seed });
  }
  return ranges;
}

/** One hash of the traces of many seeds: whoever runs the same ones must come to the same hash. */
export function hashOfTraces(hashes: ReadonlyMap<number, string>): string {
  const lines = [...hashes].sort(([a], [b]) => a - b).map(([seed, hash]) => `${seed} ${hash}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex').slice(0, 16);
}
