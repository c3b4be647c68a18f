/** `npm run bench:scale`: the scenario for each system and number of keys, and the page of it. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { thisMachine } from '../machine.ts';
import { type Repository, wordsOf } from '../main.ts';
import { writeMeasurements, writePageTo } from '../measurements.ts';
import { wholeNumber } from '../options.ts';
import type { MemberSystem } from '../systems.ts';
import type { ScaleMeasurements, ScaleTurn } from './figures.ts';
import { scalePageOf } from './page.ts';
import { runScale } from './scenario.ts';

const usage = `Measures what many keys cost Quorate, beside etcd where that is installed,
and writes docs/benchmarks-scale.md.

npm run bench:scale -- [options]
  --keys A,B        how many (1000000,5000000)
  --only SYSTEM     ours, etcd
  --quiet-seconds N how long puts are measured with nothing else going on (20)
  --out DIR         where the page and its data go (docs)
  --directory DIR   where members keep their data (build/bench): on the disk that is measured
  --report          run nothing, only write the page again from its data
`;

interface ScaleBenchOptions {
  readonly keys: readonly number[];
  readonly systems: readonly MemberSystem[];
  readonly quietSeconds: number;
  readonly out: string;
  readonly directory: string;
  readonly report: boolean;
  readonly help: boolean;
}

const allSystems = ['ours', 'etcd'] as const;

function optionsOf(args: readonly string[], root: string): ScaleBenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      keys: { type: 'string', default: '1000000,5000000' },
      only: { type: 'string' },
      'quiet-seconds': { type: 'string', default: '20' },
      out: { type: 'string', default: 'docs' },
      directory: { type: 'string', default: 'build/bench' },
      report: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { keys, only, report, help } = values;
  const systems = allSystems.filter((name) => only === undefined || name === only);
  if (systems.length === 0) throw new Error(`--only takes ${allSystems.join(', ')}, not ${only}`);
  return {
    keys: keys.split(',').map((text) => wholeNumber(text, 'keys')),
    systems,
    quietSeconds: wholeNumber(values['quiet-seconds'], 'quiet-seconds'),
    out: resolve(root, values.out),
    directory: resolve(root, values.directory),
    ...{ report, help },
  };
}

/** @param args as on the command line; resolves to the exit code */
export async function benchScale(args: readonly string[], repository: Repository): Promise<number> {
  let options: ScaleBenchOptions;
  try {
    options = optionsOf(args, repository.root);
  } catch (error) {
    console.error(`${wordsOf(error)}\n\n${usage}`);
    return 2;
  }
  const { out, report, help } = options;
  const dataPath = join(out, 'benchmarks-scale.json');
  const writePage = (data: ScaleMeasurements): void =>
    writePageTo(out, 'benchmarks-scale.md', scalePageOf(data));
  if (help) console.log(usage);
  else if (report) {
    writePage(JSON.parse(readFileSync(dataPath, 'utf8')) as ScaleMeasurements);
  } else {
    const measurements = await measure(options, repository, dataPath);
    writePage(measurements);
    return measurements.turns.some(({ failed }) => failed !== undefined) ? 1 : 0;
  }
  return 0;
}

async function measure(
  { keys: amounts, systems, quietSeconds, out, directory }: ScaleBenchOptions,
  { root, commit }: Repository,
  dataPath: string,
): Promise<ScaleMeasurements> {
  for (const each of [directory, out]) mkdirSync(each, { recursive: true });
  const machine = thisMachine(directory);
  if (machine.etcd === undefined) console.log('etcd is not installed: nothing to compare with');
  const begun = new Date().toISOString();
  const turns: ScaleTurn[] = [];
  const measurements = { commit: commit(), begun, machine, turns };
  for (const keys of amounts) {
    for (const system of systems) {
      if (system === 'etcd' && machine.etcd === undefined) continue;
      const log = (line: string): void => console.log(`${keys} keys, ${system}: ${line}`);
      try {
        const options = { root, directory, keys, quietSeconds, log };
        turns.push({ system, keys, figures: await runScale(system, options) });
      } catch (error) {
        log(`FAILED: ${wordsOf(error)}`);
        turns.push({ system, keys, failed: wordsOf(error) });
      }
      // What was measured is there for `--report`, whatever ends the rest.
      writeMeasurements(dataPath, measurements);
    }
  }
  return measurements;
}
