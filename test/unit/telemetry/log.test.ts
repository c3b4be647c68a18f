import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogFormat, LogLevel } from '../../../src/config/schema.ts';
import { createLogger, type ClosableLogger } from '../../../src/telemetry/log.ts';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-log-'));
  path = join(directory, 'log');
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function logged(
  level: LogLevel,
  use: (logger: ClosableLogger) => void,
  format: LogFormat = 'json',
): string[] {
  const logger = createLogger({ level, format, outputs: [path] });
  use(logger);
  logger.close();
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}

function parsed(lines: readonly string[]): Record<string, unknown>[] {
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('lines carry level, time, message and fields', () => {
  const [line] = parsed(logged('info', (logger) => logger.info({ a: 1, b: 'x' }, 'hello')));
  expect(line).toEqual({
    level: 'info',
    ts: expect.any(String) as string,
    a: 1,
    b: 'x',
    msg: 'hello',
  });
  expect(new Date(String(line?.['ts'])).getTime()).toBeGreaterThan(0);
});

test.each<[LogLevel, number]>([
  ['debug', 4],
  ['info', 3],
  ['warn', 2],
  ['error', 1],
  ['panic', 0],
  ['fatal', 0],
])('level %s shows %d of four', (level, count) => {
  const lines = logged(level, (logger) => {
    logger.debug({}, 'd');
    logger.info({}, 'i');
    logger.warn({}, 'w');
    logger.error({}, 'e');
  });
  expect(lines).toHaveLength(count);
});

test('children add fields', () => {
  const [line] = parsed(
    logged('info', (logger) => logger.child({ module: 'raft' }).info({ term: 2 }, 'm')),
  );
  expect(line).toMatchObject({ module: 'raft', term: 2 });
});

test('ids are hexadecimal, errors have a stack and their causes, nested values survive', () => {
  const error = new Error('outer', { cause: new Error('inner') });
  const circle = { ids: [255n], error };
  const [line] = parsed(
    logged('info', (logger) => logger.info({ id: 0x8e9en, error, list: circle }, 'm')),
  );
  expect(line).toMatchObject({ id: '8e9e', list: { ids: ['ff'] } });
  expect(line?.['error']).toMatch(/^Error: outer\n[^]*caused by Error: inner\n/);
});

test('whatever a field holds, logging does not throw', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const hostile = {
    toJSON: () => {
      throw new Error('no');
    },
  };
  const lines = logged('info', (logger) => logger.info({ circle, hostile, f: () => 1 }, 'm'));
  expect(parsed(lines)).toMatchObject([{ msg: 'm' }]);
});

test('a console line is for people', () => {
  const [line] = logged('info', (logger) => logger.warn({ a: 1 }, 'hello'), 'console');
  expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z\twarn\thello\t\{"a":1\}$/);
});

test('a line is cut at 64 KiB', () => {
  const [line] = logged('info', (logger) => logger.info({ a: 'x'.repeat(100_000) }, 'm'));
  expect(line?.length).toBe(64 * 1024 - 1);
});

test('several outputs get every line, and files are appended to', () => {
  const other = join(directory, 'other');
  for (let i = 0; i < 2; i++) {
    const logger = createLogger({ level: 'info', format: 'json', outputs: [path, other] });
    logger.info({ i }, 'm');
    logger.close();
  }
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(3);
  expect(readFileSync(other, 'utf8')).toBe(readFileSync(path, 'utf8'));
});

test('a file that cannot be opened is an error at once', () => {
  const outputs = [join(directory, 'none', 'log')];
  expect(() => createLogger({ level: 'info', format: 'json', outputs })).toThrow('ENOENT');
});
