/** What comes of a run of the benchmark: the data behind the page. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Latencies } from './statistics.ts';
import type { SystemName } from './systems.ts';

/** What one system did with one workload, once. */
export interface Turn {
  readonly workload: string;
  readonly members: number;
  readonly system: SystemName;
  readonly round: number;
  /** Why it counts as failed; there are no figures then. */
  readonly failed?: string;
  readonly figures?: Figures;
}

export interface Figures {
  readonly generator: 'h2load' | 'client' | 'etcdctl';
  /** Calls, events or renewals, all of which were checked. */
  readonly operations: number;
  readonly seconds: number;
  /** Of all members. */
  readonly cpuSeconds: number;
  /** Sum of the most that each member held. */
  readonly peakBytes: number;
  /** Of a core, for each process of the generator. */
  readonly generatorShare: number;
  readonly latencies?: Latencies;
  /** Of each member of ours, if they were profiled. */
  readonly usages?: MemberUsages;
  /** Of a generator that judges. */
  readonly verdict?: { readonly passed: boolean; readonly lines: readonly string[] };
}

/** CPU time of members during a load. */
export interface MemberUsages {
  /** Begin and end, in microseconds of the system's monotonic clock. */
  readonly fromUs: number;
  readonly untilUs: number;
  readonly members: readonly MemberUsage[];
}

/** In seconds. */
export interface MemberUsage {
  /** As the file of its profile has it: with `-leader` at the end for that one. */
  readonly name: string;
  /** Of the thread of the event loop. */
  readonly main: number;
  /** The part of that which the kernel took. */
  readonly mainSystem: number;
  /** Of all other threads: LevelDB's, libuv's, the collector's. */
  readonly others: number;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Processes that ran or waited for a core in the minute before: others disturb. */
  readonly loadAverage: number;
  readonly kernel: string;
  /** Below the members' data. */
  readonly fileSystem: string;
  readonly node: string;
  readonly etcd: string | undefined;
  readonly h2load: string | undefined;
}

export interface Measurements {
  readonly commit: string;
  /** As in ISO 8601. */
  readonly begun: string;
  readonly seconds: number;
  readonly rounds: number;
  readonly machine: Machine;
  /** In the order of the page: by name, what they are. */
  readonly workloads: readonly { readonly name: string; readonly title: string }[];
  readonly turns: readonly Turn[];
}

export function writeMeasurements(path: string, measurements: object): void {
  writeFileSync(path, `${JSON.stringify(measurements, undefined, 1)}\n`);
}

/** Writes a page and says where. */
export function writePageTo(out: string, name: string, text: string): void {
  const path = join(out, name);
  writeFileSync(path, text);
  console.log(`written: ${path}`);
}

export function readMeasurements(path: string): Measurements {
  return JSON.parse(readFileSync(path, 'utf8')) as Measurements;
}
