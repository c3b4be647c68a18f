import { describe, expect, test } from 'vitest';
import {
  growthOf,
  holdingsOf,
  type Holdings,
  type SteadyMeasurements,
  type SteadyWindow,
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
  test('is the median of samples, of the heap the least', () => {
    const samples = [1, 2, 9].map((n) => ({ ...held, residentBytes: n, heapBytes: 10 - n }));
    expect(holdingsOf(samples)).toEqual({ ...held, residentBytes: 2, heapBytes: 1 });
  });

  test('grew by what the last third has more than the second', () => {
    const sizes = [1, 50, 100, 100, 110, 110].map((bytes, i) =>
      windowOf(i + 1, { residentBytes: bytes }),
    );
    expect(growthOf(sizes, 'residentBytes')).toBeCloseTo(0.1);
    expect(growthOf(sizes, 'openFiles')).toBe(0);
  });
});

test('the page shows each window, and what grew', () => {
  const windows = [1, 2, 3].map((i) => windowOf(i, { diskBytes: i === 3 ? 630e6 : 700e6 }));
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
  expect(page).toContain('| 6 | 600,000 | 2.0 / 10.0 | 600 | 90 | 120 | 150 | 630 | < 20 |');
  expect(page).toContain('| MB on disk | −10.0 % |');
  expect(page).toContain('| MB resident | +0.0 % |');
  // Of a run that was cut short there is nothing to compare.
  expect(steadyPageOf({ ...measurements, windows: windows.slice(0, 1) })).toContain(
    '| MB on disk |  |',
  );
});
