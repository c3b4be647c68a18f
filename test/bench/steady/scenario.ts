/** Members under half of the load that they can take, for long: whether they hold more and more. */
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterProcess, MemberProcess } from '../../support/cluster-process.ts';
import { metricIn, metricsOf } from '../../support/member-metrics.ts';
import { runClient } from '../client.ts';
import { putKeys } from '../prepare.ts';
import { residentBytes } from '../resources.ts';
import { withMeteredMembers } from '../scale/metered-members.ts';
import { PacedPuts } from '../scale/paced-puts.ts';
import { longestTurnMs } from '../scale/turns.ts';
import { leaderOf } from '../systems.ts';
import { holdingsOf, type Holdings, type SteadyWindow } from './figures.ts';

/** What `runClient` puts to. */
const prefix = 'random';
/** History is forgotten while the run goes on, as it is where members run for long. */
const flags = ['--auto-compaction-mode=periodic', '--auto-compaction-retention=1m'];
const inFlight = 100;
const connections = 10;
const warmUpSeconds = 5;
const highestSeconds = 10;
const samplesPerWindow = 12;
/** The unit of `stat`, whatever the file system has. */
const blockBytes = 512;

export interface SteadyOptions {
  readonly root: string;
  readonly directory: string;
  readonly keys: number;
  readonly windows: number;
  readonly windowSeconds: number;
  /** Told once, before the load begins. */
  readonly rates: (highestPerSecond: number, perSecond: number) => void;
  readonly measured: (window: SteadyWindow) => void;
}

/** @throws Error if a put failed */
export async function runSteady(options: SteadyOptions): Promise<void> {
  const { root, directory } = options;
  await withMeteredMembers('ours', { root, directory, prefix: 'steady-', flags }, (cluster, own) =>
    loadAndLook(cluster, own, options),
  );
}

async function loadAndLook(
  cluster: ClusterProcess,
  directory: string,
  { root, keys, windows, windowSeconds, rates, measured }: SteadyOptions,
): Promise<void> {
  const address = cluster.addresses[await leaderOf(cluster.addresses)] ?? '';
  await putKeys(address, prefix, keys);
  const load = { kind: 'unary', operation: 'put', inFlight, keys } as const;
  const run = { load, address, connections, warmUpSeconds, seconds: highestSeconds };
  const { operations, seconds } = await runClient(run, root, () => Promise.resolve());
  const highestPerSecond = Math.round(operations / seconds);
  const perSecond = Math.round(highestPerSecond / 2);
  rates(highestPerSecond, perSecond);

  const names = cluster.members.map(({ name }) => name);
  const puts = await PacedPuts.start(address, { prefix, keys, perSecond });
  const startMs = performance.now();
  try {
    for (let window = 1; window <= windows; window++) {
      const fromMs = Date.now();
      const samples: (readonly Holdings[])[] = [];
      const beginMs = startMs + (window - 1) * windowSeconds * 1000;
      for (let i = 1; i <= samplesPerWindow; i++) {
        const untilMs = beginMs + (i * windowSeconds * 1000) / samplesPerWindow;
        await delay(Math.max(0, untilMs - performance.now()));
        samples.push(await holdings(cluster.members));
      }
      const { answered, latencies } = puts.take();
      measured({
        untilSeconds: window * windowSeconds,
        puts: answered,
        latencies,
        holdings: holdingsOf(samples),
        longestTurnMs: longestTurnMs(directory, names, fromMs, Date.now()),
      });
    }
  } catch (error) {
    await puts.stop().catch(() => undefined);
    throw error;
  }
  await puts.stop();
}

async function holdings(running: readonly MemberProcess[]): Promise<Holdings[]> {
  return Promise.all(
    running.map(async (member): Promise<Holdings> => {
      const text = await metricsOf(member);
      return {
        residentBytes: residentBytes(member.pid ?? 0),
        heapBytes: valueIn(text, 'nodejs_heap_size_used_bytes'),
        externalBytes: valueIn(text, 'nodejs_external_memory_bytes'),
        openFiles: valueIn(text, 'process_open_fds'),
        diskBytes: diskBytes(member.dataDir),
      };
    }),
  );
}

function valueIn(text: string, name: string): number {
  const value = metricIn(text, name);
  if (value === undefined) throw new Error(`${name} is not among the metrics of a member`);
  return Number(value);
}

/** Members remove files and databases meanwhile. */
function diskBytes(directory: string): number {
  let bytes = 0;
  for (const entry of entriesOf(directory)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += diskBytes(path);
    else bytes += (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * blockBytes;
  }
  return bytes;
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
