/** `npm run sim:bugs`: plants one bug after the other and shows that seeds find each. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { PlantedBug } from './bug.ts';
import { hunt, type Hunted } from './hunt.ts';
import { laterBugs, plantedBugs } from './index.ts';
import { buildSound, plant } from './plant.ts';

const usage = `Plants known mistakes in the server and shows that the simulator finds each.

npm run sim:bugs -- [options] [id...]
  --from N         first seed (1)
  --seeds N        seeds for each bug before it counts as not caught (2000)
  --jobs N         bugs at a time (one a core)
  --json FILE      write the table there
  --keep           leave the builds with the bugs in build/bugs-...
  --list           list the bugs and run nothing
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '2000' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'string' },
    keep: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const root = process.cwd();
const commit = process.env['QUORATE_COMMIT'] ?? 'unknown';

function number(text: string, flag: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`--${flag} takes a positive whole number, not ${text}`);
  process.exit(2);
}

function wanted(): readonly PlantedBug[] {
  for (const id of positionals) {
    if (plantedBugs.some((bug) => bug.id === id)) continue;
    console.error(`there is no bug ${id}; --list shows them`);
    process.exit(2);
  }
  return plantedBugs.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
}

function lineOf({ id, mistake, rule, text, seed, seeds }: Hunted): string {
  const name = `${String(mistake).padStart(9)}  ${id.padEnd(32)}`;
  if (rule === undefined) return `${name} NOT CAUGHT within ${seeds} seeds`;
  return `${name} ${rule} at seed ${seed}, after ${seeds}: ${text.slice(0, 120)}`;
}

async function huntAll(bugs: readonly PlantedBug[]): Promise<Hunted[]> {
  const range = { from: number(values.from, 'from'), count: number(values.seeds, 'seeds') };
  // Within the project: the copies find its packages from there.
  const builds = mkdtempSync(join(root, 'build', 'bugs-'));
  const sound = join(builds, 'sound');
  buildSound(root, sound);
  const results: Hunted[] = [];
  const waiting = [...bugs];
  const work = async (): Promise<void> => {
    for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) {
      const directory = join(builds, bug.id);
      const found = await hunt(bug, plant(root, sound, directory, bug), range);
      if (!values.keep) rmSync(directory, { recursive: true });
      console.log(lineOf(found));
      results.push(found);
    }
  };
  await Promise.all(Array.from({ length: number(values.jobs, 'jobs') }, work));
  if (!values.keep) rmSync(builds, { recursive: true });
  const order = bugs.map(({ id }) => id);
  return results.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
}

async function main(): Promise<boolean> {
  if (values.help) {
    console.log(usage);
    return true;
  }
  const bugs = wanted();
  if (values.list) {
    for (const { id, mistake, title } of bugs) console.log(`${mistake}\t${id}\t${title}`);
    for (const { mistake, title, comesWith } of laterBugs) {
      console.log(`${mistake}\tcomes with ${comesWith}\t${title}`);
    }
    return true;
  }
  const results = await huntAll(bugs);
  const missed = results.filter(({ rule }) => rule === undefined);
  if (values.json !== undefined) {
    const table = { commit, node: process.version, bugs: results, later: laterBugs };
    writeFileSync(resolve(values.json), `${JSON.stringify(table, undefined, 2)}\n`);
  }
  const most = Math.max(0, ...results.map(({ seeds }) => seeds));
  console.log(`commit ${commit}: none took more than ${most} seeds`);
  console.log(`${results.length - missed.length} caught, ${missed.length} not caught`);
  return missed.length === 0;
}

process.exitCode = (await main()) ? 0 : 1;
