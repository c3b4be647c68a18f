/** What is printed of a run, and what is kept of one that failed. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatHistory } from '../check/history-file.ts';
import type { Violation } from '../check/history.ts';
import { isUndecided } from '../check/index.ts';
import type { RunOptions, RunResult } from './run.ts';

const shownViolations = 10;

/** What is wrong for certain; what the checkers could not decide is only counted. */
export function failuresOf({ violations }: RunResult): readonly Violation[] {
  return violations.filter((violation) => !isUndecided(violation));
}

export function summary(options: RunOptions, result: RunResult): string {
  const { answered, refused, unknown } = result.counts;
  const failures = failuresOf(result).length;
  const undecided = result.violations.length - failures;
  const faults = [...result.faults].map(([kind, count]) => `${count} ${kind}`).join(', ');
  return [
    `seed ${options.seed}, ${options.scenario.name}, ${options.members} members:`,
    `${answered} answered, ${refused} refused, ${unknown} unknown,`,
    `${result.watchedEvents} events watched, ${result.history.events?.length ?? 0} happened,`,
    leasesText(result.leases),
    `${result.leaderTerms} leaders, checked in ${Math.round(result.checkMs)} ms;`,
    `faults: ${faults === '' ? 'none' : faults};`,
    ...(undecided === 0 ? [] : [`${undecided} undecided;`]),
    failures === 0 ? 'no violation' : `${failures} VIOLATIONS`,
  ].join(' ');
}

function leasesText(figures: RunResult['leases']): string {
  const { granted, renewed, revoked, expired, locks, fencedWrites } = figures;
  return [
    `${granted} leases granted, ${renewed} times renewed, ${revoked} revoked, ${expired} expired,`,
    `${locks} times locked with ${fencedWrites} writes,`,
  ].join(' ');
}

export function describeViolations({ violations }: RunResult): string {
  return violations
    .slice(0, shownViolations)
    .map(({ rule, text, operations }) => {
      const where = operations.length === 0 ? '' : ` (operations ${operations.join(', ')})`;
      return `${rule}: ${text}${where}`;
    })
    .join('\n');
}

/** Returns the directory: history, timeline, violations and the members' logs. */
export async function keepRun(
  directory: string,
  options: RunOptions,
  result: RunResult,
): Promise<string> {
  const path = join(
    directory,
    `nemesis-${options.scenario.name.replace(':', '-')}-${options.seed}`,
  );
  await mkdir(path, { recursive: true });
  const timeline = result.incidents.map(
    ({ atMs, text }) => `${(atMs / 1000).toFixed(3)} s ${text}`,
  );
  const files: readonly (readonly [string, string])[] = [
    ['verdict.txt', `${summary(options, result)}\n${describeViolations(result)}\n`],
    ['timeline.txt', `${timeline.join('\n')}\n`],
    ['history.jsonl', formatHistory(result.history)],
    ...[...result.logs].map(([name, text]) => [`${name}.log`, text] as const),
  ];
  for (const [name, text] of files) await writeFile(join(path, name), text);
  return path;
}
