/** What each part runs, in pieces: commands of their own, which leave their figures in a file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { plantedBugs } from '../sim/bugs/index.ts';
import type { Budget } from './budget.ts';
import type { PartName } from './figures.ts';
import type { NodeProgram, ProofOptions } from './options.ts';

export interface Wanted extends Pick<ProofOptions, 'parallel' | 'nodes'> {
  readonly budget: Budget;
  /** First seed of the simulation. */
  readonly from: number;
}

export interface Piece {
  readonly key: string;
  readonly node: NodeProgram;
  /** Arguments of Node, in the project's root. */
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** A multiple of what fills all cores, and minutes at most: that much is lost if it is stopped. */
const seedsPerPiece = 500;
const bugsPerPiece = 8;
const runsPerPiece = 12;
const pointsPerPiece = 100;

/** @param figures where a piece leaves its figures */
export function piecesOf(part: PartName, wanted: Wanted, figures: string): readonly Piece[] {
  const { budget, parallel } = wanted;
  const [node] = wanted.nodes;
  const piece = (
    key: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Piece => ({ key, node, arguments: args, environment });
  const simulator = (...path: string[]): string => join('build', 'test', 'sim', ...path);
  const vitest = (...args: string[]): string[] => [
    join('node_modules', 'vitest', 'vitest.mjs'),
    'run',
    ...args,
  ];
  switch (part) {
    case 'simulation':
      return slices(budget.seeds, seedsPerPiece).map(({ first, count }) => {
        const from = wanted.from + first;
        return piece(`seeds-${from}-to-${from + count - 1}`, [
          simulator('main.js'),
          ...['--from', String(from), '--seeds', String(count), '--json', figures],
        ]);
      });
    case 'traces':
      return wanted.nodes.map((each) => ({
        ...piece(`node-${each.version}-seeds-${budget.traceSeeds}`, [
          simulator('main.js'),
          ...['--seeds', String(budget.traceSeeds), '--twice', '--json', figures],
        ]),
        node: each,
      }));
    case 'bugs': {
      const { bugs, bugSeeds } = budget;
      const all = plantedBugs.map(({ id }) => id);
      const ids = typeof bugs === 'number' ? spread(all, bugs) : bugs;
      return slices(ids.length, bugsPerPiece).map(({ first, count }) =>
        piece(`bugs-${first + 1}-to-${first + count}-of-${ids.length}-within-${bugSeeds}`, [
          simulator('bugs', 'main.js'),
          ...['--seeds', String(bugSeeds), '--json', figures],
          ...ids.slice(first, first + count),
        ]),
      );
    }
    case 'nemesis':
      return slices(budget.nemesisRuns, runsPerPiece).map(({ first, count }) =>
        piece(`seeds-${first}-to-${first + count - 1}-for-${budget.nemesisSeconds}-s`, [
          join('scripts', 'nemesis.mjs'),
          ...['--seed', String(first), '--runs', String(count), '--json', figures],
          ...['--seconds', String(budget.nemesisSeconds), '--parallel', String(parallel)],
        ]),
      );
    case 'damage':
      return [
        piece(budget.damage, vitest('test/storage/damage.test.ts'), {
          DAMAGE_CASES: budget.damage,
          DAMAGE_REPORT: figures,
        }),
      ];
    case 'crashes':
      return slices(budget.crashScripts, 1).map(({ first }) =>
        piece(`script-${first + 1}`, vitest('test/storage/crash-points.test.ts'), {
          CRASH_SEED: String(first + 1),
          CRASH_REPORT: figures,
        }),
      );
    case 'power':
      return slices(budget.powerPoints, pointsPerPiece).map(({ first, count }) => {
        const seed = first / pointsPerPiece + 1;
        return piece(`seed-${seed}-points-${count}`, vitest('test/storage/power/power-cuts'), {
          QUORATE_POWER_SEED: String(seed),
          QUORATE_POWER_POINTS: String(count),
          QUORATE_POWER_RESULT: figures,
        });
      });
    case 'fuzz':
      return [
        piece(`seed-1-inputs-${budget.fuzzInputs}`, vitest('test/fuzz'), {
          QUORATE_FUZZ_SEED: '1',
          QUORATE_FUZZ_RUNS: String(budget.fuzzInputs),
          QUORATE_FUZZ_RESULT: figures,
        }),
      ];
  }
}

/** Whether results of other versions of Node stay beside those of a new plan. */
export function keepsOthers(part: PartName): boolean {
  return part === 'traces';
}

/** What a piece has left at `path`. @throws if it left nothing, or nothing whole */
export function readFigures(part: PartName, path: string): unknown {
  const text = readFileSync(path, 'utf8');
  // Test files of decoders add a line for each, whichever of them comes first.
  if (part !== 'fuzz') return JSON.parse(text);
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as unknown);
}

function slices(total: number, size: number): { readonly first: number; readonly count: number }[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, i) => {
    const first = i * size;
    return { first, count: Math.min(size, total - first) };
  });
}

/** So many, from all over the list. */
function spread<Item>(items: readonly Item[], count: number): readonly Item[] {
  if (count >= items.length) return items;
  const step = items.length / count;
  return Array.from({ length: count }, (_, i) => items[Math.floor(i * step)] as Item);
}
