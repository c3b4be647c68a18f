/** `npm run sim`: runs seeds, shows what goes wrong, and makes it smaller. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { saveHistory } from '../check/history-file.ts';
import { drawPlan, type Plan } from './plan.ts';
import { runPool } from './pool.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulation.ts';
import {
  addTo,
  emptyTotal,
  hashOfTraces,
  lineOf,
  rangesOf,
  type Summary,
  summaryOf,
  type Total,
} from './summary.ts';

const usage = `Runs whole clusters in virtual time, each from a seed.

npm run sim -- [options]
  --seed N         one seed; the last line is the hash of its trace
  --until MS       with --seed or --plan: stop at this virtual time
  --log            with --seed or --plan: print the timeline
  --plan FILE      run a plan that --shrink has written
  --shrink         with --seed: find a smaller plan that fails in the same way
  --from N         first of a range of seeds (1)
  --seeds N        seeds in the range (200)
  --least N        with --seconds: run at least so many, however long it takes
  --seconds S      no further seeds after this time
  --corpus         run the seeds of test/sim/corpus.json first
  --twice          run every seed twice and compare the traces
  --jobs N         processes (one a core)
  --json FILE      write the figures there
  --keep DIR       where timelines of failed seeds go (build/sim)
`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    until: { type: 'string' },
    log: { type: 'boolean', default: false },
    plan: { type: 'string' },
    shrink: { type: 'boolean', default: false },
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '200' },
    least: { type: 'string', default: '0' },
    seconds: { type: 'string' },
    corpus: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'string' },
    keep: { type: 'string', default: 'build/sim' },
    help: { type: 'boolean', default: false },
  },
});

/** Failed seeds whose timelines are written; more would say the same again. */
const timelinesLimit = 5;
const commit = process.env['QUORATE_COMMIT'] ?? 'unknown';

function print(text: string): void {
  console.log(text);
}

function number(text: string, flag: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    console.error(`--${flag} takes a whole number that is not negative, not ${text}`);
    process.exit(2);
  }
  return value;
}

/** One run in this process, shown in full. */
async function runOne(plan: Plan): Promise<boolean> {
  const untilMs = values.until === undefined ? {} : { untilMs: number(values.until, 'until') };
  const report = await simulate(plan, { ...untilMs, ...(values.log && { line: print }) });
  print(lineOf(summaryOf(report)));
  for (const { rule, text } of report.breaches) print(`FAILED ${rule}: ${text}`);
  if (report.breaches.length > 0) print(`commit ${commit}`);
  print(report.hash);
  return report.breaches.length === 0;
}

/** Runs a failed seed again and keeps all that helps to understand it. */
async function keep(seed: number): Promise<void> {
  mkdirSync(values.keep, { recursive: true });
  const lines: string[] = [];
  const report = await simulate(drawPlan(seed), { line: (line) => lines.push(line) });
  const timeline = join(values.keep, `seed-${seed}.log`);
  writeFileSync(timeline, `${lines.join('\n')}\n`);
  saveHistory(join(values.keep, `seed-${seed}.history`), report.history);
  print(`seed ${seed} of commit ${commit}: ${report.breaches.length} breaches`);
  for (const { rule, text } of report.breaches.slice(0, 10)) print(`  FAILED ${rule}: ${text}`);
  for (const line of lines.filter((each) => !each.includes(' debug ')).slice(-25)) print(line);
  print(`timeline: ${timeline}; again: npm run sim -- --seed ${seed} --log`);
}

async function shrinkSeed(plan: Plan): Promise<boolean> {
  const { breaches } = await simulate(plan);
  const [first] = breaches;
  if (first === undefined) {
    print(`seed ${plan.seed} does not fail`);
    return true;
  }
  const { plan: smallest, runs } = await shrink(plan, first.rule, print);
  mkdirSync(values.keep, { recursive: true });
  const path = join(values.keep, `plan-${plan.seed}.json`);
  writeFileSync(path, `${JSON.stringify(smallest, undefined, 2)}\n`);
  print(`after ${runs} runs: npm run sim -- --plan ${path} --log`);
  return false;
}

