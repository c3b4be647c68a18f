/** Rules of form that a compiler does not know. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const linesMax = 500;
const columnsMax = 100;
const code = /\.(ts|mjs|cjs|js|proto)$/;

/** Tracked files, or in a copy without history all that is there. */
function projectFiles(): string[] {
  const list = existsSync(join(root, '.git'))
    ? execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
    : execFileSync(
        'find',
        [
          '.',
          '(',
          '-name',
          'node_modules',
          '-o',
          '-name',
          'dist',
          '-o',
          '-path',
          './src/gen',
          ')',
          '-prune',
          '-o',
          '-type',
          'f',
          '-print',
        ],
        { cwd: root, encoding: 'utf8' },
      );
  return list
    .split('\n')
    .map((path) => path.replace(/^\.\//, ''))
    .filter((path) => path !== '' && existsSync(join(root, path)));
}

interface SourceFile {
  readonly path: string;
  readonly lines: readonly string[];
}

const files: SourceFile[] = projectFiles()
  .filter((path) => code.test(path))
  .map((path) => ({ path, lines: readFileSync(join(root, path), 'utf8').split('\n') }));

/** Every line for which `broken` holds, as `path:line`. */
function offenders(broken: (line: string, file: SourceFile) => boolean): string[] {
  return files.flatMap((file) =>
    file.lines.flatMap((line, i) => (broken(line, file) ? [`${file.path}:${i + 1}`] : [])),
  );
}

describe('tidiness', () => {
  test('there are sources to check', () => {
    expect(files.length).toBeGreaterThan(30);
  });

  test(`no file is longer than ${linesMax} lines`, () => {
    const long = files
      .filter(({ path, lines }) => lines.length - 1 > linesMax && path !== 'proto/rpc.proto')
      .map(({ path, lines }) => `${path}: ${lines.length - 1}`);
    expect(long).toEqual([]);
  });

  test(`no line is wider than ${columnsMax} columns`, () => {
    // Addresses, imports, and the names of tests, which stand on one line whatever their length.
    const unbreakable = /https?:\/\/|^\s*(import|export) .* from |^\s*(test|describe)\(['"`]/;
    expect(
      offenders((line) => Array.from(line).length > columnsMax && !unbreakable.test(line)),
    ).toEqual([]);
  });

  test('nothing is left for later', () => {
    const later = new RegExp(
      `\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X'.repeat(3), 'HA' + 'CK'].join('|')})\\b`,
    );
    expect(offenders((line) => later.test(line))).toEqual([]);
  });

  test('no test is left out by accident', () => {
    const narrowed = new RegExp(['\\b(test|it|describe)', 'only\\('].join('\\.'));
    expect(offenders((line) => narrowed.test(line))).toEqual([]);
  });

  test('imports name the file they mean', () => {
    const bare = /from '\.{1,2}\/[^']*'/;
    const named = /\.(ts|js|mjs|cjs|json)'/;
    expect(
      offenders((line, { path }) => path.endsWith('.ts') && bare.test(line) && !named.test(line)),
    ).toEqual([]);
  });

  test('every source says why the compiler or the linter is overruled', () => {
    const overrules = /eslint-disable|@ts-(ignore|expect-error|nocheck)/;
    const reason = / -- \S|@ts-expect-error \S/;
    expect(
      offenders(
        (line, { path }) =>
          path !== 'test/unit/tidy.test.ts' && overrules.test(line) && !reason.test(line),
      ),
    ).toEqual([]);
  });

  test('every folder of the sources has its rules', () => {
    const free = [
      'base',
      'gen',
      'raft',
      'client',
      'cli',
      'daemon',
      'config',
      'telemetry',
      'snapshot',
    ];
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    const without = (file: string, names: readonly string[]): readonly string[] => {
      const text = readFileSync(join(root, file), 'utf8');
      return names.filter((name) => !text.includes(`'${name}'`));
    };
    expect(without('.dependency-cruiser.cjs', folders)).toEqual([]);
    // Time and chance come from outside in all but these; src/raft has stricter rules of its own.
    const held = folders.filter((name) => !free.includes(name));
    expect(without('eslint.config.js', held)).toEqual([]);
    const table = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
    expect(folders.filter((name) => !table.includes(`\`${name}\``))).toEqual([]);
  });

  test('every file of the sources is used', () => {
    const entryPoints = /^src\/(client\/index|cli\/main|daemon\/(main|start)|raft\/index)\.ts$/;
    const imported = new Set(
      files.flatMap(({ path, lines }) =>
        lines.flatMap((line) =>
          [...line.matchAll(/['"](\.{1,2}\/[^'"]+)['"]/g)].map(([, target = '']) =>
            join(path, '..', target),
          ),
        ),
      ),
    );
    const dead = files
      .map(({ path }) => path)
      .filter((path) => path.startsWith('src/') && path.endsWith('.ts'))
      .filter((path) => !imported.has(path) && !entryPoints.test(path));
    expect(dead).toEqual([]);
  });
});
