/**
 * Every range of seeds that a proof has run, of this commit and of earlier ones, whose results are
 * not kept.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { SimulationFigures } from './figures.ts';
import type { Result, SameSources } from './results.ts';

export interface RecordedRange {
  readonly commit: string;
  /** First seed. */
  readonly from: number;
  /** How many seeds from there on. */
  readonly seeds: number;
  /** How many of them broke something. */
  readonly failed: number;
  readonly virtualHours: number;
  /** Version of Node. */
  readonly node: string;
}

export function readLedger(path: string): readonly RecordedRange[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as RecordedRange[]) : [];
}

export function writeLedger(path: string, ranges: readonly RecordedRange[]): void {
  writeFileSync(path, `${JSON.stringify(ranges, undefined, 2)}\n`);
}

const msPerHour = 3_600_000;

/** Adds results to what is recorded; those of a commit that it has already take their place. */
export function recorded(
  ledger: readonly RecordedRange[],
  results: readonly Result<SimulationFigures>[],
): readonly RecordedRange[] {
  const found: RecordedRange[] = [];
  for (const { commit, node, figures } of results) {
    const [range] = figures?.ranges ?? [];
    if (figures === null || range === undefined) continue;
    const one: RecordedRange = {
      commit,
      from: range.first,
      seeds: figures.seeds,
      failed: figures.failed.length,
      virtualHours: figures.virtualMs / msPerHour,
      node,
    };
    const before = found.findIndex((each) => isContinued(each, one));
    if (before < 0) found.push(one);
    else found[before] = joined(found[before] ?? one, one);
  }
  const isReplaced = (old: RecordedRange): boolean =>
    found.some(({ commit, from, seeds }) => {
      const isWithin = old.from >= from && old.from + old.seeds <= from + seeds;
      return old.commit === commit && isWithin;
    });
  const rounded = found.map((range) => ({
    ...range,
    virtualHours: Math.round(range.virtualHours * 100) / 100,
  }));
  return [...ledger.filter((old) => !isReplaced(old)), ...rounded];
}

function isContinued(range: RecordedRange, next: RecordedRange): boolean {
  const { commit, node, from, seeds } = range;
  return commit === next.commit && node === next.node && from + seeds === next.from;
}

function joined(range: RecordedRange, next: RecordedRange): RecordedRange {
  return {
    ...range,
    seeds: range.seeds + next.seeds,
    failed: range.failed + next.failed,
    virtualHours: range.virtualHours + next.virtualHours,
  };
}

/** Where to begin: a commit goes on with its own range, and another one after all that were run. */
export function firstSeed(ledger: readonly RecordedRange[], isSame: SameSources): number {
  const own = ledger.filter(({ commit }) => isSame(commit)).at(-1);
  return own?.from ?? Math.max(0, ...ledger.map(({ from, seeds }) => from + seeds - 1)) + 1;
}
