/** Flags that tune a member do what they say. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ClassicLevel } from 'classic-level';
import { encodeCommand } from '../../../src/apply/request.ts';
import { CompactionRunner } from '../../../src/server/compaction-runner.ts';
import { ApplyWatch } from '../../../src/server/apply-watch.ts';
import { giveHeadStart } from '../../../src/server/raft-options.ts';
import { LevelDirectoryStore } from '../../../src/storage/level-directory.ts';
import { PrometheusMetrics } from '../../../src/telemetry/metrics.ts';
import { completion, result } from '../../../src/base/completion.ts';
import type { Engine } from '../../../src/storage/engine.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { silentMetrics } from '../../../src/base/metrics.ts';
import { RecordingLogger } from '../../support/api-port.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { VirtualCluster } from '../../support/virtual-cluster.ts';

async function metricOf(metrics: PrometheusMetrics, name: string): Promise<number> {
  const { text } = await metrics.scrape();
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
}

describe('--warning-apply-duration', () => {
  const data = encodeCommand(1n, {
    case: 'compaction',
    value: { revision: 5, physical: false },
  });

  function watched(warningApplyMs: number | undefined, tookMs: number) {
    const clock = new VirtualClock();
    vi.spyOn(clock, 'monotonicMs').mockReturnValueOnce(0).mockReturnValueOnce(tookMs);
    const logger = new RecordingLogger();
    const metrics = new PrometheusMetrics();
    const watch = new ApplyWatch({ clock, logger, metrics, warningApplyMs });
    watch.end(watch.begin(), data, undefined);
    return { logger, count: () => metricOf(metrics, 'etcd_server_slow_apply_total') };
  }

  test('tells of what takes longer, with its kind and size', async () => {
    const { logger, count } = watched(100, 100.5);
    expect(logger.lines).toMatchObject([
      {
        level: 'warn',
        fields: { tookMs: 100.5, expectedMs: 100, request: 'compaction', sizeBytes: data.length },
      },
    ]);
    expect(await count()).toBe(1);
  });

  test.each([
    [100, 100],
    [undefined, 1e9],
  ])('of %s ms is silent at %s ms', async (limitMs, tookMs) => {
    const { logger, count } = watched(limitMs, tookMs);
    expect(logger.lines).toEqual([]);
    expect(await count()).toBe(0);
  });
});

test('--compaction-batch-limit bounds what one step removes', () => {
  const clock = new VirtualClock();
  const limits: (number | undefined)[] = [];
  let work = (): void => {};
  new CompactionRunner({
    clock,
    metrics: silentMetrics,
    restMs: 10,
    batchLimit: 7,
    store: {
      finishedCompaction: 0,
      compactionStep: (removals) => {
        limits.push(removals);
        return limits.length < 3 ? 'more' : 'idle';
      },
      onCompactionWork: (listener) => {
        work = listener;
      },
    },
    pendingOperations: () => 0,
    changed: () => {},
    finished: () => {},
    flush: (done) => done(),
  });
  work();
  clock.advance(100);
  expect(limits).toEqual([7, 7, 7]);
});

describe('--initial-election-tick-advance', () => {
  function ticks(settings: { earlyFirstElection?: boolean; preVote: boolean }): number {
    let count = 0;
    giveHeadStart({ tick: () => count++ }, { electionMs: 1000, heartbeatMs: 100, ...settings });
    return count;
  }

  test('leaves one tick of the shortest election timeout', () => {
    expect(ticks({ earlyFirstElection: true, preVote: true })).toBe(9);
  });

  test('does nothing where an early election would disturb a leader', () => {
    expect(ticks({ earlyFirstElection: true, preVote: false })).toBe(0);
    expect(ticks({ earlyFirstElection: false, preVote: true })).toBe(0);
  });

  /** Milliseconds until three new members have a leader. */
  async function electionMs(seed: number, earlyFirstElection: boolean): Promise<number> {
    const cluster = new VirtualCluster({ seed, members: 3, member: { earlyFirstElection } });
    await cluster.until(() => cluster.leader !== undefined);
    return cluster.clock.monotonicMs();
  }

  test.each([1, 2, 3, 4, 5])(
    'brings the first election of a cluster forward (%i)',
    async (seed) => {
      expect(await electionMs(seed, false)).toBeGreaterThan(1000);
      expect(await electionMs(seed, true)).toBeLessThan(1000);
    },
  );
});

describe('--unsafe-no-fsync', () => {
  const batch = Reflect.get(ClassicLevel.prototype, 'batch') as (this: unknown) => {
    write: (options: object) => unknown;
  };
  let path: string;

  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'quorate-no-fsync-'));
  });

  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(path, { recursive: true });
  });

  /** Whether LevelDB was asked to sync a write of the log, and how many were measured. */
  async function write(unsafeNoFsync: boolean): Promise<{ synced: unknown; measured: number }> {
    const metrics = new PrometheusMetrics();
    const store = new LevelDirectoryStore({
      path: join(path, String(unsafeNoFsync)),
      clock: systemClock,
      logger: silentLogger,
      metrics,
      unsafeNoFsync,
    });
    await completion((done) => store.open(done));
    const engine = await result<Engine>((done) => store.openEngine('log', done));
    const asked: unknown[] = [];
    vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (this: unknown) {
      const made = batch.call(this);
      const original = made.write.bind(made);
      made.write = (options: object) => {
        asked.push(options);
        return original(options);
      };
      return made as never;
    });
    const value = Buffer.from('v');
    const operation = { type: 'put', key: Buffer.from('k'), value } as const;
    await completion((done) => engine.write([operation], true, done));
    await completion((done) => engine.close(done));
    await completion((done) => store.close(done));
    const measured = await metricOf(metrics, 'etcd_disk_wal_fsync_duration_seconds_count');
    expect(asked).toHaveLength(1);
    return { synced: (asked[0] as { sync: unknown }).sync, measured };
  }

  test('keeps writes from being synced, and from being measured as such', async () => {
    expect(await write(false)).toEqual({ synced: true, measured: 1 });
    expect(await write(true)).toEqual({ synced: false, measured: 0 });
  });
});
