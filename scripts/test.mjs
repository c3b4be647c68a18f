// `npm test`: everything from a fresh clone to a verdict.
//
// Installs what package-lock.json names if node_modules is missing, generates and builds, then runs
// the tests. Arguments go to vitest: `npm test -- test/unit/raft`. Once installed, it needs no
// network.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepare, vitest } from './prepare.mjs';

/** Counts tests; a file that could not even be loaded is one failure. */
function countOf(report) {
  const { numPassedTests: passed, numFailedTests, numPendingTests: skipped, testResults } = report;
  const broken = testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((t) => t.status !== 'failed'),
  ).length;
  return { passed, failed: numFailedTests + broken, skipped };
}

prepare((command) => console.log(`${command} failed\n0 passed, 1 failed`));

const folder = mkdtempSync(join(tmpdir(), 'quorate-test-'));
const reportPath = join(folder, 'report.json');
const status = vitest([
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
