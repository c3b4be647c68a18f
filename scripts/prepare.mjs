// Makes a fresh clone ready: what the scripts of this directory do first.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a command in the project's root; its exit code. */
export function run(command, args, environment = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  if (error) throw error;
  return status ?? 1;
}

function runOrExit(command, args, failed) {
  const status = run(command, args);
  if (status === 0) return;
  failed?.(`${command} ${args.join(' ')}`);
  process.exit(status);
}

/**
 * Installs what package-lock.json names if that has not been done, and builds the server. Ends the
 * process if that cannot be done, after `failed` was told which command it was.
 */
export function prepare(failed) {
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) {
    runOrExit('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund'], failed);
  }
  runOrExit('npm', ['run', '--silent', 'build'], failed);
}

const vitestPath = join(root, 'node_modules', 'vitest', 'vitest.mjs');

/** Runs vitest; its exit code. */
export function vitest(args, environment) {
  return run(process.execPath, [vitestPath, 'run', ...args], environment);
}

/** Runs vitest beside others; resolves to its exit code. */
export function startVitest(args, environment) {
  const child = spawn(process.execPath, [vitestPath, 'run', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => resolve(status ?? 1));
  });
}

function compile(project) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  runOrExit(process.execPath, [tsc, '-p', join(root, 'test', project)]);
}

/** Builds the simulator, with the server's code beside it, into build/. */
export function buildSimulator() {
  prepare();
  compile('sim');
}

/** Builds the simulator, and what runs all proofs and writes the page of them. */
export function buildProof() {
  prepare();
  compile('proof');
}

/** Builds what measures, with the programs that it starts. */
export function buildBench() {
  prepare();
  compile('bench');
}

/** Pages that are written from results, with what belongs to them: no result depends on them. */
const writtenPages = [':(exclude)docs/proof*', ':(exclude)docs/benchmarks*'];

const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' });

/** The commit that is checked out, with a mark if files differ from it. */
export function commit() {
  const head = git('rev-parse', '--short', 'HEAD');
  if (head.status !== 0) return 'unknown';
  const { stdout } = git('status', '--porcelain', '--', '.', ...writtenPages);
  return head.stdout.trim() + (stdout === '' ? '' : '+');
}

/** Whether a commit has the files of the one that is checked out, but for the page of proofs. */
export function isSame(other) {
  return git('diff', '--quiet', other, 'HEAD', '--', '.', ...writtenPages).status === 0;
}
