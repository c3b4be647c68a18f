import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PutRequest, PutResponse, RangeRequest, RangeResponse } from '../../src/gen/rpc.ts';
import type { Operation } from '../check/history.ts';
import { FiguresFile, figuresOf, figuresWithoutResult, longestSilenceMs } from './figures.ts';
import type { RunOptions, RunResult } from './run.ts';
import { scenarioNamed } from './scenarios.ts';

function operation(endMs: number, kind: 'put' | 'range', isAnswered = true): Operation {
  const call =
    kind === 'put'
      ? ({ kind, request: PutRequest.create() } as const)
      : ({ kind, request: RangeRequest.create() } as const);
  const answer = kind === 'put' ? PutResponse.create() : RangeResponse.create();
  return {
    id: endMs,
    client: 'c',
    member: 'm1',
    call,
    startMs: endMs - 1,
    endMs,
    outcome: isAnswered ? { kind: 'answered', answer } : { kind: 'unknown', reason: 'timeout' },
  };
}

const options: RunOptions = {
  seed: 7,
  members: 3,
  seconds: 20,
  scenario: scenarioNamed('kill-one'),
};

test('silence lasts from one acknowledged write to the next, in order of their ends', () => {
  expect(longestSilenceMs([])).toBe(0);
  expect(longestSilenceMs([operation(500, 'put')])).toBe(0);
  const operations = [
    operation(1900, 'put'),
    operation(100, 'put'),
    operation(900, 'put', false),
    operation(1000, 'range'),
    operation(400, 'put'),
  ];
  expect(longestSilenceMs(operations)).toBe(1500);
});

test('what the checkers could not decide is counted, and fails nothing', () => {
  const result: RunResult = {
    violations: [{ rule: 'search-undecided', text: 'too many steps', operations: [] }],
    history: { operations: [operation(1, 'put')], watches: [], states: [], events: [] },
    incidents: [],
    faults: new Map([['kill', 3]]),
    counts: { answered: 5, refused: 2, unknown: 1 },
    leases: { granted: 6, renewed: 9, revoked: 1, expired: 5, locks: 3, fencedWrites: 8 },
    watchedEvents: 9,
    leaderTerms: 4,
    checkMs: 1,
    logs: new Map(),
  };
  expect(figuresOf(options, result)).toEqual({
    scenario: 'kill-one',
    seed: 7,
    members: 3,
    seconds: 20,
    verdict: 'passed',
    reasons: [],
    acknowledged: 5,
    refused: 2,
    unknown: 1,
    leases: { granted: 6, renewed: 9, revoked: 1, expired: 5, locks: 3, fencedWrites: 8 },
    faults: { kill: 3 },
    leaderTerms: 4,
    checked: { operations: 1, watches: 0, watchedEvents: 9, states: 0, undecided: 1 },
    longestSilenceMs: 0,
  });
  const violations = [{ rule: 'linearizable', text: 'it was not', operations: [1] }];
  const failed = figuresOf(options, { ...result, violations });
  expect(failed.verdict).toBe('failed');
  expect(failed.reasons).toEqual(['linearizable: it was not']);
});

test('the file holds all runs so far, those without a result too', () => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-figures-'));
  const path = join(directory, 'runs.json');
  const file = new FiguresFile(path);
  file.add(figuresWithoutResult(options, 'skipped', 'a tmpfs needs Linux'));
  file.add(figuresWithoutResult(options, 'failed', 'no port'));
  const runs = JSON.parse(readFileSync(path, 'utf8')) as { verdict: string; reasons: string[] }[];
  expect(runs.map(({ verdict, reasons }) => [verdict, reasons])).toEqual([
    ['skipped', ['a tmpfs needs Linux']],
    ['failed', ['no port']],
  ]);
  rmSync(directory, { recursive: true });
});
