import { describe, expect, test } from 'vitest';
import { pageOf } from '../../proof/page.ts';
import type { Results } from '../../proof/results.ts';
import { plantedBugs } from '../../sim/bugs/index.ts';
import { huntedOf, noResults, nothing, resultOf, runOf, simulationOf } from './samples.ts';

const ledger = [
  { commit: 'old0000', from: 1, seeds: 5000, failed: 1, virtualHours: 30, node: 'v20.20.2' },
  { commit: 'abc1234', from: 5001, seeds: 200, failed: 0, virtualHours: 4, node: 'v20.20.2' },
];

function textOf(results: Partial<Results>, isMixed = false): string {
  return pageOf({ results: { ...noResults, ...results }, ledger, isMixed }).text;
}

/** The line of the overview, or of another table, that begins so. */
function lineOf(text: string, start: string): string {
  return text.split('\n').find((line) => line.startsWith(`| ${start} |`)) ?? '';
}

describe('the overview', () => {
  test('parts without results were not run, and have no section', () => {
    const text = textOf({});
    expect(lineOf(text, 'Simulation')).toBe('| Simulation | not run |  |  |  |');
    expect(text).not.toContain('## ');
  });

  test('names sums, verdict, commit and versions of Node', () => {
    const simulation = [
      resultOf(simulationOf(5001, 5100)),
      resultOf(simulationOf(5101, 5200), { node: 'v24.1.0' }),
    ];
    expect(lineOf(textOf({ simulation }), 'Simulation')).toBe(
      '| Simulation | 200 seeds, 4 virtual hours, 2,000 operations acknowledged, 100 faults ' +
        '| passed | abc1234 | v20.20.2, v24.1.0 |',
    );
  });

  test('a part with one piece that failed, or that left nothing, has failed and says which', () => {
    const failing = resultOf({ ...simulationOf(1, 2), failed: [2] }, { status: 1, key: 'seeds-1' });
    const text = textOf({
      simulation: [resultOf(simulationOf(3, 4)), failing],
      crashes: [nothing('script-1')],
    });
    expect(lineOf(text, 'Simulation')).toContain('| **FAILED** |');
    expect(text).toContain('- `seeds-1`: exit code 1\n');
    expect(lineOf(text, 'seeds that broke something')).toContain('| 2 |');
    expect(lineOf(text, 'Crashes at every write')).toContain('| **FAILED** |');
    expect(text).toContain('- `script-1`: exit code 0, left no figures\n');
  });

  test('says that results are of different commits', () => {
    const simulation = [resultOf(simulationOf(1, 2), { commit: 'def5678' })];
    expect(textOf({ simulation })).not.toContain('not all of one commit');
    const mixed = textOf({ simulation, crashes: [nothing('script-1')] }, true);
    expect(mixed).toContain('not all of one commit');
    expect(lineOf(mixed, 'Simulation')).toContain('| def5678 |');
  });
});

