/** What `npm run proof` is asked for. */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Budget, budgetOf } from './budget.ts';
import { type PartName, partNames } from './figures.ts';

export const usage = `Runs all that shows whether the promises are kept, and writes docs/proof.md.

npm run proof -- [options]
  --budget B       quick (minutes), full (hours), or so many minutes for all parts (quick)
  --parts A,B      only these: ${partNames.join(', ')}
  --from N         first seed of the simulation (after those in proof-runs.json)
  --seeds N        seeds of the simulation
  --runs N         runs of real processes under faults
  --parallel N     of them at the same time (one a core, at most 12)
  --nodes A,B      programs of other versions of Node, whose traces must be the same
  --again          forget what the parts have come to and run them anew
  --report         run nothing, only write the page
  --mixed          take results of other commits or changed files too; the page names them
  --out DIR        where page, charts, proof-runs.json and results go (docs)

Results lie in docs/proof, a file for each piece. What is there of the sources that are checked
out is not run again, so a proof that was stopped goes on, elsewhere too if they are committed.
`;

/** More runs at the same time than are in a piece would do nothing. */
const parallelMost = 12;

/** A program of Node, and the version that it says it is. */
export interface NodeProgram {
  readonly version: string;
  readonly path: string;
}

export interface ProofOptions {
  readonly budget: Budget;
  readonly parts: readonly PartName[];
  /** First seed of the simulation; undefined goes on after what is recorded. */
  readonly from: number | undefined;
  /** Nemesis runs at the same time. */
  readonly parallel: number;
  /** The first one runs everything, the others traces. */
  readonly nodes: readonly [NodeProgram, ...NodeProgram[]];
  readonly again: boolean;
  readonly report: boolean;
  readonly mixed: boolean;
  readonly out: string;
  readonly help: boolean;
}

/** @throws Error for what is not understood, in words for whoever typed it */
export function proofOptions(args: readonly string[]): ProofOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      budget: { type: 'string', default: 'quick' },
      parts: { type: 'string', default: partNames.join(',') },
      from: { type: 'string' },
      seeds: { type: 'string' },
      runs: { type: 'string' },
      parallel: { type: 'string', default: String(Math.min(availableParallelism(), parallelMost)) },
      nodes: { type: 'string', default: '' },
      again: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      mixed: { type: 'boolean', default: false },
      out: { type: 'string', default: 'docs' },
      help: { type: 'boolean', default: false },
    },
  });
  const { again, report, mixed, out, help } = values;
  const budget: Budget = {
    ...budgetOf(values.budget),
    ...(values.seeds !== undefined && { seeds: count(values.seeds, 'seeds') }),
    ...(values.runs !== undefined && { nemesisRuns: count(values.runs, 'runs') }),
  };
  return {
    budget,
    parts: partsOf(values.parts),
    from: values.from === undefined ? undefined : count(values.from, 'from'),
    parallel: count(values.parallel, 'parallel'),
    nodes: nodesOf(values.nodes),
    ...{ again, report, mixed, out, help },
  };
}

function count(text: string, flag: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${flag} takes a positive whole number, not ${text}`);
}

function partsOf(text: string): readonly PartName[] {
  const asked = text.split(',');
  const unknown = asked.find((name) => !(partNames as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new Error(`there is no part ${unknown}; there are ${partNames.join(', ')}`);
  }
  return partNames.filter((name) => asked.includes(name));
}

function nodesOf(paths: string): readonly [NodeProgram, ...NodeProgram[]] {
  const others = paths.split(',').filter((path) => path !== '');
  return [
    { version: process.version, path: process.execPath },
    ...others.map((path) => {
      const { stdout, status } = spawnSync(path, ['--version'], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`--nodes: ${path} is not a program of Node`);
      return { version: stdout.trim(), path: resolve(path) };
    }),
  ];
}
