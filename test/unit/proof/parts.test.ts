import { describe, expect, test } from 'vitest';
import { budgetOf, full, quick } from '../../proof/budget.ts';
import { type PartName, partNames } from '../../proof/figures.ts';
import { type Piece, piecesOf, type Wanted } from '../../proof/parts.ts';
import { plantedBugs } from '../../sim/bugs/index.ts';

const node = { version: 'v20.20.2', path: '/bin/node' };
const wanted: Wanted = { budget: quick, from: 1001, parallel: 2, nodes: [node] };

function pieces(part: PartName, changes: Partial<Wanted> = {}): readonly Piece[] {
  return piecesOf(part, { ...wanted, ...changes }, '/figures');
}

/** Values of a flag in all pieces. */
function flags(all: readonly Piece[], flag: string): number[] {
  return all.map(({ arguments: args }) => Number(args[args.indexOf(flag) + 1]));
}

describe('pieces', () => {
  test.each(partNames)('of %s have different keys and say where figures go', (part) => {
    const all = pieces(part, { budget: full });
    expect(new Set(all.map(({ key }) => key)).size).toBe(all.length);
    for (const { arguments: args, environment } of all) {
      expect([...args, ...Object.values(environment)]).toContain('/figures');
    }
  });

  test('of the simulation hold every seed once', () => {
    const all = pieces('simulation', { budget: { ...quick, seeds: 1200 } });
    expect(flags(all, '--from')).toEqual([1001, 1501, 2001]);
    expect(flags(all, '--seeds')).toEqual([500, 500, 200]);
  });

  test('of traces: one for each version of Node', () => {
    const other = { version: 'v24.1.0', path: '/other/node' };
    const all = pieces('traces', { nodes: [node, other] });
    expect(all.map((each) => each.node)).toEqual([node, other]);
  });

  test('of bugs: all of them, or some from all over the list', () => {
    const idsIn = (all: readonly Piece[]): string[] =>
      all.flatMap(({ arguments: args }) => args.slice(args.indexOf('/figures') + 1));
    const all = plantedBugs.map(({ id }) => id);
    expect(idsIn(pieces('bugs', { budget: full }))).toEqual(all);
    const some = idsIn(pieces('bugs', { budget: { ...quick, bugs: 5 } }));
    expect(new Set(some).size).toBe(5);
    expect(all.indexOf(some[4] ?? '')).toBeGreaterThan(all.length / 2);
    const named = idsIn(pieces('bugs'));
    expect(named).toEqual(quick.bugs);
    expect(all).toEqual(expect.arrayContaining(named));
  });

  test('of nemesis: runs follow each other', () => {
    const all = pieces('nemesis', { budget: { ...quick, nemesisRuns: 30 } });
    expect(flags(all, '--seed')).toEqual([0, 12, 24]);
    expect(flags(all, '--runs')).toEqual([12, 12, 6]);
  });
});

test('a budget in minutes does something of everything, and more with more minutes', () => {
  const [short, long] = [budgetOf('1'), budgetOf('90')];
  for (const [name, value] of Object.entries(short)) {
    if (typeof value === 'number') expect([name, value > 0]).toEqual([name, true]);
  }
  expect(long.seeds).toBeGreaterThan(50 * short.seeds);
  expect([short.damage, long.damage]).toEqual(['some', 'all']);
  expect(() => budgetOf('0')).toThrow('--budget takes quick, full or minutes, not 0');
});