describe('sections', () => {
  test('simulation: ranges of pieces are joined, faults added up, earlier ranges told', () => {
    const simulation = [resultOf(simulationOf(5001, 5100)), resultOf(simulationOf(5101, 5200))];
    const page = pageOf({ results: { ...noResults, simulation }, ledger, isMixed: false });
    expect(lineOf(page.text, 'seeds')).toBe('| seeds | 5,001 to 5,200 |');
    expect(lineOf(page.text, 'histories checked')).toBe('| histories checked | 200 |');
    expect(page.text).toContain('5,200 seeds and 34\nvirtual hours, on 2 commits');
    expect(lineOf(page.text, 'old0000')).toContain('| 1 to 5,000 | 5,000 | 1 | 30 |');
    const chart = page.charts.get('proof-faults-simulated.svg') ?? '';
    expect(chart).toContain('>crash</text>');
    expect(chart).toContain('>80</text>');
    expect(lineOf(page.text, 'members struck at a named step')).toContain('| 6 |');
    const points = page.charts.get('proof-points-simulated.svg') ?? '';
    expect(points).toContain('>persist-after-write</text>');
    expect(points).toContain('>6</text>');
  });

  test('traces: versions of Node that differ are told apart', () => {
    const figures = { ...simulationOf(1, 2), differing: [], hashes: { 1: 'a', 2: 'b' } };
    const same = [resultOf(figures), resultOf(figures, { node: 'v24.1.0' })];
    expect(lineOf(textOf({ traces: same }), 'Equal traces')).toContain(
      '2 seeds twice on Node v20.20.2 and v24.1.0: equal, equal on all',
    );
    const other = [resultOf(figures), resultOf({ ...figures, traces: 'ffff' })];
    expect(textOf({ traces: other })).toContain('**different** between versions');
    const unlike = [resultOf({ ...figures, differing: [2] }, { status: 1 })];
    expect(textOf({ traces: unlike })).toContain('differing: 2');
  });

  test('bugs: soonest first, those not caught last, and never hidden', () => {
    const bugs = [
      huntedOf('slow-one', 700, 'convergence'),
      huntedOf('lucky', 2000, undefined),
      huntedOf('quick-one', 1, 'crashed'),
    ];
    const text = textOf({ bugs: [resultOf({ bugs, later: [] }, { status: 1 })] });
    expect(lineOf(text, 'Planted mistakes')).toContain(
      `| 2 of 3 mistakes caught, half of them within 1 seed; ${plantedBugs.length} are known ` +
        '| **FAILED** |',
    );
    const order = [...text.matchAll(/^\| 5 \| `([a-z-]+)`/gm)].map(([, id]) => id);
    expect(order).toEqual(['quick-one', 'slow-one', 'lucky']);
    expect(text).toContain('| not within 2,000 | **not caught** |');
  });

  test('nemesis: runs by scenario, steps as one class, skipped ones with the reason', () => {
    const runs = [
      runOf(),
      runOf({ seed: 4, verdict: 'failed', reasons: ['linearizable: it was not'] }),
      runOf({ scenario: 'disk-full', verdict: 'skipped', reasons: ['a tmpfs needs Linux'] }),
    ];
    const page = pageOf({
      results: { ...noResults, nemesis: [resultOf({ runs }, { status: 1 })] },
      ledger,
      isMixed: false,
    });
    expect(lineOf(page.text, 'kill-one')).toBe(
      '| kill-one | 2 | 2,400 | 14 | 2,406 | 800 | 160 | **1 failed** |',
    );
    expect(lineOf(page.text, 'disk-full')).toContain('| 0 | 0 |');
    expect(lineOf(page.text, 'disk-full')).toContain('skipped, as a tmpfs needs Linux');
    expect(page.text).toContain('kill-one, seed 4, 3 members: linearizable: it was not');
    const chart = page.charts.get('proof-faults-processes.svg') ?? '';
    expect(chart).toContain('death at a named step');
    expect(chart).not.toContain('persist-after-write');
  });

  test('damage: outcomes are counted, unknown ones too', () => {
    const damage = [
      resultOf([
        { case: 'log: table, bit flip at the start, one', outcome: 'repaired' },
        { case: 'log: table, deletion, all', outcome: 'waiting' },
        { case: 'log: CURRENT, deletion, minority', outcome: 'something new' },
      ]),
    ];
    const text = textOf({ damage });
    expect(lineOf(text, 'Damaged files')).toContain(
      '3 cases: 1 repaired, 1 waiting, 1 something new',
    );
  });

  test('crashes, power cuts and fuzzing add up their pieces', () => {
    const power = {
      scenario: 'alone',
      seed: 1,
      calls: 900,
      promised: 60,
      points: 30,
      starts: 90,
      processStarts: 2,
      failures: [],
    };
    const crash = { seed: 1, operations: 500, writes: 400, recoveries: 700 };
    const text = textOf({
      crashes: [resultOf(crash), resultOf({ ...crash, seed: 2 })],
      power: [resultOf([power]), resultOf([{ ...power, failures: ['cut at moment 7'] }])],
      fuzz: [
        resultOf([
          { decoder: 'entry', seed: 1, inputs: 10, verdicts: { accepted: 4, refused: 6 } },
          { decoder: 'mvccpb.Event', seed: 1, inputs: 5, verdicts: { accepted: 5 } },
          { decoder: 'mvccpb.KeyValue', seed: 1, inputs: 5, verdicts: { refused: 5 } },
        ]),
      ],
    });
    expect(lineOf(text, 'Crashes at every write')).toContain('800 crash points, 1,400 recoveries');
    expect(lineOf(text, 'alone')).toBe('| alone | 1,800 | 60 | 180 | 4 | 1 |');
    expect(text).toContain('- cut at moment 7');
    expect(lineOf(text, 'Damaged input')).toContain('3 decoders, 20 inputs');
    expect(lineOf(text, 'entry')).toBe('| entry | 10 | 4 | 6 | 0 |');
    expect(lineOf(text, 'messages of mvccpb: 2')).toContain('| 10 | 5 | 5 | 0 |');
  });
});

test('every chart that the page shows is written, and no other', () => {
  const { text, charts } = pageOf({
    results: {
      ...noResults,
      simulation: [resultOf(simulationOf(1, 2))],
      bugs: [resultOf({ bugs: [huntedOf('a', 1, 'r')], later: [] })],
      nemesis: [resultOf({ runs: [runOf()] })],
      damage: [resultOf([{ case: 'log: table, deletion, one', outcome: 'repaired' }])],
    },
    ledger,
    isMixed: false,
  });
  const shown = [...text.matchAll(/\]\(([a-z-]+\.svg)\)/g)].map(([, name]) => name);
  expect(shown.sort()).toEqual([...charts.keys()].sort());
});
