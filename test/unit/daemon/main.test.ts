import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { run } from '../../../src/daemon/main.ts';
import type { Member, Start } from '../../../src/daemon/member.ts';

let directory: string;
let log: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-main-'));
  log = join(directory, 'log');
});

afterEach(() => {
  vi.restoreAllMocks();
  process.removeAllListeners('SIGTERM');
  process.removeAllListeners('SIGINT');
  rmSync(directory, { recursive: true });
});

const never = new Promise<Error>(() => undefined);

function messages(): string[] {
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { msg: string }).msg);
}

function starting(member: Member): Start {
  return () => Promise.resolve(member);
}

/** What was written to a stream of the process. */
function capture(stream: 'stdout' | 'stderr'): () => string {
  const write = vi.spyOn(process[stream], 'write').mockReturnValue(true);
  return () => write.mock.calls.map(([text]) => String(text)).join('');
}

const neverStarted: Start = () => Promise.reject(new Error('started'));

test('help and version are printed, nothing starts', async () => {
  const printed = capture('stdout');
  expect(await run(['--help'], {}, neverStarted)).toBe(0);
  expect(await run(['--version'], {}, neverStarted)).toBe(0);
  expect(printed()).toContain('Usage:');
  expect(printed()).toContain('Quorate Version:');
});

test('an unknown flag ends with 2 and the usage', async () => {
  const printed = capture('stderr');
  expect(await run(['--nope'], {}, neverStarted)).toBe(2);
  expect(printed()).toMatch(/^flag provided but not defined: -nope\nUsage:/);
});

test('a signal stops the member in order', async () => {
  const stop = vi.fn(() => Promise.resolve());
  const ended = run(['--log-outputs', log], {}, starting({ stop, failed: never }));
  await vi.waitFor(() => expect(process.listenerCount('SIGTERM')).toBe(1));
  process.emit('SIGTERM', 'SIGTERM');
  expect(await ended).toBe(0);
  expect(stop).toHaveBeenCalledTimes(1);
  expect(messages().slice(-2)).toEqual(['stopping', 'stopped']);
});

test('a second signal ends the process at once', async () => {
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
  const member = { stop: () => new Promise<void>(() => undefined), failed: never };
  void run(['--log-outputs', log], {}, starting(member));
  await vi.waitFor(() => expect(process.listenerCount('SIGINT')).toBe(1));
  process.emit('SIGINT', 'SIGINT');
  expect(exit).not.toHaveBeenCalled();
  process.emit('SIGINT', 'SIGINT');
  expect(exit).toHaveBeenCalledWith(130);
});

test('a member that fails ends with 1 and a line that says why', async () => {
  const failed = Promise.resolve(new Error('write failed: no space left on device'));
  const member = { stop: () => Promise.resolve(), failed };
  expect(await run(['--log-outputs', log], {}, starting(member))).toBe(1);
  expect(readFileSync(log, 'utf8')).toContain('write failed: no space left on device');
});

test('a member that cannot start ends with 1 and a line that says why', async () => {
  const start: Start = () => Promise.reject(new Error('listen EADDRINUSE'));
  expect(await run(['--log-outputs', log], {}, start)).toBe(1);
  expect(messages().at(-1)).toBe('failed to start');
  expect(readFileSync(log, 'utf8')).toContain('listen EADDRINUSE');
});

test('a log that cannot be opened ends with 1', async () => {
  const printed = capture('stderr');
  const outputs = join(directory, 'none', 'log');
  expect(await run(['--log-outputs', outputs], {}, neverStarted)).toBe(1);
  expect(printed()).toMatch(/^cannot open --log-outputs: ENOENT/);
});

test('the member gets a clock, a fresh random generator, a log and metrics', async () => {
  const seeds: bigint[] = [];
  const start: Start = (config, { clock, random, logger, metrics }) => {
    seeds.push(random.bits64());
    expect(config.name).toBe('a');
    expect(clock.monotonicMs()).toBeGreaterThan(0);
    logger.info({}, 'here');
    metrics.counter('a_total', 'Counts.');
    return Promise.reject(new Error('enough'));
  };
  await run(['--name=a', '--log-outputs', log], {}, start);
  await run(['--name=a', '--log-outputs', log], {}, start);
  expect(seeds[0]).not.toBe(seeds[1]);
  expect(messages()).toContain('here');
});

test('the clock stays awake unless it may not', async () => {
  const staysAwake: boolean[] = [];
  const start: Start = (_config, { clock }) => {
    staysAwake.push(clock.keepAwake !== undefined);
    return Promise.reject(new Error('enough'));
  };
  await run(['--log-outputs', log], {}, start);
  await run(['--log-outputs', log, '--busy-poll=false'], {}, start);
  expect(staysAwake).toEqual([true, false]);
});
