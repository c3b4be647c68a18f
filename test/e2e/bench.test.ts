/** Whether the benchmark works: small and short, with all its checks, and no time is judged. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { bench } from '../bench/main.ts';
import type { Measurements } from '../bench/measurements.ts';
import type { ScaleMeasurements } from '../bench/scale/figures.ts';
import { benchScale } from '../bench/scale/main.ts';
import { etcdVersion } from '../support/etcd.ts';

const root = join(import.meta.dirname, '..', '..');
const out = mkdtempSync(join(tmpdir(), 'quorate-bench-test-'));
afterAll(() => rmSync(out, { recursive: true }));

const timeLimitMs = 180_000;

test(
  'a quick benchmark measures and checks every system that is installed',
  { timeout: timeLimitMs },
  async () => {
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const project = join(root, 'test', 'bench');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', project], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(status).toBe(0);

    vi.spyOn(console, 'log').mockImplementation(() => undefined);
    const args = ['--quick', '--out', out, '--directory', join(out, 'data')];
    const code = await bench(args, { root, commit: () => 'a test' });
    const text = readFileSync(join(out, 'benchmarks.json'), 'utf8');
    const { turns } = JSON.parse(text) as Measurements;
    expect(turns.flatMap(({ failed }) => failed ?? [])).toEqual([]);
    expect(code).toBe(0);

    const ours = turns.filter(({ system }) => system === 'ours');
    expect(ours.map(({ workload }) => workload)).toEqual([
      'put-100',
      'get-100',
      'mixed',
      'swap',
      'watch-shared',
      'keep-alive',
      'put-follower-10',
    ]);
    const theirs = turns.filter(({ system }) => system === 'etcd');
    expect(theirs).toHaveLength(etcdVersion === undefined ? 0 : ours.length);
    expect(turns.filter(({ system }) => system === 'constant')).toHaveLength(2);
    for (const { figures } of turns) {
      expect(figures?.operations).toBeGreaterThan(0);
      expect(figures?.peakBytes).toBeGreaterThan(1e6);
    }
    expect(readFileSync(join(out, 'benchmarks.md'), 'utf8')).toContain('put 256 B, 100 in flight');
  },
);

test(
  'a scenario with few keys measures and checks every system that is installed',
  { timeout: timeLimitMs },
  async () => {
    vi.spyOn(console, 'log').mockImplementation(() => undefined);
    const directory = join(out, 'data');
    const args = ['--keys', '2000', '--quiet-seconds', '1', '--out', out];
    const repository = { root, commit: () => 'a test' };
    const code = await benchScale([...args, '--directory', directory], repository);
    const text = readFileSync(join(out, 'benchmarks-scale.json'), 'utf8');
    const { turns } = JSON.parse(text) as ScaleMeasurements;
    expect(turns.flatMap(({ failed }) => failed ?? [])).toEqual([]);
    expect(code).toBe(0);
    expect(turns).toHaveLength(etcdVersion === undefined ? 1 : 2);
    for (const { system, figures } of turns) {
      expect(figures?.phases.join.latencies?.p50).toBeGreaterThan(0);
      expect(figures?.fullBytes).toBeGreaterThan(1e6);
      // It is in the members, and so a start is among the turns.
      if (system === 'ours') expect(figures?.phases.restart.longestTurnMs).toBeGreaterThan(20);
    }
    expect(readFileSync(join(out, 'benchmarks-scale.md'), 'utf8')).toContain('## 2,000 keys');
  },
);
