/** What `npm run bench` is asked for. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type SystemName, systemNames } from './systems.ts';

export const usage = `Measures Quorate, beside etcd where that is installed, and writes
docs/benchmarks.md.

npm run bench -- [options]
  --workloads A,B   only these, or all whose names begin so with a * at the end: put*,get-1
  --members A,B     sizes of the clusters (1,3)
  --rounds N        how often everything is repeated; medians count (3)
  --seconds N       how long each load goes on (5)
  --only SYSTEM     ${systemNames.join(', ')}
  --list            only say which workloads there are
  --quick           a smoke test: small, short, once, a part of the workloads
  --profile DIR     start our members with --cpu-prof; a directory for each workload
  --json FILE       the data once more, there
  --out DIR         where the page, its charts and data go (docs; build/benchmarks for a part, a
                    smoke test and what a profiler slowed down)
  --directory DIR   where members keep their data (build/bench): on the disk that is measured
  --report          run nothing, only write the page again from its data
`;

export interface BenchOptions {
  /** Names, some with a `*` at the end; undefined for all. */
  readonly workloads: readonly string[] | undefined;
  readonly members: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly only: SystemName | undefined;
  readonly profile: string | undefined;
  readonly json: string | undefined;
  readonly out: string;
  readonly directory: string;
  readonly quick: boolean;
  readonly list: boolean;
  readonly report: boolean;
  readonly help: boolean;
}

/** Until V8 has compiled what a load uses: a put costs twice as much two seconds after a start. */
const warmUpSeconds = 8;
const quickSeconds = 0.2;

/**
 * @param root what relative paths are taken from
 * @throws Error for what is not understood, in words for whoever typed it
 */
export function benchOptions(args: readonly string[], root: string): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workloads: { type: 'string' },
      members: { type: 'string', default: '1,3' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string' },
      profile: { type: 'string' },
      json: { type: 'string' },
      out: { type: 'string' },
      directory: { type: 'string', default: 'build/bench' },
      quick: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { workloads, quick, list, report, help } = values;
  const isPart =
    quick || [workloads, values.only, values.profile].some((flag) => flag !== undefined);
  const path = (text: string | undefined): string | undefined =>
    text === undefined ? undefined : resolve(root, text);
  return {
    workloads: workloads?.split(','),
    members: values.members.split(',').map((text) => wholeNumber(text, 'members')),
    rounds: wholeNumber(values.rounds ?? (quick ? '1' : '3'), 'rounds'),
    seconds:
      values.seconds === undefined && quick ? quickSeconds : positiveSeconds(values.seconds ?? '5'),
    warmUpSeconds: quick ? quickSeconds : warmUpSeconds,
    only: systemOf(values.only),
    profile: path(values.profile),
    json: path(values.json),
    out: resolve(root, values.out ?? (isPart ? 'build/benchmarks' : 'docs')),
    directory: resolve(root, values.directory),
    ...{ quick, list, report, help },
  };
}

export function wholeNumber(text: string, flag: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${flag} takes positive whole numbers, not ${text}`);
}

export function positiveSeconds(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 3600) return value;
  throw new Error(`--seconds takes a number above 0 and up to 3600, not ${text}`);
}

function systemOf(text: string | undefined): SystemName | undefined {
  if (text === undefined) return undefined;
  const name = systemNames.find((each) => each === text);
  if (name === undefined) throw new Error(`--only takes ${systemNames.join(', ')}, not ${text}`);
  return name;
}

/** @throws Error for a pattern that no name fits */
export function chosen<Named extends { readonly name: string }>(
  all: readonly Named[],
  patterns: readonly string[] | undefined,
): readonly Named[] {
  if (patterns === undefined) return all;
  const fits = (name: string, pattern: string): boolean =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
  const useless = patterns.find((pattern) => !all.some(({ name }) => fits(name, pattern)));
  if (useless !== undefined) {
    const names = all.map(({ name }) => name).join(', ');
    throw new Error(`there is no workload ${useless}; there are ${names}`);
  }
  return all.filter(({ name }) => patterns.some((pattern) => fits(name, pattern)));
}
