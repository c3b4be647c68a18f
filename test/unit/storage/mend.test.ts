/**
 * What a power cut leaves where nothing orders names and contents, which LevelDB refuses or reads
 * wrongly: mended without loss if nothing is missing, refused as ever if something is.
 */
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { completion, result } from '../../../src/base/completion.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { armFaultPoints, type FaultPoint } from '../../../src/base/fault-point.ts';
import { fromUtf8 } from '../../../src/base/bytes.ts';
import { openDataDirectory } from '../../../src/storage/data-directory.ts';
import { scanLog } from '../../../src/storage/log-scanner.ts';
import { mendDatabase } from '../../../src/storage/mend.ts';
import type { Mend } from '../../../src/storage/scanner.ts';
import {
  checkDatabase,
  openLevel,
  put,
  realClock,
  temporaryDirectory,
} from '../../support/engines.ts';

const bufferBytes = 64 * 1024;
const keys = 50;

let temporary: ReturnType<typeof temporaryDirectory>;
let location: string;

beforeEach(() => {
  temporary = temporaryDirectory();
  location = join(temporary.path, 'db');
});

afterEach(() => {
  temporary.remove();
});

function files(pattern: RegExp): string[] {
  return readdirSync(location)
    .filter((name) => pattern.test(name))
    .sort();
}

function current(): string {
  return join(location, readFileSync(join(location, 'CURRENT'), 'latin1').trim());
}

/** Writes the keys, and with them a table. */
async function fill(): Promise<void> {
  const engine = await openLevel(location, bufferBytes);
  for (let i = 0; i < keys; i++) {
    const value = `value ${i} `.repeat(200);
    await completion((done) => engine.write([put(`key ${i}`, value)], true, done));
  }
  await completion((done) => engine.close(done));
}

/** Checks, mends and opens; how many of the keys are there. */
async function reopened(): Promise<{ readonly mended: string; readonly found: number }> {
  const { mend } = checkDatabase(location);
  if (mend !== undefined) mendDatabase(location, mend);
  expect(checkDatabase(location).mend).toBeUndefined();
  const engine = await openLevel(location, bufferBytes);
  let found = 0;
  for (let i = 0; i < keys; i++) {
    const value = engine.getSync(Buffer.from(`key ${i}`));
    if (value !== undefined && fromUtf8(value) === `value ${i} `.repeat(200)) found += 1;
  }
  await completion((done) => engine.close(done));
  return { mended: mend?.kind ?? 'nothing', found };
}

test('mending comes to its steps, and fails where they do', async () => {
  await fill();
  appendFileSync(current(), Buffer.alloc(3));
  const reached: FaultPoint[] = [];
  armFaultPoints((point) => {
    reached.push(point);
    return new Error('a test ends it');
  });
  try {
    const { mend } = checkDatabase(location);
    expect(() => mendDatabase(location, mend as Mend)).toThrow('a test ends it');
    expect(checkDatabase(location).mend).toEqual(mend);
    armFaultPoints((point) => {
      reached.push(point);
      return undefined;
    });
    mendDatabase(location, mend as Mend);
  } finally {
    armFaultPoints(undefined);
  }
  expect(reached).toEqual(['mend-before-write', 'mend-before-write', 'mend-after-write']);
  expect(await reopened()).toEqual({ mended: 'nothing', found: keys });
});

describe('a MANIFEST', () => {
  test('that ends in zeros and a piece of an edit is cut off, which LevelDB refuses', async () => {
    await fill();
    const start = statSync(current()).size;
    const torn = Buffer.alloc(1200, 7);
    torn.writeUInt16LE(torn.length - 7, 4);
    torn[6] = 1;
    // One sector of it was never written.
    torn.fill(0, 512 - start, 1024 - start);
    appendFileSync(current(), torn);
    await expect(openLevel(location, bufferBytes)).rejects.toThrow(/checksum mismatch/);
    expect(await reopened()).toEqual({ mended: 'cutManifest', found: keys });
  });

  /** The moment when the edit for a new table is on disk, and the log is not deleted yet. */
  async function flushed(): Promise<{ readonly table: string; readonly oldLog: string }> {
    const roomy = 4 * 1024 * 1024;
    const engine = await openLevel(location, roomy);
    for (let i = 0; i < keys; i++) {
      const value = `value ${i} `.repeat(200);
      await completion((done) => engine.write([put(`key ${i}`, value)], true, done));
    }
    const [oldLog = ''] = files(/\.log$/);
    const log = readFileSync(join(location, oldLog));
    const before = scanLog(readFileSync(current()), 'MANIFEST').records.length;
    await completion((done) => engine.compact({}, done));
    await completion((done) => engine.close(done));
    expect(files(/\.log$/)).not.toContain(oldLog);
    writeFileSync(join(location, oldLog), log);
    const { starts } = scanLog(readFileSync(current()), 'MANIFEST');
    expect(starts.length).toBeGreaterThan(before);
    const next = starts[before + 1];
    if (next !== undefined) truncateSync(current(), next);
    const [table = ''] = files(/\.ldb$/);
    expect(checkDatabase(location).mend).toBeUndefined();
    return { table, oldLog };
  }

  test('that names a table which never got its name goes back by an edit', async () => {
    const { table } = await flushed();
    unlinkSync(join(location, table));
    expect(await reopened()).toEqual({ mended: 'cutManifest', found: keys });
  });

  test('that names a log which never got its name goes back by an edit', async () => {
    const { oldLog } = await flushed();
    for (const name of files(/\.log$/)) {
      if (name !== oldLog) unlinkSync(join(location, name));
    }
    expect(await reopened()).toEqual({ mended: 'cutManifest', found: keys });
  });

  test('does not go back if what the edit replaced is gone', async () => {
    const { table, oldLog } = await flushed();
    unlinkSync(join(location, table));
    unlinkSync(join(location, oldLog));
    expect(() => checkDatabase(location)).toThrow(/ldb is missing/);
  });

  test('that names a table which is gone is refused when the log is gone as well', async () => {
    await fill();
    // A table that LevelDB was about to write when it was closed may be left, until it opens again.
    const engine = await openLevel(location, bufferBytes);
    await completion((done) => engine.close(done));
    const tables = files(/\.ldb$/);
    expect(tables.length).toBeGreaterThan(0);
    for (const name of tables) {
      const bytes = readFileSync(join(location, name));
      unlinkSync(join(location, name));
      expect(() => checkDatabase(location)).toThrow(/is missing/);
      writeFileSync(join(location, name), bytes);
    }
  });
});

