import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { proof, type Repository } from '../../proof/main.ts';
import { resultOf, simulationOf } from './samples.ts';
import { ResultsDirectory } from '../../proof/results.ts';

/** Stands in for the simulator: says that it ran, and leaves figures of its range. */
const simulator = `
  const { appendFileSync, existsSync, writeFileSync } = require('node:fs');
  const value = (flag) => process.argv[process.argv.indexOf(flag) + 1];
  const first = Number(value('--from'));
  const seeds = Number(value('--seeds'));
  appendFileSync('ran', first + '+' + seeds + ' ' + process.env.QUORATE_COMMIT + '\\n');
  if (existsSync('broken')) process.exit(3);
  const ranges = [{ first, last: first + seeds - 1 }];
  const figures = { ...JSON.parse(process.env.FIGURES), seeds, ranges };
  writeFileSync(value('--json'), JSON.stringify(figures));
`;

let root: string;
let commit: string;
let output: string[];

const repository: Repository = {
  get root() {
    return root;
  },
  commit: () => commit,
  isSame: (other) => other === '5a3e000',
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'quorate-proof-test-'));
  commit = 'abc1234';
  write('build/test/sim/main.js', simulator);
  process.env['FIGURES'] = JSON.stringify(simulationOf(1, 1));
  output = [];
  for (const method of ['log', 'error'] as const) {
    vi.spyOn(console, method).mockImplementation((text: unknown) => void output.push(String(text)));
  }
});

afterEach(() => {
  vi.restoreAllMocks();
  delete process.env['FIGURES'];
  rmSync(root, { recursive: true });
});

function write(name: string, text: string): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), text);
}

function read(name: string): string {
  return existsSync(join(root, name)) ? readFileSync(join(root, name), 'utf8') : '';
}

function run(...args: string[]): Promise<number> {
  return proof(['--parts', 'simulation', ...args], repository);
}

describe('a proof', () => {
  test('runs pieces, writes page, charts and ranges, and does nothing twice', async () => {
    expect(await run('--seeds', '700')).toBe(0);
    expect(read('ran')).toBe('1+500 abc1234\n501+200 abc1234\n');
    expect(read('docs/proof.md')).toContain('| Simulation | 700 seeds,');
    expect(read('docs/proof-faults-simulated.svg')).toContain('<svg');
    const ranges = JSON.parse(read('docs/proof-runs.json')) as unknown[];
    expect(ranges).toMatchObject([{ commit: 'abc1234', from: 1, seeds: 700, failed: 0 }]);
    const page = read('docs/proof.md');
    expect(await run('--seeds', '700')).toBe(0);
    expect(read('ran').split('\n')).toHaveLength(3);
    expect(read('docs/proof.md')).toBe(page);
  });

  test('goes on with what is missing, and anew if it is told to', async () => {
    await run('--seeds', '500');
    await run('--seeds', '1000');
    expect(read('ran')).toBe('1+500 abc1234\n501+500 abc1234\n');
    await run('--seeds', '500', '--again');
    expect(read('ran').split('\n')[2]).toBe('1+500 abc1234');
    expect(read('docs/proof.md')).toContain('| Simulation | 500 seeds,');
  });

  test('of another commit takes new seeds, unless the files are the same', async () => {
    await run('--seeds', '500');
    commit = 'def5678';
    await run('--seeds', '500');
    expect(read('ran')).toBe('1+500 abc1234\n501+500 def5678\n');
    new ResultsDirectory(join(root, 'docs', 'proof')).save(
      'simulation',
      resultOf(simulationOf(501, 1000), { commit: '5a3e000', key: 'seeds-501-to-1000' }),
    );
    await run('--from', '501', '--seeds', '500');
    expect(read('ran').split('\n')).toHaveLength(3);
  });

  test('of a piece that breaks fails, says so, and tries it again', async () => {
    write('broken', '');
    expect(await run('--seeds', '5')).toBe(1);
    expect(read('docs/proof.md')).toContain('exit code 3, left no figures');
    rmSync(join(root, 'broken'));
    expect(await run('--seeds', '5')).toBe(0);
  });

  test('does not take results for those of a commit if that changes meanwhile', async () => {
    let asked = 0;
    const changing: Repository = { ...repository, root, commit: () => `abc${asked++}` };
    expect(await proof(['--parts', 'simulation', '--seeds', '5'], changing)).toBe(1);
    expect(output.at(-1)).toContain('refused');
    expect(output.at(-1)).toContain('simulation of abc0+');
  });
});

describe('refused', () => {
  test('changed files', async () => {
    commit = 'abc1234+';
    expect(await run('--seeds', '5')).toBe(1);
    expect(output).toEqual([
      'refused, as there are changed files (abc1234+): results would be of nothing known',
    ]);
    expect(read('ran')).toBe('');
    expect(await run('--seeds', '5', '--mixed')).toBe(0);
    expect(read('docs/proof.md')).toContain('not all of one commit');
    expect(read('docs/proof.md')).toContain('| abc1234+ |');
  });

  test('files that are of no commit', async () => {
    commit = 'unknown';
    expect(await run('--seeds', '5')).toBe(1);
    expect(output[0]).toContain('there is no commit');
    expect(await run('--seeds', '5', '--mixed')).toBe(0);
    expect(read('docs/proof.md')).toContain('not all of one commit');
  });

  test('results of another commit, unless the page may name both', async () => {
    await run('--seeds', '5');
    rmSync(join(root, 'docs', 'proof.md'));
    commit = 'def5678';
    expect(await run('--report')).toBe(1);
    expect(output.at(-1)).toBe(
      'refused: the sources are those of def5678, but there are results of others: ' +
        'simulation of abc1234; --mixed takes them as they are',
    );
    expect(read('docs/proof.md')).toBe('');
    expect(await run('--report', '--mixed')).toBe(0);
    expect(read('docs/proof.md')).toContain('| abc1234 |');
  });

  test.each([
    [['--parts', 'everything'], 'there is no part everything'],
    [['--budget', 'some'], '--budget takes quick, full or minutes, not some'],
    [['--seeds', '-1'], '--seeds'],
    [['--seeds', '1.5'], '--seeds takes a positive whole number, not 1.5'],
    [['--nodes', '/nowhere/node'], '/nowhere/node is not a program of Node'],
    [['--colour'], "Unknown option '--colour'"],
  ])('%j', async (args, text) => {
    expect(await proof(args, repository)).toBe(2);
    expect(output[0]).toContain(text);
    expect(output[0]).toContain('--budget B');
  });
});
