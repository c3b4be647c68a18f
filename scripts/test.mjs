// `npm test`: everything from a fresh clone to a verdict.
//
// Installs what package-lock.json names if node_modules is missing, generates and builds, then runs
// the tests. Arguments go to vitest: `npm test -- test/unit/raft`. Once installed, it needs no
// network.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  return status ?? 1;
}

function runOrExit(command, args) {
  const status = run(command, args);
  if (status !== 0) {
    console.log(`${command} ${args.join(' ')} failed\n0 passed, 1 failed`);
    process.exit(status);
  }
}

/** Counts tests; a file that could not even be loaded is one failure. */
function countOf(report) {
  const { numPassedTests: passed, numFailedTests, numPendingTests: skipped, testResults } = report;
  const broken = testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((t) => t.status !== 'failed'),
  ).length;
  return { passed, failed: numFailedTests + broken, skipped };
}

if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) {
  runOrExit('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund']);
}
runOrExit('npm', ['run', '--silent', 'build']);

const folder = mkdtempSync(join(tmpdir(), 'quorate-test-'));
const reportPath = join(folder, 'report.json');
const status = run(process.execPath, [
  join(root, 'node_modules', 'vitest', 'vitest.mjs'),
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${reportPath}`,
  ...process.argv.slice(2),
]);
if (!existsSync(reportPath)) {
  console.log('0 passed, 1 failed');
  process.exit(status === 0 ? 1 : status);
}
const { passed, failed, skipped } = countOf(JSON.parse(readFileSync(reportPath, 'utf8')));
rmSync(folder, { recursive: true });
if (skipped > 0) console.log(`${skipped} skipped: they say why above or in their names`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : status);
