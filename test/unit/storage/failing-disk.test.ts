/** A disk that fails to read or to remove: that is not damage, and costs nothing that is there. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { result } from '../../../src/base/completion.ts';
import { silentLogger, type Logger } from '../../../src/base/logger.ts';
import { openDataDirectory, type DataDirectory } from '../../../src/storage/data-directory.ts';
import { advanceDirectory, closeDirectory, refusalOf } from '../../support/directories.ts';
import { realClock, temporaryDirectory } from '../../support/engines.ts';

type Read = 'openSync' | 'readSync' | 'readFileSync' | 'readdirSync' | 'fstatSync';

/** Which calls fail with EIO, and how many of them still do. */
const failing = vi.hoisted(() => ({
  call: '',
  path: /^$/,
  times: 0,
  files: new Map<number, string>(),
}));

vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  const eio = (call: string): Error =>
    Object.assign(new Error(`EIO: i/o error, ${call}`), { code: 'EIO', syscall: call });
  const fails = (call: string, what: unknown): boolean => {
    const path = typeof what === 'number' ? failing.files.get(what) : what;
    if (failing.call !== call || !failing.path.test(String(path)) || failing.times === 0) {
      return false;
    }
    failing.times -= 1;
    return true;
  };
  const failingRead =
    <Args extends unknown[], Result>(call: string, work: (...args: Args) => Result) =>
    (...args: Args): Result => {
      if (fails(call, args[0])) throw eio(call);
      const found = work(...args);
      if (call === 'openSync') failing.files.set(found as number, String(args[0]));
      return found;
    };
  return {
    ...real,
    openSync: failingRead('openSync', real.openSync),
    readSync: failingRead('readSync', real.readSync as (...args: unknown[]) => number),
    readFileSync: failingRead('readFileSync', real.readFileSync as (...args: unknown[]) => unknown),
    readdirSync: failingRead('readdirSync', real.readdirSync as (...args: unknown[]) => unknown),
    fstatSync: failingRead('fstatSync', real.fstatSync as (...args: unknown[]) => unknown),
    rm: (path: string, options: object, done: (error: Error | null) => void): void => {
      if (fails('rm', path)) setImmediate(() => done(eio('rm')));
      else real.rm(path, options, done);
    },
  };
});

const identity = { memberId: 1n, clusterId: 7n };

let temporary: ReturnType<typeof temporaryDirectory>;
let path: string;

beforeEach(async () => {
  temporary = temporaryDirectory();
  path = join(temporary.path, 'data');
  // Each start makes a table of what was written before.
  for (const to of [10, 20]) {
    const directory = await open();
    await advance(directory, to);
    await closeDirectory(directory);
  }
  await closeDirectory(await open());
});

afterEach(() => {
  failing.times = 0;
  temporary.remove();
});

function open(logger: Logger = silentLogger): Promise<DataDirectory> {
  const founders = (): readonly bigint[] => [1n, 2n, 3n];
  return result((done) =>
    openDataDirectory({ path, clock: realClock, logger, identity, founders }, done),
  );
}

async function advance(directory: DataDirectory, to: number): Promise<void> {
  await advanceDirectory(directory, to, () => {
    const others = { votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    directory.backend.setConfState({ voters: [1n, 2n, 3n], ...others });
  });
}

/** All files but LevelDB's own diary, and their times: what a start may not touch. */
function listing(): unknown {
  return fs
    .readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('lock/') && !/LOG(\.old)?$/.test(name))
    .sort()
    .map((name) => [name, name === 'lock' ? 0 : fs.statSync(join(path, name)).mtimeMs]);
}

function fail(call: Read | 'rm', where: RegExp, times: number): void {
  Object.assign(failing, { call, path: where, times });
}

describe('a read that fails', () => {
  const reads: readonly (readonly [string, Read, RegExp])[] = [
    ['the listing of the log', 'readdirSync', /log$/],
    ['its CURRENT', 'readFileSync', /log\/CURRENT$/],
    ['its MANIFEST', 'readFileSync', /log\/MANIFEST-\d+$/],
    ['its write-ahead log', 'readFileSync', /log\/\d+\.log$/],
    ['the opening of a table', 'openSync', /log\/\d+\.ldb$/],
    ['the size of a table', 'fstatSync', /log\/\d+\.ldb$/],
    ['a table', 'readSync', /log\/\d+\.ldb$/],
    ['a table of the state', 'readSync', /state-0-0\/\d+\.ldb$/],
    ['the bound on the term', 'readFileSync', /term\.json$/],
    ['the identity', 'readFileSync', /identity\.json$/],
  ];

  test.each(reads)('for a moment is tried again: %s', async (_name, call, where) => {
    fail(call, where, 2);
    const directory = await open();
    expect(failing.times).toBe(0);
    expect(directory.raftLog.repairTerm).toBeUndefined();
    await closeDirectory(directory);
  });

  test.each(reads)(
    'for good refuses the start and changes nothing: %s',
    async (_n, call, where) => {
      const before = listing();
      fail(call, where, Infinity);
      const words = await refusalOf(open());
      failing.times = 0;
      expect(words).toMatch(/^unusable: .*EIO: i\/o error/);
      expect(where.test(/^unusable: .*?(\/[^ :]*) cannot be read/.exec(words)?.[1] ?? '')).toBe(
        true,
      );
      if (!where.test('state-0-0/000001.ldb')) expect(listing()).toEqual(before);
      expect(fs.readdirSync(path).filter((name) => name.startsWith('damaged-'))).toEqual([]);
      await closeDirectory(await open());
    },
  );
});

test('what was set aside and cannot be removed is told of, and the member goes on', async () => {
  const left = join(path, 'damaged-log-1');
  fs.cpSync(join(path, 'log'), left, { recursive: true });
  fail('rm', /damaged-log-1$/, 1);
  const warnings: unknown[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (fields, message) => void warnings.push([message, fields]),
    child: () => logger,
  };
  await closeDirectory(await open(logger));
  expect(warnings).toEqual([
    [
      'removing what was damaged failed',
      { directory: 'damaged-log-1', error: expect.stringContaining('EIO') as string },
    ],
  ]);
  expect(fs.existsSync(left)).toBe(true);
  await closeDirectory(await open());
  expect(fs.existsSync(left)).toBe(false);
});
