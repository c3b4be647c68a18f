import { appendFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LogName } from '../../../src/storage/log-name.ts';
import { temporaryDirectory } from '../../support/engines.ts';

let temporary: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  temporary = temporaryDirectory();
});

afterEach(() => {
  temporary.remove();
});

const log = (number: number): string => join(temporary.path, `00000${number}.log`);

/** 'at once' if no sync was needed: a sync of the directory takes a turn of the event loop. */
function written(name: LogName): Promise<string> {
  return new Promise((resolve) => {
    let when = 'at once';
    name.written((error) => resolve(error === undefined ? when : error.message));
    when = 'after a sync';
  });
}

test('the directory is synced when a write went to another log, and only then', async () => {
  const name = new LogName(temporary.path);
  writeFileSync(log(3), 'a');
  expect(await written(name)).toBe('after a sync');
  for (let i = 0; i < 3; i++) {
    appendFileSync(log(3), 'a');
    expect(await written(name)).toBe('at once');
  }
  writeFileSync(log(5), 'a');
  expect(await written(name)).toBe('after a sync');
  // Two in a row, and the old one may be there or not.
  unlinkSync(log(3));
  writeFileSync(log(7), 'a');
  expect(await written(name)).toBe('after a sync');
  appendFileSync(log(7), 'a');
  expect(await written(name)).toBe('at once');
  unlinkSync(log(7));
  writeFileSync(log(9), 'a longer one');
  expect(await written(name)).toBe('after a sync');
});

test('a write does not count as done if the directory cannot be synced', async () => {
  const name = new LogName(temporary.path);
  rmSync(temporary.path, { recursive: true });
  expect(await written(name)).toMatch(/ENOENT/);
});
