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
function countOf({ testResults }) {
  const counts = { passed: 0, failed: 0, skipped: 0, unfinished: [] };
  for (const { name, status, assertionResults } of testResults) {
    const having = (wanted) => assertionResults.filter((test) => test.status === wanted).length;
    const failed = having('failed');
    // Of a process that died there are tests that never ended.
    const pending = having('pending');
    counts.passed += having('passed');
    counts.skipped += having('skipped');
    counts.failed += failed + pending + (status === 'failed' && failed === 0 ? 1 : 0);
    if (pending > 0) counts.unfinished.push(`${name}: ${pending} tests never ended`);
  }
  return counts;
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
const { passed, failed, skipped, unfinished } = countOf(
  JSON.parse(readFileSync(reportPath, 'utf8')),
);
rmSync(folder, { recursive: true });
for (const text of unfinished) console.log(text);
if (skipped > 0) console.log(`${skipped} skipped: they say why above or in their names`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : status);
