import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patched } from '../../sim/bugs/bug.ts';
import { hunt } from '../../sim/bugs/hunt.ts';
import { laterBugs, plantedBugs } from '../../sim/bugs/index.ts';
import { buildSound, changedFiles, plant } from '../../sim/bugs/plant.ts';

const root = join(import.meta.dirname, '..', '..', '..');
/** Up to twenty runs, on a machine that does other things too. */
const huntLimitMs = 120_000;
/** The list of classic mistakes has so many. */
const mistakes = 24;

describe('planted bugs', () => {
  test.each(plantedBugs.map((bug) => [bug.id, bug] as const))('%s fits the code', (_, bug) => {
    const files = changedFiles(root, bug);
    expect(files.size).toBeGreaterThan(0);
  });

  test('a patch that does not fit is an error', () => {
    const edit = { file: 'a.ts', find: 'x', replace: 'y' };
    const bug = { id: 'none', mistake: 1, title: '', caughtBy: '', edits: [edit] };
    expect(() => patched(bug, edit, 'a b')).toThrow('none: "x" occurs 0 times in a.ts, not once');
    expect(() => patched(bug, edit, 'x x')).toThrow('none: "x" occurs 2 times in a.ts, not once');
    expect(patched(bug, edit, 'a x b')).toBe('a y b');
  });

  test('no two have the same name', () => {
    expect(new Set(plantedBugs.map(({ id }) => id)).size).toBe(plantedBugs.length);
  });

  test('every classic mistake is planted, or waits for what it is about', () => {
    const known = new Set([...plantedBugs, ...laterBugs].map(({ mistake }) => mistake));
    const all = Array.from({ length: mistakes }, (_, i) => i + 1);
    expect(all.filter((mistake) => !known.has(mistake))).toEqual([]);
  });
});

describe('the simulator', () => {
  let directory = '';

  beforeAll(() => {
    // Within the project: the copies find its packages from there.
    mkdirSync(join(root, 'build'), { recursive: true });
    directory = mkdtempSync(join(root, 'build', 'bugs-'));
    buildSound(root, join(directory, 'sound'));
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test.each(['votes-twice', 'reads-before-applied'])(
    'catches %s',
    async (id) => {
      const bug = plantedBugs.find((each) => each.id === id);
      expect(bug).toBeDefined();
      if (bug === undefined) return;
      const worker = plant(root, join(directory, 'sound'), join(directory, id), bug);
      const { rule, text } = await hunt(bug, worker, { from: 1, count: 20 });
      expect(rule, text).toBeDefined();
      expect(rule).not.toBe('simulator');
    },
    huntLimitMs,
  );
});
