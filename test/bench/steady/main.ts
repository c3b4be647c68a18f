/** `npm run bench:steady`: members under half load, and the page of what they held. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { thisMachine } from '../machine.ts';
import { type Repository, wordsOf } from '../main.ts';
import { writeMeasurements, writePageTo } from '../measurements.ts';
import { wholeNumber } from '../options.ts';
import { turnText } from '../scale/turns.ts';
import type { SteadyMeasurements, SteadyWindow } from './figures.ts';
import { steadyPageOf } from './page.ts';
import { runSteady } from './scenario.ts';

const usage = `Puts to three members at half of the rate that they can take, looks at
what they hold meanwhile, and writes docs/benchmarks-steady.md.

npm run bench:steady -- [options]
  --windows N         parts of the time that are looked at by themselves (15)
  --window-seconds N  how long each is (120)
  --keys N            how many keys are put to (100000)
  --out DIR           where the page and its data go (docs)
  --directory DIR     where members keep their data (build/bench): on the disk that is measured
  --report            run nothing, only write the page again from its data
`;

interface SteadyBenchOptions {
  readonly windows: number;
  readonly windowSeconds: number;
  readonly keys: number;
  readonly out: string;
  readonly directory: string;
  readonly report: boolean;
  readonly help: boolean;
}

function optionsOf(args: readonly string[], root: string): SteadyBenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      windows: { type: 'string', default: '15' },
      'window-seconds': { type: 'string', default: '120' },
      keys: { type: 'string', default: '100000' },
      out: { type: 'string', default: 'docs' },
      directory: { type: 'string', default: 'build/bench' },
      report: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    windows: wholeNumber(values.windows, 'windows'),
    windowSeconds: wholeNumber(values['window-seconds'], 'window-seconds'),
    keys: wholeNumber(values.keys, 'keys'),
    out: resolve(root, values.out),
    directory: resolve(root, values.directory),
    report: values.report,
    help: values.help,
  };
}

/** @param args as on the command line; resolves to the exit code */
export async function benchSteady(
  args: readonly string[],
  { root, commit }: Repository,
): Promise<number> {
  let options: SteadyBenchOptions;
  try {
    options = optionsOf(args, root);
  } catch (error) {
    console.error(`${wordsOf(error)}\n\n${usage}`);
    return 2;
  }
  const { out, directory, report, help, keys } = options;
  if (help) {
    console.log(usage);
    return 0;
  }
  const dataPath = join(out, 'benchmarks-steady.json');
  if (!report) {
    for (const each of [directory, out]) mkdirSync(each, { recursive: true });
    const machine = thisMachine(directory);
    const [measured, begun] = [commit(), new Date().toISOString()];
    const windows: SteadyWindow[] = [];
    let rates = { highestPerSecond: 0, perSecond: 0 };
    await runSteady({
      ...{ root, directory, keys },
      windows: options.windows,
      windowSeconds: options.windowSeconds,
      rates: (highestPerSecond, perSecond) => {
        rates = { highestPerSecond, perSecond };
        console.log(`${perSecond} puts a second of ${highestPerSecond}`);
      },
      measured: (window) => {
        windows.push(window);
        const { untilSeconds, latencies, holdings, longestTurnMs } = window;
        console.log(
          `${untilSeconds} s: put p99 ${latencies.p99.toFixed(1)} ms, ` +
            `${(holdings.residentBytes / 1e6).toFixed(0)} MB resident, ` +
            `longest turn ${turnText(longestTurnMs)} ms`,
        );
        // What was measured is there for `--report`, whatever ends the rest.
        writeMeasurements(dataPath, {
          ...{ commit: measured, begun, machine, keys, windows },
          ...rates,
        });
      },
    });
  }
  const data = JSON.parse(readFileSync(dataPath, 'utf8')) as SteadyMeasurements;
  writePageTo(out, 'benchmarks-steady.md', steadyPageOf(data));
  return 0;
}
