import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { completion, result } from '../../../src/base/completion.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { Engine, KeyRange } from '../../../src/storage/engine.ts';
import { LevelDirectoryStore } from '../../../src/storage/level-directory.ts';
import { put, realClock, temporaryDirectory, write } from '../../support/engines.ts';

const mebibyte = 1024 * 1024;

/** Of this process, where the system tells. */
function openFiles(): number {
  return existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0;
}

describe('the check before a database is opened', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;
  let store: LevelDirectoryStore;
  let turns: number;

  /** A database of tables and a log, closed. */
  async function fill(mebibytes: number): Promise<void> {
    const engine = await result<Engine>((done) => store.openEngine('log', done));
    for (let i = 0; i < mebibytes; i++) {
      await write(engine, [put(`key ${i}`, Buffer.alloc(mebibyte, i + 1))]);
    }
    await completion((done) => engine.compact({}, done));
    await write(engine, [put('last', 'in the log')]);
    await completion((done) => engine.close(done));
  }

  beforeEach(async () => {
    temporary = temporaryDirectory();
    turns = 0;
    const clock: Clock = {
      ...realClock,
      defer: (callback) => {
        turns += 1;
        realClock.defer(callback);
      },
    };
    store = new LevelDirectoryStore({ path: temporary.path, clock, logger: silentLogger });
    await result((done) => store.open((error) => done(error, 'open')));
  });

  afterEach(async () => {
    await completion((done) => store.close(done));
    temporary.remove();
  });

  test('takes a turn of the event loop for each few mebibytes', async () => {
    await fill(40);
    turns = 0;
    let others = 0;
    let checking = true;
    const other = (): void => {
      others += 1;
      if (checking) setImmediate(other);
    };
    setImmediate(other);
    expect(await result((done) => store.check('log', done))).toBe(true);
    checking = false;
    expect(turns).toBeGreaterThan(35);
    expect(turns).toBeLessThan(100);
    expect(others).toBeGreaterThan(20);
  });

  test('finds damage wherever it gets to', async () => {
    await fill(40);
    const location = join(temporary.path, 'log');
    const table = readdirSync(location)
      .filter((name) => name.endsWith('.ldb'))
      .sort()
      .at(-1) as string;
    const bytes = readFileSync(join(location, table));
    const middle = Math.floor(bytes.length / 2);
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    writeFileSync(join(location, table), bytes);
    const before = openFiles();
    await expect(result((done) => store.check('log', done))).rejects.toThrow(
      /is damaged at offset \d+: a block fails its checksum/,
    );
    expect(openFiles()).toBe(before);
  });

  test('says that there is none', async () => {
    expect(await result((done) => store.check('log', done))).toBe(false);
  });
});

test('the space of what was deleted is given back where that is asked for', async () => {
  const temporary = temporaryDirectory();
  const store = new LevelDirectoryStore({
    path: temporary.path,
    clock: realClock,
    logger: silentLogger,
  });
  await result((done) => store.open((error) => done(error, 'open')));
  const engine = await result<Engine>((done) => store.openEngine('log', done));
  const key = (i: number): Uint8Array => Buffer.from(`key ${String(i).padStart(2, '0')}`);
  const sizeOf = async (range: KeyRange): Promise<number> => {
    const bytes = await result<number>((done) => engine.sizeOnDisk(range, done));
    return Math.round(bytes / mebibyte);
  };
  try {
    for (let i = 0; i < 24; i++) {
      const value = Buffer.alloc(mebibyte, i);
      await write(engine, [{ type: 'put', key: key(i), value }]);
    }
    await completion((done) => engine.compact({}, done));
    const [first, second] = [{ high: key(12) }, { low: key(12) }];
    expect([await sizeOf({}), await sizeOf(first), await sizeOf(second)]).toEqual([24, 12, 12]);
    for (let i = 0; i < 18; i++) await write(engine, [{ type: 'delete', key: key(i) }]);
    expect(await sizeOf({})).toBe(24);
    await completion((done) => engine.compact(first, done));
    expect(await sizeOf(first)).toBe(0);
    expect(await sizeOf({})).toBeLessThanOrEqual(12);
    expect(engine.getSync(key(18))).toBeDefined();
  } finally {
    await completion((done) => engine.close(done));
    store.close(() => {});
    temporary.remove();
  }
});
