import { describe, expect, test } from 'vitest';
import {
  holdingsOf,
  type Holdings,
  type SteadyMeasurements,
  type SteadyWindow,
  trendOf,
} from '../../bench/steady/figures.ts';
import { steadyPageOf } from '../../bench/steady/page.ts';
import { machine } from './machine.ts';

const held: Holdings = {
  residentBytes: 600e6,
  heapBytes: 90e6,
  externalBytes: 120e6,
  openFiles: 150,
  diskBytes: 700e6,
};

function windowOf(number: number, holdings: Partial<Holdings> = {}): SteadyWindow {
  return {
    untilSeconds: number * 120,
    puts: 600_000,
    latencies: { p50: 2, p90: 4, p99: 9.96, p999: 20, max: 30 },
    holdings: { ...held, ...holdings },
    longestTurnMs: number === 2 ? 42.4 : 0,
  };
}

describe('what members hold', () => {
  test('is what each holds in the median, of the heap at least', () => {
    const sample = (residentBytes: number, heapBytes: number): Holdings => ({
      ...held,
      ...{ residentBytes, heapBytes },
    });
    const samples = [
      [sample(1, 9), sample(30, 10)],
      [sample(2, 8), sample(10, 30)],
      [sample(9, 1), sample(20, 20)],
    ];
    const { residentBytes, heapBytes, openFiles } = holdingsOf(samples);
    expect({ residentBytes, heapBytes, openFiles }).toEqual({
      residentBytes: 2 + 20,
      heapBytes: 1 + 10,
      openFiles: 300,
    });
  });

  test('has a trend: the last third beside the second, without what is left over', () => {
    const sizes = [1, 2, 50, 90, 100, 100, 110].map((bytes, i) =>
      windowOf(i + 1, { residentBytes: bytes }),
    );
    expect(trendOf(sizes, 'residentBytes')).toEqual({ least: 90, most: 100, last: 105 });
    expect(trendOf(sizes.slice(0, 2), 'residentBytes')).toBeUndefined();
  });
});

test('the page shows each window, and what grew', () => {
  const windows = [windowOf(1), windowOf(2), windowOf(3, { diskBytes: 630e6, openFiles: 165 })];
  const measurements: SteadyMeasurements = {
    commit: 'abc1234',
    begun: '2026-01-01T00:00:00.000Z',
    machine,
    keys: 100_000,
    highestPerSecond: 10_001,
    perSecond: 5001,
    windows,
  };
  const page = steadyPageOf(measurements);
  expect(page).toContain('5,001 puts a second of 10,001');
  expect(page).toContain('| 4 | 600,000 | 2.0 / 10.0 | 600 | 90 | 120 | 150 | 700 | 42 |');
  expect(page).toContain('| 6 | 600,000 | 2.0 / 10.0 | 600 | 90 | 120 | 165 | 630 | < 20 |');
  expect(page).toContain('| MB on disk | 700 to 700 | 630 | no |');
  expect(page).toContain('| open files | 150 to 150 | 165 | +10.0 % |');
  // Of a run that was cut short there is nothing to compare.
  expect(steadyPageOf({ ...measurements, windows: windows.slice(0, 1) })).toContain(
    '| MB on disk |  |  |  |',
  );
});
