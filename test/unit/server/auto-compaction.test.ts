/** When history is compacted by itself, and how far. */
import { beforeEach, describe, expect, test } from 'vitest';
import { EtcdError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { AutoCompaction, type AutoCompactionMode } from '../../../src/server/auto-compaction.ts';
import { VirtualCluster } from '../../support/virtual-cluster.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

let clock: VirtualClock;
let leads: boolean;
let failure: Error | undefined;
/** Minute and revision of each compaction. */
let compactions: [number, number][];

beforeEach(() => {
  clock = new VirtualClock();
  leads = true;
  failure = undefined;
  compactions = [];
});

function begin(mode: AutoCompactionMode, revision: () => number): AutoCompaction {
  const compaction = new AutoCompaction({
    clock,
    logger: silentLogger,
    mode,
    isLeader: () => leads,
    revision,
    compact: (target) => {
      if (failure !== undefined) return Promise.reject(failure);
      compactions.push([clock.monotonicMs() / minuteMs, target]);
      return Promise.resolve();
    },
  });
  compaction.start();
  return compaction;
}

/** One revision a minute. */
const perMinute = (): number => 1 + Math.floor(clock.monotonicMs() / minuteMs);

async function pass(ms: number): Promise<void> {
  const endMs = clock.monotonicMs() + ms;
  while (clock.monotonicMs() < endMs) {
    clock.advance(minuteMs / 2);
    for (let i = 0; i < 8; i++) await Promise.resolve();
  }
}

describe('periodically', () => {
  test('every hour, to where the store was a retention ago', async () => {
    begin({ mode: 'periodic', retentionMs: 3 * hourMs }, perMinute);
    await pass(3 * hourMs - minuteMs);
    expect(compactions).toEqual([]);
    await pass(3 * hourMs);
    expect(compactions).toEqual([
      [180, 1],
      [240, 55],
      [300, 115],
    ]);
  });

  test('as often as the retention, if that is shorter than an hour', async () => {
    begin({ mode: 'periodic', retentionMs: 10 * minuteMs }, perMinute);
    await pass(35 * minuteMs);
    expect(compactions).toEqual([
      [10, 1],
      [20, 10],
      [30, 20],
    ]);
  });

  test('only while the member leads, and then from what it noted before', async () => {
    leads = false;
    begin({ mode: 'periodic', retentionMs: 10 * minuteMs }, perMinute);
    await pass(45 * minuteMs);
    expect(compactions).toEqual([]);
    leads = true;
    await pass(2 * minuteMs);
    expect(compactions).toEqual([[46, 36]]);
  });

  test('again soon after it failed; that it was done already is no failure', async () => {
    begin({ mode: 'periodic', retentionMs: 10 * minuteMs }, perMinute);
    failure = new EtcdError('timeout');
    await pass(10 * minuteMs);
    failure = undefined;
    await pass(2 * minuteMs);
    expect(compactions).toEqual([[11, 1]]);
    failure = new EtcdError('compacted');
    await pass(10 * minuteMs);
    failure = undefined;
    await pass(8 * minuteMs);
    expect(compactions).toHaveLength(1);
    await pass(2 * minuteMs);
    expect(compactions).toHaveLength(2);
  });
});

describe('periodically, in a cluster that nobody writes to', () => {
  test('once, and then as soon as there is a note of something new', async () => {
    let revision = 5;
    begin({ mode: 'periodic', retentionMs: 10 * minuteMs }, () => revision);
    await pass(125 * minuteMs);
    expect(compactions).toEqual([[10, 5]]);
    revision = 9;
    await pass(14 * minuteMs);
    expect(compactions).toEqual([
      [10, 5],
      [137, 9],
    ]);
  });

  test('not where a leader before has compacted as far', async () => {
    failure = new EtcdError('compacted');
    begin({ mode: 'periodic', retentionMs: 10 * minuteMs }, () => 5);
    await pass(15 * minuteMs);
    failure = undefined;
    await pass(60 * minuteMs);
    expect(compactions).toEqual([]);
  });
});

describe('by revision', () => {
  test('every five minutes, leaving as many as the retention says', async () => {
    begin({ mode: 'revision', retentionRevisions: 8 }, perMinute);
    await pass(16 * minuteMs);
    expect(compactions).toEqual([
      [10, 3],
      [15, 8],
    ]);
  });

  test('not without something new, nor while another leads', async () => {
    let revision = 20;
    begin({ mode: 'revision', retentionRevisions: 8 }, () => revision);
    await pass(30 * minuteMs);
    expect(compactions).toEqual([[5, 12]]);
    leads = false;
    revision = 30;
    await pass(10 * minuteMs);
    expect(compactions).toHaveLength(1);
    leads = true;
    await pass(5 * minuteMs);
    expect(compactions[1]?.[1]).toBe(22);
  });
});

test('not at all after the end, and not where it is off', async () => {
  begin({ mode: 'off' }, perMinute);
  begin({ mode: 'revision', retentionRevisions: 1 }, perMinute).stop();
  await pass(hourMs);
  expect(compactions).toEqual([]);
});

test('a cluster compacts itself', async () => {
  const cluster = new VirtualCluster({
    seed: 1,
    member: { autoCompaction: { mode: 'periodic', retentionMs: 2_000 } },
  });
  await cluster.until(() => cluster.leader !== undefined);
  await cluster.until(() =>
    cluster.members.every(({ running }) => (running?.store.compactedRevision ?? 0) >= 1),
  );
  expect(cluster.members.every(({ failure: none }) => none === undefined)).toBe(true);
});
