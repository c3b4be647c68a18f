import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { PhaseFigures, ScaleMeasurements } from '../../bench/scale/figures.ts';
import { scalePageOf } from '../../bench/scale/page.ts';
import { longestTurnMs, parseTurns } from '../../bench/scale/turns.ts';
import { machine } from './machine.ts';

const directory = mkdtempSync(join(tmpdir(), 'quorate-turns-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('turns of an event loop', () => {
  test('are read line by line, but for one that is being written', () => {
    expect(parseTurns('1000 25.5\n2000 31.0\n30')).toEqual([
      { atMs: 1000, turnMs: 25.5 },
      { atMs: 2000, turnMs: 31 },
    ]);
  });

  test('the longest of a time is found among all members', () => {
    writeFileSync(join(directory, 'm1.turns'), '1000 90.0\n2000 30.0\n');
    writeFileSync(join(directory, 'm2.turns'), '2500 40.0\n4000 80.0\n');
    const members = ['m1', 'm2', 'without'];
    expect(longestTurnMs(directory, members, 1500, 3000)).toBe(40);
    expect(longestTurnMs(directory, members, 2600, 3000)).toBe(0);
  });
});

test('the page of many keys shows both systems, and what failed', () => {
  const phase = (seconds: number): PhaseFigures => ({
    seconds,
    latencies: { p50: 1, p90: 2, p99: 3.25, p999: 4, max: 5 },
    longestTurnMs: 0,
  });
  const measurements: ScaleMeasurements = {
    commit: 'abc1234',
    begun: '2026-01-01T00:00:00.000Z',
    machine: { ...machine, h2load: undefined },
    turns: [
      {
        system: 'ours',
        keys: 1000,
        figures: {
          keys: 1000,
          superseded: 1000,
          emptyBytes: 300e6,
          fullBytes: 300e6 + 3 * 1000 * 700,
          phases: {
            load: phase(1),
            restart: phase(2),
            quiet: phase(3),
            join: { ...phase(4.5), longestTurnMs: 57.4 },
            overwrite: phase(5),
            compaction: phase(6),
          },
        },
      },
      { system: 'etcd', keys: 1000, failed: 'no put was answered\nat a line' },
    ],
  };
  const page = scalePageOf(measurements);
  expect(page).toContain('**Failed**, etcd: no put was answered\n');
  expect(page).toContain('| bytes for a key at a member | 700 |  |');
  expect(page).toContain(
    '| a new member gets everything and answers | 4.5 |  | 1.0 / 3.3 |  | 57 |',
  );
  expect(page).toContain('| nothing but the puts | 3.0 |  | 1.0 / 3.3 |  | < 20 |');
});
