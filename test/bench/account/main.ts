/** `npm run bench:account`: profiles members under load and writes where their time went. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { thisMachine } from '../machine.ts';
import { type Repository, wordsOf } from '../main.ts';
import { writeMeasurements, writePageTo } from '../measurements.ts';
import { chosen, positiveSeconds } from '../options.ts';
import { runTurn, type TurnOptions } from '../turn.ts';
import { workloadsOf } from '../workloads.ts';
import { accountOf, type WorkloadAccount } from './account.ts';
import { type AccountData, accountPageOf } from './page.ts';

const usage = `Profiles three members under load and writes docs/benchmarks-account.md:
what a request costs, by stage.

npm run bench:account -- [options]
  --workloads A,B   which (put-100,get-100); \`npm run bench -- --list\` names them
  --seconds N       how long each load goes on (10)
  --out DIR         where the page and its data go (docs)
  --directory DIR   where members keep their data and profiles (build/bench)
  --report          run nothing, only write the page again from its data
`;

const members = 3;
const warmUpSeconds = 3;

/** @param args as on the command line; resolves to the exit code */
export async function benchAccount(
  args: readonly string[],
  { root, commit }: Repository,
): Promise<number> {
  let options;
  try {
    options = optionsOf(args, root);
  } catch (error) {
    console.error(`${wordsOf(error)}\n\n${usage}`);
    return 2;
  }
  const { workloads, seconds, out, directory, report, help } = options;
  if (help) {
    console.log(usage);
    return 0;
  }
  const dataPath = join(out, 'benchmarks-account.json');
  if (!report) {
    for (const each of [directory, out]) mkdirSync(each, { recursive: true });
    const machine = thisMachine(directory);
    const begun = new Date().toISOString();
    const turn = {
      root,
      directory,
      warmUpSeconds,
      seconds,
      hasH2load: machine.h2load !== undefined,
    };
    const accounts: WorkloadAccount[] = [];
    const ceilings: Record<string, number> = {};
    for (const workload of workloads) {
      accounts.push(await profiled(workload, turn));
      if (!workload.ceiling) continue;
      const figures = await runTurn('constant', workload, { ...turn, members: 1 });
      ceilings[workload.name] = (figures.cpuSeconds / figures.operations) * 1e6;
    }
    const data: AccountData = { commit: commit(), begun, machine, accounts, ceilings };
    writeMeasurements(dataPath, data);
  }
  const data = JSON.parse(readFileSync(dataPath, 'utf8')) as AccountData;
  writePageTo(out, 'benchmarks-account.md', accountPageOf(data));
  return 0;
}

async function profiled(
  workload: ReturnType<typeof workloadsOf>[number],
  turn: Omit<TurnOptions, 'members' | 'profiles'>,
): Promise<WorkloadAccount> {
  const profiles = mkdtempSync(join(turn.directory, 'profiles-'));
  try {
    const figures = await runTurn('ours', workload, { ...turn, members, profiles });
    return accountOf(workload, figures, profiles);
  } finally {
    rmSync(profiles, { recursive: true });
  }
}

function optionsOf(
  args: readonly string[],
  root: string,
): {
  readonly workloads: ReturnType<typeof workloadsOf>;
  readonly seconds: number;
  readonly out: string;
  readonly directory: string;
  readonly report: boolean;
  readonly help: boolean;
} {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workloads: { type: 'string', default: 'put-100,get-100' },
      seconds: { type: 'string', default: '10' },
      out: { type: 'string', default: 'docs' },
      directory: { type: 'string', default: 'build/bench' },
      report: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { workloads: names, report, help } = values;
  const seconds = positiveSeconds(values.seconds);
  const all = workloadsOf({ quick: false, seconds: seconds + warmUpSeconds });
  return {
    workloads: chosen(all, names.split(',')),
    seconds,
    out: resolve(root, values.out),
    directory: resolve(root, values.directory),
    ...{ report, help },
  };
}