describe('CURRENT', () => {
  /** What is deleted when the database is opened again; the file is not in the new one. */
  async function replaced(): Promise<{ readonly old: string; readonly oldName: string }> {
    await fill();
    const old = readFileSync(join(location, 'CURRENT'), 'latin1');
    const engine = await openLevel(location, bufferBytes);
    await completion((done) => engine.close(done));
    expect(readFileSync(join(location, 'CURRENT'), 'latin1')).not.toBe(old);
    return { old, oldName: old.trim() };
  }

  test('that names the MANIFEST before the one that is there is set right', async () => {
    const { old, oldName } = await replaced();
    writeFileSync(join(location, 'CURRENT'), old);
    expect(readdirSync(location)).not.toContain(oldName);
    expect(await reopened()).toEqual({ mended: 'pointCurrent', found: keys });
  });

  test('is left alone if the MANIFEST that is there is not whole', async () => {
    const { old } = await replaced();
    const manifest = current();
    writeFileSync(join(location, 'CURRENT'), old);
    truncateSync(manifest, statSync(manifest).size - 1);
    expect(() => checkDatabase(location)).toThrow(/names no file that is there/);
  });

  test('is left alone if a file of the MANIFEST that is there is gone', async () => {
    const { old } = await replaced();
    writeFileSync(join(location, 'CURRENT'), old);
    unlinkSync(join(location, files(/\.log$/).at(-1) ?? ''));
    expect(() => checkDatabase(location)).toThrow(/names no file that is there/);
  });

  test('is not set to an older MANIFEST', async () => {
    await fill();
    writeFileSync(join(location, 'CURRENT'), 'MANIFEST-999999\n');
    expect(() => checkDatabase(location)).toThrow(/names no file that is there/);
  });
});

describe('a database whose making was cut short', () => {
  test.each([
    ['an empty MANIFEST', (): void => writeFileSync(join(location, 'MANIFEST-000001'), '')],
    [
      'a MANIFEST of zeros',
      (): void => writeFileSync(join(location, 'MANIFEST-000001'), Buffer.alloc(41)),
    ],
    ['no MANIFEST', (): void => {}],
  ])('with %s is made anew', async (_name, leave) => {
    mkdirSync(location);
    writeFileSync(join(location, 'CURRENT'), 'MANIFEST-000001\n');
    writeFileSync(join(location, '000003.log'), '');
    leave();
    expect(checkDatabase(location)).toMatchObject({ absent: true, mend: { kind: 'remove' } });
    expect(await reopened()).toEqual({ mended: 'remove', found: 0 });
  });

  test('without CURRENT, but with an empty log, is made anew', async () => {
    mkdirSync(location);
    writeFileSync(join(location, '000003.log'), '');
    expect(await reopened()).toEqual({ mended: 'remove', found: 0 });
  });

  test('is not what a log with something in it means', () => {
    mkdirSync(location);
    writeFileSync(join(location, '000003.log'), 'x');
    expect(() => checkDatabase(location)).toThrow(/CURRENT is missing/);
  });

  test('means a first start in a directory that was not ready, damage in one that was', async () => {
    const path = join(temporary.path, 'data');
    const identity = { memberId: 1n, clusterId: 2n };
    const options = { path, clock: realClock, logger: silentLogger, identity };
    const open = async (): Promise<void> => {
      const directory = await result((done: Parameters<typeof openDataDirectory>[1]) =>
        openDataDirectory(options, done),
      );
      await completion((done) => directory.close(done));
    };
    const unfinish = (): void => {
      const log = join(path, 'log');
      for (const name of readdirSync(log)) {
        if (name !== 'CURRENT') rmSync(join(log, name));
      }
      rmSync(join(path, 'state-0-0'), { recursive: true, force: true });
    };
    await open();
    const identityPath = join(path, 'identity.json');
    unfinish();
    await expect(open()).rejects.toThrow(/its database log is missing/);
    // The same directory as its first start left it before log and state were there.
    const first = join(temporary.path, 'first');
    const { LevelDirectoryStore } = await import('../../../src/storage/level-directory.ts');
    const store = new LevelDirectoryStore({ path: first, clock: realClock, logger: silentLogger });
    await new Promise<void>((resolve) => store.open(() => resolve()));
    await completion((done) => store.writeIdentity({ ...identity, ready: false }, done));
    await completion((done) => store.close(done));
    cpSync(join(first, 'identity.json'), identityPath);
    // A log that does not name the state yet, beside a state whose making was cut short as well.
    const state = join(path, 'state-0-0');
    mkdirSync(state);
    writeFileSync(join(state, 'CURRENT'), 'MANIFEST-000001\n');
    writeFileSync(join(state, 'MANIFEST-000001'), '');
    await open();
  });
});
