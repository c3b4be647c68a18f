import { describe, expect, test } from 'vitest';
import type { Figures, Measurements, Turn } from '../../bench/measurements.ts';
import { pageOf } from '../../bench/page.ts';
import { rowsOf } from '../../bench/summary.ts';
import { machine } from './machine.ts';

function figures(perSecond: number, more: Partial<Figures> = {}): Figures {
  return {
    generator: 'h2load',
    operations: perSecond * 5,
    seconds: 5,
    cpuSeconds: 5,
    peakBytes: 50e6,
    generatorShare: 0.4,
    ...more,
  };
}

function turn(
  system: Turn['system'],
  round: number,
  perSecond: number,
  more?: Partial<Figures>,
): Turn {
  return { workload: 'put', members: 1, system, round, figures: figures(perSecond, more) };
}

function measured(turns: readonly Turn[]): Measurements {
  return {
    commit: 'abc1234',
    begun: '2026-01-01T00:00:00.000Z',
    seconds: 5,
    rounds: 3,
    machine,
    workloads: [
      { name: 'put', title: 'put 256 B' },
      { name: 'check', title: 'etcdctl check perf' },
    ],
    turns,
  };
}

const threeRounds = [
  turn('ours', 1, 600),
  turn('etcd', 1, 1000),
  turn('etcd', 2, 1000),
  turn('ours', 2, 900),
  turn('ours', 3, 1),
  turn('etcd', 3, 1500),
];

describe('rows', () => {
  test('compare medians, and the systems in each round', () => {
    const [row] = rowsOf(measured(threeRounds), 1);
    expect(row?.systems.ours?.perSecond).toBe(600);
    expect(row?.systems.etcd?.perSecond).toBe(1000);
    expect(row?.rateRatio).toBe(0.6);
    expect(row?.rateRatios).toEqual([0.6, 0.9, 1 / 1500]);
    expect(row?.ceilingRatio).toBeUndefined();
  });

  test('CPU seconds are for a million operations', () => {
    const [row] = rowsOf(
      measured([turn('ours', 1, 1000, { cpuSeconds: 1 }), turn('etcd', 1, 1000)]),
      1,
    );
    expect(row?.systems.ours?.cpuPerMillion).toBe(200);
    expect(row?.cpuRatio).toBe(0.2);
  });

  test('a failed turn has no part in them', () => {
    const failed: Turn = {
      workload: 'put',
      members: 1,
      system: 'etcd',
      round: 1,
      failed: 'revisions',
    };
    const [row] = rowsOf(measured([turn('ours', 1, 10), failed]), 1);
    expect([row?.systems.etcd, row?.rateRatio, row?.rateRatios]).toEqual([
      undefined,
      undefined,
      [],
    ]);
  });

  test('a generator above 70 % of its core is named', () => {
    const turns = [
      turn('ours', 1, 9, { generatorShare: 0.7 }),
      turn('etcd', 1, 9, { generatorShare: 0.83 }),
    ];
    expect(rowsOf(measured(turns), 1)[0]?.busyGenerators).toEqual(['etcd 83 %']);
  });
});

describe('the page', () => {
  test('has a table and charts for each size of cluster', () => {
    const three = threeRounds.map((each) => ({ ...each, members: 3 }));
    const { text, charts } = pageOf(measured([...threeRounds, ...three]));
    expect(text).toContain('| put 256 B | 600 | 1,000 | **0.60** |');
    expect(text).toContain('## One member\n');
    expect(text).toContain('## 3 members\n');
    expect([...charts.keys()]).toEqual([
      'benchmarks-rate-1.svg',
      'benchmarks-cpu-1.svg',
      'benchmarks-rate-3.svg',
      'benchmarks-cpu-3.svg',
    ]);
    // Three rounds, and one of them far to the left.
    const [rate = ''] = charts.values();
    expect(rate.match(/<circle/g)).toHaveLength(3);
    expect(rate).toContain('>0.0001<');
    for (const name of charts.keys()) expect(text).toContain(`](${name})`);
  });

  test('says which turns failed and why, and which generators were busy', () => {
    const failed = 'revisions: 9, expected 10\nmore';
    const turns: Turn[] = [
      { workload: 'put', members: 1, system: 'etcd', round: 2, failed },
      turn('ours', 1, 10, { generatorShare: 0.91 }),
    ];
    const { text, charts } = pageOf(measured(turns));
    expect(text).toContain('- `put`, 1 member, etcd, round 2: revisions: 9, expected 10\n');
    expect(text).toContain('| put 256 B * | 10 |  |  |');
    expect(text).toContain('- `put`, 1 member: ours 91 %\n');
    expect(charts.size).toBe(0);
  });

  test('compares with the ceiling', () => {
    const { text } = pageOf(measured([turn('ours', 1, 900), turn('constant', 1, 1000)]));
    expect(text).toContain('| put 256 B | 900 | 1,000 | 0.90 | 1,000 |');
  });

  test('has the verdicts of etcdctl, and not among the rates', () => {
    const verdict = { passed: false, lines: ['FAIL: Throughput too low: 87 writes/s'] };
    const judged = { ...turn('ours', 1, 87, { verdict }), workload: 'check' };
    const { text } = pageOf(measured([turn('ours', 1, 10), judged]));
    expect(text).toContain(
      '| check | 1 | ours | **FAIL** | FAIL: Throughput too low: 87 writes/s |',
    );
    expect(text).not.toContain('| etcdctl check perf |');
  });
});
