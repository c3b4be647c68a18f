import { spawnSync } from 'node:child_process';
import { afterEach, expect, test } from 'vitest';
import { armFaultPoints, reach } from '../../../src/base/fault-point.ts';
import { faultHandler, parseFaults } from '../../../src/daemon/fault-injection.ts';
import { quorate } from '../../support/quorate.ts';

afterEach(() => armFaultPoints(undefined));

test('faults are read from text', () => {
  expect(parseFaults('')).toEqual([]);
  expect(parseFaults('persist-after-write=kill@40; apply-before-batch=delay:300;')).toEqual([
    { point: 'persist-after-write', action: 'kill', delayMs: 0, time: 40 },
    { point: 'apply-before-batch', action: 'delay', delayMs: 300, time: 1 },
  ]);
});

test.each([
  ['persist-after-write', 'is not POINT=kill'],
  ['persist-after-write=explode', 'is not POINT=kill'],
  ['persist-after-write=delay', 'is not POINT=kill'],
  ['no-such-step=kill', 'names no step; there are mend-before-write, '],
  ['toString=kill', 'names no step'],
  ['apply-before-batch=fail', 'is a step that cannot fail'],
  ['persist-after-write=kill@0', 'counts from 1'],
  ['persist-after-write=delay:60001', 'delays longer than 60000 ms'],
])('%s is refused', (text, why) => {
  expect(() => parseFaults(text)).toThrow(`QUORATE_FAULT_POINTS: "${text}" ${why}`);
});

test('what is planned happens at its time and only then', () => {
  const done: string[] = [];
  const actor = {
    kill: () => void done.push('kill'),
    stall: (delayMs: number) => void done.push(`stall ${delayMs}`),
  };
  const faults = 'flush-before-write=fail@2;apply-after-batch=delay:7@2;apply-after-batch=kill@3';
  armFaultPoints(faultHandler(parseFaults(faults), actor));
  expect(reach('flush-before-write')).toBeUndefined();
  expect(reach('flush-before-write')).toMatchObject({
    message: 'injected fault at flush-before-write',
    code: 'EIO',
  });
  expect(reach('flush-before-write')).toBeUndefined();
  for (const expected of [[], ['stall 7'], ['stall 7', 'kill'], ['stall 7', 'kill']]) {
    reach('apply-after-batch');
    expect(done).toEqual(expected);
  }
});

test('nothing happens unless it was armed', () => {
  expect(reach('persist-before-write')).toBeUndefined();
});

function start(faults: string): ReturnType<typeof spawnSync> {
  return spawnSync(quorate.command, [...quorate.arguments, '--data-dir=/proc/nowhere'], {
    env: { QUORATE_FAULT_POINTS: faults },
    encoding: 'utf8',
    timeout: 20_000,
  });
}

test('a server does not start with faults that it does not understand', () => {
  const { status, stderr } = start('nonsense=kill');
  expect(status).toBe(1);
  expect(String(stderr)).toContain('failed to verify the environment');
  expect(String(stderr)).toContain('names no step');
});
