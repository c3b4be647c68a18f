// `npm run test:nemesis`: real members under faults, histories checked.
//
//     npm run test:nemesis -- --runs 12 --seconds 20 --seed 1 --scenario kill-leader --members 3
//
// Installs and builds what is missing, as `npm test` does. --parallel says how many runs go on at
// the same time (1). --json names a file for the figures. --keep names the directory in which
// history and logs of a failed run are kept; otherwise the system's temporary one. The last lines
// tell the totals.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { commit, prepare, root, startVitest } from './prepare.mjs';

const options = ['runs', 'seconds', 'seed', 'scenario', 'members', 'keep', 'parallel', 'json'];

function wanted(args) {
  const { values } = parseArgs({
    args,
    options: Object.fromEntries(options.map((name) => [name, { type: 'string' }])),
  });
  const { parallel = '1', json, ...others } = values;
  if (!/^[1-9]\d?$/.test(parallel)) {
    throw new Error(`--parallel takes a number from 1 to 99, not ${parallel}`);
  }
  if (others.keep !== undefined) others.keep = resolve(others.keep);
  const environment = Object.fromEntries(
    Object.entries(others).map(([name, value]) => [`QUORATE_NEMESIS_${name.toUpperCase()}`, value]),
  );
  return { environment, lanes: Number(parallel), json: json && resolve(json) };
}

/** Runs a share of the runs; resolves to its exit code and the figures that it left. */
async function runLane(environment, lane, lanes, folder) {
  const path = join(folder, `${lane}.json`);
  const status = await startVitest(
    // There may be fewer runs than shares.
    ['--config', join(root, 'test', 'nemesis', 'vitest.config.ts'), '--passWithNoTests'],
    {
      ...environment,
      QUORATE_NEMESIS_LANE: String(lane),
      QUORATE_NEMESIS_LANES: String(lanes),
      QUORATE_NEMESIS_JSON: path,
    },
  );
  return { status, runs: existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [] };
}

function totalsOf(runs) {
  const totals = {
    passed: runs.filter(({ verdict }) => verdict === 'passed').length,
    failed: runs.filter(({ verdict }) => verdict === 'failed').length,
    skipped: runs.filter(({ verdict }) => verdict === 'skipped').length,
    acknowledged: 0,
    faults: 0,
    checkedOperations: 0,
    watchedEvents: 0,
    states: 0,
    longestSilenceMs: 0,
  };
  for (const { acknowledged, faults, checked, longestSilenceMs } of runs) {
    totals.acknowledged += acknowledged;
    for (const count of Object.values(faults)) totals.faults += count;
    totals.checkedOperations += checked.operations;
    totals.watchedEvents += checked.watchedEvents;
    totals.states += checked.states;
    totals.longestSilenceMs = Math.max(totals.longestSilenceMs, longestSilenceMs);
  }
  return totals;
}

let asked;
try {
  asked = wanted(process.argv.slice(2));
} catch (error) {
  console.error(`${error.message}\noptions: ${options.map((name) => `--${name}`).join(' ')}`);
  process.exit(2);
}
prepare();
const sources = commit();
const folder = mkdtempSync(join(tmpdir(), 'quorate-nemesis-'));
const lanes = await Promise.all(
  Array.from({ length: asked.lanes }, (_, lane) =>
    runLane(asked.environment, lane, asked.lanes, folder),
  ),
);
rmSync(folder, { recursive: true });
const runs = lanes.flatMap((lane) => lane.runs).sort((a, b) => a.seed - b.seed);
const totals = totalsOf(runs);
// A process that ended before its runs did leaves no figures of the rest.
if (totals.failed === 0 && lanes.some(({ status }) => status !== 0)) totals.failed = 1;
if (asked.json !== undefined) {
  const figures = { commit: sources, node: process.version, totals, runs };
  writeFileSync(asked.json, `${JSON.stringify(figures, undefined, 2)}\n`);
}
console.log(
  `${totals.acknowledged} operations acknowledged, ${totals.faults} faults; checked: ` +
    `${totals.checkedOperations} operations, ${totals.watchedEvents} events, ${totals.states} ` +
    `states; longest without an acknowledged write: ${totals.longestSilenceMs} ms` +
    (totals.skipped > 0 ? `; ${totals.skipped} skipped` : ''),
);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 ? 1 : 0;
