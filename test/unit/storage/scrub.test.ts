/** Damage to the files of an open database is found while it is written to. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { silentMetrics, type Metrics } from '../../../src/base/metrics.ts';
import { completion } from '../../../src/base/completion.ts';
import type { LevelEngine } from '../../../src/storage/level-engine.ts';
import { liveFiles } from '../../../src/storage/scanner.ts';
import { Scrub } from '../../../src/storage/scrub.ts';
import { openLevel, put, realClock, temporaryDirectory, write } from '../../support/engines.ts';

let temporary: ReturnType<typeof temporaryDirectory>;
let engine: LevelEngine;
let scrub: Scrub | undefined;
let location: string;
const counted = new Map<string, number>();

const metrics: Metrics = {
  ...silentMetrics,
  counter: (name) => () => ({
    increment: (by = 1) => counted.set(name, (counted.get(name) ?? 0) + by),
  }),
};

beforeEach(async () => {
  counted.clear();
  temporary = temporaryDirectory();
  location = join(temporary.path, 'state-0-0');
  mkdirSync(location);
  engine = await openLevel(location, 64 * 1024);
  await fill(0, 300);
  // LevelDB has no more to do then, and removes no file that a test is about to damage or copy.
  await completion((done) => engine.compact({}, done));
  await fill(300, 20);
});

afterEach(async () => {
  scrub?.stop();
  await completion((done) => engine.close(done));
  temporary.remove();
});

/** Enough for tables and a log. */
async function fill(from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) {
    await write(engine, [put(`key${i % 500}`, Buffer.alloc(1_000, 1 + (i % 250)))], i % 50 === 0);
  }
}

function startScrub(intervalMs: number): { readonly found: () => Error | undefined } {
  let found: Error | undefined;
  scrub = new Scrub({
    path: temporary.path,
    clock: realClock,
    logger: silentLogger,
    metrics,
    intervalMs,
    reliesOn: (database) => database === 'state-0-0',
    damaged: (error) => {
      found = error;
    },
  });
  scrub.start();
  return { found: () => found };
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    if (i >= 1_000) throw new Error('not within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const passes = (): number => counted.get('quorate_scrub_passes_total') ?? 0;

function flip(name: string, at: number): void {
  const bytes = readFileSync(join(location, name));
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  writeFileSync(join(location, name), bytes);
}

function firstOf(kind: 'table' | 'log' | 'manifest'): string {
  const file = liveFiles(location).find((each) => each.kind === kind);
  if (file === undefined) throw new Error(`there is no ${kind}`);
  return file.name;
}

describe('the scrub', () => {
  test('finds nothing in a whole database that is written to, and reads all of it', async () => {
    const { found } = startScrub(300);
    for (let i = 1; i < 20; i++) await fill(i * 300, 100);
    // One pass at least begins after the last write.
    const before = passes();
    await until(() => passes() >= before + 2);
    expect(found()).toBeUndefined();
    const bytes = liveFiles(location).reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
    expect(counted.get('quorate_scrub_bytes_total')).toBeGreaterThan(bytes);
    expect(counted.get('quorate_scrub_failures_total')).toBeUndefined();
  });

  test.each(['table', 'log', 'manifest'] as const)(
    'finds one flipped bit in a %s',
    async (kind) => {
      const name = firstOf(kind);
      flip(name, kind === 'manifest' ? 20 : 500);
      const { found } = startScrub(200);
      await until(() => found() !== undefined);
      expect(found()?.message).toContain(name);
      expect(counted.get('quorate_scrub_damages_total')).toBe(1);
      expect(passes()).toBe(0);
    },
  );

  test('finds that a table is missing', async () => {
    const name = firstOf('table');
    rmSync(join(location, name));
    const { found } = startScrub(200);
    await until(() => found() !== undefined);
    expect(found()?.message).toBe(`${join(location, name)} is missing`);
    expect(counted.get('quorate_scrub_damages_total')).toBe(1);
  });

  test('does not mind what is missing of a database that is given up', async () => {
    const old = join(temporary.path, 'state-5-5');
    cpSync(location, old, { recursive: true });
    rmSync(join(old, firstOf('table')));
    const { found } = startScrub(100);
    await until(() => passes() >= 2);
    expect(found()).toBeUndefined();
  });

  test('takes the time that it is given', async () => {
    const startedMs = performance.now();
    startScrub(1_500);
    await until(() => passes() >= 1);
    const tookMs = performance.now() - startedMs;
    expect(tookMs).toBeGreaterThan(1_400);
  });

  test('does not mind files that nothing relies on', async () => {
    writeFileSync(join(location, '999999.ldb'), 'not a table');
    mkdirSync(join(temporary.path, 'state-5-5'));
    const { found } = startScrub(100);
    await until(() => passes() >= 1);
    expect(found()).toBeUndefined();
    expect(readdirSync(temporary.path)).toContain('state-5-5');
  });
});