interface CorpusEntry {
  readonly seed: number;
  readonly found: string;
}

function* seedsToRun(): Generator<number> {
  if (values.corpus) {
    const text = readFileSync(join('test', 'sim', 'corpus.json'), 'utf8');
    for (const { seed } of JSON.parse(text) as readonly CorpusEntry[]) yield seed;
  }
  const from = number(values.from, 'from');
  const count = number(values.seeds, 'seeds');
  const least = number(values.least, 'least');
  const { seconds } = values;
  const endMs = performance.now() + (seconds === undefined ? Infinity : Number(seconds) * 1000);
  for (let i = 0; i < count; i++) {
    if (i >= least && performance.now() >= endMs) return;
    yield from + i;
    if (values.twice) yield from + i;
  }
}

async function runMany(): Promise<boolean> {
  const startMs = performance.now();
  const total = emptyTotal();
  const hashes = new Map<number, string>();
  const differing: number[] = [];
  const seeds = seedsToRun();
  await runPool({
    jobs: Math.max(1, number(values.jobs, 'jobs')),
    next: () => {
      const { value, done } = seeds.next();
      return done === true ? undefined : value;
    },
    done: (summary) => {
      addTo(total, summary);
      compare(hashes, differing, summary);
      if (summary.breaches.length > 0) print(`FAILED ${lineOf(summary)}`);
      else if (total.seeds % 100 === 0) print(`${total.seeds} seeds`);
    },
  });
  const seconds = (performance.now() - startMs) / 1000;
  show(total, { hashes, seconds, differing });
  for (const seed of [...new Set(total.failed)].slice(0, timelinesLimit)) await keep(seed);
  return total.failed.length === 0 && differing.length === 0;
}

/** Notes a seed whose second run differs from its first. */
function compare(hashes: Map<number, string>, differing: number[], summary: Summary): void {
  const { seed, hash } = summary;
  const known = hashes.get(seed);
  if (known !== undefined && known !== hash) differing.push(seed);
  hashes.set(seed, hash);
}

interface Frame {
  /** Of every seed that was run. */
  readonly hashes: ReadonlyMap<number, string>;
  readonly seconds: number;
  readonly differing: readonly number[];
}

function show(total: Total, { hashes, seconds, differing }: Frame): void {
  const faults = Object.values(total.faults).reduce((sum, count) => sum + count, 0);
  const ranges = rangesOf(hashes.keys());
  const named = ranges.map(({ first, last }) => (first === last ? first : `${first} to ${last}`));
  const traces = hashOfTraces(hashes);
  const rate = (value: number): string => Math.round(value / seconds).toLocaleString('en');
  print(
    `${total.seeds} seeds (${named.join(', ')}, commit ${commit}), ${total.counted} count; ` +
      `${total.answered} answers, ${faults} faults, ${total.elections} elections, ` +
      `${total.statesCompared} states compared`,
  );
  print(
    `${(total.virtualMs / 3_600_000).toFixed(2)} virtual hours in ${seconds.toFixed(0)} s: ` +
      `${rate(total.events)} events and ${rate(total.virtualMs / 1000)} virtual seconds a second`,
  );
  print(`hash of all traces: ${traces}`);
  if (differing.length > 0) print(`FAILED: different traces of seeds ${differing.join(', ')}`);
  if (values.json !== undefined) {
    const run = { commit, node: process.version, ranges, traces, seconds, differing };
    const figures = {
      ...run,
      ...total,
      ...(values.twice && { hashes: Object.fromEntries(hashes) }),
    };
    writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
  }
  print(`${total.seeds - total.failed.length} passed, ${total.failed.length} failed`);
}

async function main(): Promise<boolean> {
  if (values.help) {
    print(usage);
    return true;
  }
  if (values.plan !== undefined) {
    return runOne(JSON.parse(readFileSync(values.plan, 'utf8')) as Plan);
  }
  if (values.seed === undefined) return runMany();
  const plan = drawPlan(number(values.seed, 'seed'));
  return values.shrink ? shrinkSeed(plan) : runOne(plan);
}

process.exitCode = (await main()) ? 0 : 1;
