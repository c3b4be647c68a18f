/** Programs with Debian's python3-etcd3, on our members and on etcd's, whose leader is killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { etcdMissing, etcdVersion, startEtcd } from '../support/etcd.ts';
import { pythonMissing, pythonWithEtcd3 } from '../support/python.ts';
import { startQuorate } from '../support/quorate.ts';
import { leaderOf } from '../support/writers.ts';

const program = join(import.meta.dirname, 'programs', 'python_etcd3.py');

const servers = [
  { name: 'Quorate', start: startQuorate, isThere: pythonWithEtcd3 !== undefined },
  {
    name: `etcd${etcdMissing}`,
    start: startEtcd,
    isThere: pythonWithEtcd3 !== undefined && etcdVersion !== undefined,
  },
];

type Told = readonly (readonly [key: string, revision: number])[];

describe.each(servers)(`python3-etcd3${pythonMissing} on $name`, ({ start, isThere }) => {
  let cluster: ClusterProcess;

  beforeAll(async () => {
    if (isThere) cluster = await start({ members: 3 });
  });

  afterAll(async () => {
    if (isThere) await cluster.stop();
  });

  /** Runs a task of the program, through a kill of the leader if it waits for that. */
  async function run<Report>(task: string): Promise<Report> {
    const command = pythonWithEtcd3 ?? '';
    const args = [program, cluster.addresses.join(','), task];
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let problems = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (problems += text));
    const ended = once(child, 'close');
    let report = '';
    try {
      let leader = await leaderOf(cluster.members);
      for await (const line of createInterface({ input: child.stdout })) {
        if (line === 'working') {
          leader = await leaderOf(cluster.members);
          await leader.kill();
        } else if (line === 'recovered') {
          await leader.start();
          await leader.ready();
        } else {
          report = line;
          continue;
        }
        child.stdin.write('\n');
      }
    } finally {
      child.kill();
    }
    const [code] = (await ended) as [number | null];
    if (code !== 0 || report === '') throw new Error(`${task} ended with ${code}: ${problems}`);
    return JSON.parse(report) as Report;
  }

  const options = { timeout: 30_000 };

  test.skipIf(!isThere)('puts, gets, deletes and does transactions', options, async () => {
    expect(await run('crud')).toEqual({});
  });

  test.skipIf(!isThere)('writes, and watches all of it, through a kill', options, async () => {
    const { acknowledged, told, kept } = await run<{
      readonly acknowledged: Told;
      readonly told: Told;
      readonly kept: Readonly<Record<string, number>>;
    }>('watch');
    expect(acknowledged.length).toBeGreaterThanOrEqual(90);
    for (const [key, revision] of acknowledged) expect([key, kept[key]]).toEqual([key, revision]);
    // Every key was put once, whether that was acknowledged or not.
    const inOrder = Object.entries(kept).toSorted(([, a], [, b]) => a - b);
    expect(told).toEqual(inOrder);
  });

  test.skipIf(!isThere)('keeps a lease alive through a kill', options, async () => {
    expect(await run('lease')).toEqual({});
  });

  test.skipIf(!isThere)('locks, and only one at a time, through a kill', options, async () => {
    const { steps, last } = await run<{
      readonly steps: readonly number[];
      readonly last: number;
    }>('lock');
    expect(steps).toEqual([...new Set(steps)].toSorted((a, b) => a - b));
    expect(last).toBeGreaterThanOrEqual(steps.length);
  });

  test.skipIf(!isThere)('elects one at a time, through a kill', options, async () => {
    const { leaders } = await run<{ readonly leaders: readonly string[] }>('election');
    expect(new Set(leaders).size).toBe(leaders.length);
  });
});
