/** `npm run bench`: all turns that are asked for, and the page of what came of them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasEtcdctl } from '../support/etcd.ts';
import { thisMachine } from './machine.ts';
import {
  type Figures,
  type Machine,
  type Measurements,
  readMeasurements,
  type Turn,
  writeMeasurements,
  writePageTo,
} from './measurements.ts';
import { type BenchOptions, benchOptions, chosen, usage } from './options.ts';
import { pageOf } from './page.ts';
import type { SystemName } from './systems.ts';
import { runTurn } from './turn.ts';
import { type Workload, workloadsOf } from './workloads.ts';

/** What the scripts know of the repository. */
export interface Repository {
  readonly root: string;
  /** What is checked out, with a `+` if files differ from it. */
  readonly commit: () => string;
}

/** @param args as on the command line; resolves to the exit code */
export async function bench(args: readonly string[], repository: Repository): Promise<number> {
  let options: BenchOptions;
  let workloads: readonly Workload[];
  try {
    options = benchOptions(args, repository.root);
    workloads = wantedWorkloads(options);
  } catch (error) {
    console.error(`${wordsOf(error)}\n\n${usage}`);
    return 2;
  }
  if (options.help) console.log(usage);
  else if (options.list) for (const { name, title } of workloads) console.log(`${name}: ${title}`);
  else if (options.report) writePage(options, readMeasurements(dataPath(options)));
  else return new Bench(options, workloads, repository).run();
  return 0;
}

function wantedWorkloads({
  quick,
  seconds,
  warmUpSeconds,
  workloads,
}: BenchOptions): readonly Workload[] {
  const all = workloadsOf({ quick, seconds: seconds + warmUpSeconds });
  if (workloads !== undefined) return chosen(all, workloads);
  return quick ? all.filter((workload) => workload.quick) : all;
}

/** What a person is told of an error. */
export const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const dataPath = ({ out }: BenchOptions): string => join(out, 'benchmarks.json');

/** Which workload is measured next, and on what. */
interface Planned {
  readonly workload: Workload;
  readonly members: number;
  readonly system: SystemName;
  readonly round: number;
}

class Bench {
  readonly #options: BenchOptions;
  readonly #workloads: readonly Workload[];
  readonly #repository: Repository;

  constructor(options: BenchOptions, workloads: readonly Workload[], repository: Repository) {
    this.#options = options;
    this.#workloads = workloads;
    this.#repository = repository;
  }

  async run(): Promise<number> {
    const { directory, out, json, seconds, rounds } = this.#options;
    for (const each of [directory, out]) mkdirSync(each, { recursive: true });
    const machine = thisMachine(directory);
    if (machine.etcd === undefined) console.log('etcd is not installed: nothing to compare with');
    if (machine.h2load === undefined) console.log('h2load is not installed: our client stands in');
    const turns: Turn[] = [];
    const measurements: Measurements = {
      commit: this.#repository.commit(),
      begun: new Date().toISOString(),
      ...{ seconds, rounds, machine },
      workloads: this.#workloads.map(({ name, title }) => ({ name, title })),
      turns,
    };
    for (const planned of this.#plan(machine)) {
      turns.push(await this.#turn(planned, machine.h2load !== undefined));
      // What was measured is there for `--report`, whatever ends the rest.
      writeMeasurements(dataPath(this.#options), measurements);
    }
    if (json !== undefined) writeMeasurements(json, measurements);
    writePage(this.#options, measurements);
    const failures = turns.filter(({ failed }) => failed !== undefined).length;
    console.log(`${turns.length - failures} turns measured, ${failures} failed`);
    return failures > 0 || turns.length === 0 ? 1 : 0;
  }

  /** Everything once a round; who begins changes, so that nobody always has what the other left. */
  #plan({ etcd, h2load }: Machine): Planned[] {
    const { members: sizes, rounds, quick } = this.#options;
    const workloads = this.#workloads.filter(({ generator }) => {
      if (generator.kind === 'check-perf') return hasEtcdctl;
      // Our client knows no rates.
      return generator.kind !== 'repeat' || !generator.atHalf || h2load !== undefined;
    });
    const plan: Planned[] = [];
    for (let round = 1; round <= rounds; round++) {
      for (const members of sizes) {
        for (const workload of workloads) {
          if (workload.to === 'follower' && members === 1) continue;
          // For the smoke test one cluster of each kind of call is enough.
          if (quick && workload.to === 'leader' && members > 1) continue;
          // It takes its minute whatever the members do: no need to repeat it.
          if (workload.generator.kind === 'check-perf' && round > 1) continue;
          const systems = this.#systems(workload, members, etcd !== undefined);
          if (round % 2 === 0) systems.reverse();
          plan.push(...systems.map((system) => ({ workload, members, system, round })));
        }
      }
    }
    return plan;
  }

  #systems({ ceiling }: Workload, members: number, hasEtcd: boolean): SystemName[] {
    const all: SystemName[] = ['ours'];
    if (hasEtcd) all.push('etcd');
    if (ceiling && members === 1) all.push('constant');
    return all.filter((name) => this.#options.only === undefined || name === this.#options.only);
  }

  async #turn({ workload, members, system, round }: Planned, hasH2load: boolean): Promise<Turn> {
    const { profile, warmUpSeconds, seconds, directory } = this.#options;
    const { root } = this.#repository;
    const turn = { workload: workload.name, members, system, round };
    const name = `${workload.name}, ${members} member${members > 1 ? 's' : ''}, ${system}`;
    const profiles =
      profile === undefined
        ? undefined
        : join(profile, `${workload.name}-${members}-members-round-${round}`);
    try {
      const limits = { warmUpSeconds, seconds, hasH2load };
      const options = { root, directory, members, profiles, ...limits };
      const figures = await runTurn(system, workload, options);
      console.log(`${name}: ${summaryOf(figures)}`);
      return { ...turn, figures };
    } catch (error) {
      console.log(`${name}: FAILED: ${wordsOf(error)}`);
      return { ...turn, failed: wordsOf(error) };
    }
  }
}

function summaryOf({ operations, seconds, cpuSeconds, latencies, verdict }: Figures): string {
  const parts = [
    `${Math.round(operations / seconds)} a second`,
    `${((cpuSeconds / operations) * 1e6).toFixed(0)} µs of CPU each`,
  ];
  if (latencies !== undefined) {
    parts.push(`p50 ${latencies.p50.toFixed(2)} ms, p99 ${latencies.p99.toFixed(2)} ms`);
  }
  if (verdict !== undefined) parts.push(verdict.passed ? 'PASS' : 'FAIL');
  return parts.join(', ');
}

function writePage({ out }: BenchOptions, measurements: Measurements): void {
  const { text, charts } = pageOf(measurements);
  for (const [name, chart] of charts) writeFileSync(join(out, name), chart);
  writePageTo(out, 'benchmarks.md', text);
}
