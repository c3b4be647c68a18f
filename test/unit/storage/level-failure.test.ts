import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { completion } from '../../../src/base/completion.ts';
import { checkDatabase, openLevel, put, temporaryDirectory, write } from '../../support/engines.ts';

/** Linux lets a process limit how large the files become that it writes: a disk that is full. */
function limitFileBytes(limit: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${limit}:unlimited`]);
}

function canLimit(): boolean {
  try {
    limitFileBytes('unlimited');
    return true;
  } catch {
    return false;
  }
}

describe.runIf(canLimit())('LevelDB on a full disk', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;

  beforeEach(() => {
    temporary = temporaryDirectory();
  });

  afterEach(() => {
    limitFileBytes('unlimited');
    temporary.remove();
  });

  test('the first error stays when there is room again; nothing acknowledged is lost', async () => {
    let engine = await openLevel(temporary.path);
    for (let i = 0; i < 20; i++) await write(engine, [put(`k${i}`, Buffer.alloc(3000, i + 1))]);
    limitFileBytes(65_536);
    const failed = write(engine, [put('failed', Buffer.alloc(100_000, 1))]);
    const behind = write(engine, [put('behind', '1')]);
    const reason: unknown = await failed.catch((error: unknown) => error);
    limitFileBytes('unlimited');
    expect(reason).toBeInstanceOf(Error);
    await expect(behind).rejects.toBe(reason);
    await expect(write(engine, [put('later', '1')])).rejects.toBe(reason);
    expect(engine.getSync(Buffer.from('later'))).toBeUndefined();
    await completion((done) => engine.close(done));

    expect(checkDatabase(temporary.path).absent).toBe(false);
    engine = await openLevel(temporary.path);
    for (let i = 0; i < 20; i++) expect(engine.getSync(Buffer.from(`k${i}`))?.[0]).toBe(i + 1);
    expect(engine.getSync(Buffer.from('failed'))).toBeUndefined();
    expect(engine.getSync(Buffer.from('behind'))).toBeUndefined();
    await completion((done) => engine.close(done));
  });
});
