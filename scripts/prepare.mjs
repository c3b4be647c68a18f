// Makes a fresh clone ready: what the scripts of this directory do first.
import { spawnSync } from 'node:child_process';
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

/** Runs vitest; its exit code. */
export function vitest(args, environment) {
  const path = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  return run(process.execPath, [path, 'run', ...args], environment);
}

/** Builds the simulator, with the server's code beside it, into build/. */
export function buildSimulator() {
  prepare();
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  runOrExit(process.execPath, [tsc, '-p', join(root, 'test', 'sim')]);
}

/** The commit that is checked out, with a mark if files differ from it. */
export function commit() {
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  const head = git('rev-parse', '--short', 'HEAD');
  if (head.status !== 0) return 'unknown';
  return head.stdout.trim() + (git('status', '--porcelain').stdout === '' ? '' : '+');
}
