/** What Maintenance answers that no etcd of the compatibility tests can be asked for. */
import { describe, expect, test } from 'vitest';
import { alarmText } from '../../../src/api/maintenance.ts';
import { downgrade, type DowngradeBackend } from '../../../src/api/downgrade.ts';
import type { Command } from '../../../src/apply/request.ts';
import { EtcdError } from '../../../src/base/errors.ts';
import { silentMetrics } from '../../../src/base/metrics.ts';
import { AlarmType, DowngradeAction } from '../../../src/gen/rpc.ts';
import { Defragmentation } from '../../../src/server/defragmentation.ts';
import type { Completion } from '../../../src/storage/engine.ts';
import { ManualClock } from '../mvcc/fakes.ts';

const { validate, enable, cancel } = DowngradeAction;

/** A cluster of version 3.6 that agrees on everything at once. */
function cluster(
  requested: (command: Command) => void = () => undefined,
): (action: DowngradeAction, version?: string) => Promise<string> {
  let downgradeInfo = { enabled: false, targetVersion: '' };
  const backend: DowngradeBackend = {
    clusterVersion: '3.6.0',
    get downgradeInfo() {
      return downgradeInfo;
    },
    request: (command) => {
      requested(command);
      if (command.case !== 'downgradeInfoSet') throw new Error(`unexpected ${command.case}`);
      const { enabled, ver } = command.value;
      downgradeInfo = { enabled, targetVersion: ver };
      return Promise.resolve({});
    },
    linearizableRead: () => Promise.resolve(),
  };
  return (action, version = '') =>
    downgrade(backend, { action, version }).then(
      (answer) => `${answer} ${JSON.stringify(downgradeInfo)}`,
      (error: unknown) => (error instanceof EtcdError ? error.message : String(error)),
    );
}

const none = '{"enabled":false,"targetVersion":""}';
const job = '{"enabled":true,"targetVersion":"3.5.0"}';

describe('a downgrade', () => {
  test.each(['3.5', '3.5.0', '3.5.33', '3.5.0-rc.1+git'])('may go to %s', async (version) => {
    expect(await cluster()(validate, version)).toBe(`3.6 ${none}`);
    expect(await cluster()(enable, version)).toBe(`3.6 ${job}`);
  });

  test.each(['3.6', '3.4', '3.7.0', '2.5', '0.0.0'])('may not go to %s', async (version) => {
    const refusal = 'etcdserver: invalid downgrade target version';
    expect(await cluster()(validate, version)).toBe(refusal);
    expect(await cluster()(enable, version)).toBe(refusal);
  });

  test.each(['', '3', 'v3.5', '3.5.x', '3.5.0.0', '3.5.'])(
    'needs a version: "%s"',
    async (text) => {
      const refusal = 'etcdserver: wrong downgrade target version format';
      expect(await cluster()(validate, text)).toBe(refusal);
      expect(await cluster()(enable, text)).toBe(refusal);
    },
  );

  test('is one at a time, until it is canceled', async () => {
    const ask = cluster();
    expect(await ask(enable, '3.5')).toBe(`3.6 ${job}`);
    const running = 'etcdserver: cluster has a downgrade job in progress';
    expect(await ask(validate, '3.5')).toBe(running);
    expect(await ask(enable, '3.5')).toBe(running);
    expect(await ask(enable, '3.4')).toBe('etcdserver: invalid downgrade target version');
    expect(await ask(cancel)).toBe(`3.6 ${none}`);
    expect(await ask(9 as DowngradeAction)).toBe('etcdserver: unknown method');
  });

  test('that there is not can be canceled, without an entry in the log', async () => {
    const commands: unknown[] = [];
    const ask = cluster((command) => commands.push(command));
    expect(await ask(cancel)).toBe(`3.6 ${none}`);
    expect(commands).toEqual([]);
  });

  test('is not said to be canceled where nobody knows', async () => {
    const backend: DowngradeBackend = {
      clusterVersion: '3.6.0',
      downgradeInfo: { enabled: false, targetVersion: '' },
      request: () => Promise.resolve({}),
      linearizableRead: () => Promise.reject(new EtcdError('timeout')),
    };
    const answer = downgrade(backend, { action: cancel, version: '' });
    await expect(answer).rejects.toThrow('etcdserver: request timed out');
  });
});

test.each([
  [5n, AlarmType.nospace, 'memberID:5 alarm:NOSPACE '],
  [2n ** 64n - 1n, AlarmType.corrupt, 'memberID:18446744073709551615 alarm:CORRUPT '],
  [0n, AlarmType.corrupt, 'alarm:CORRUPT '],
  [1n, 7 as AlarmType, 'memberID:1 alarm:7 '],
])('an alarm of member %s reads as in Go', (memberId, alarm, text) => {
  expect(alarmText({ memberId, alarm })).toBe(text);
});

describe('a defragmentation', () => {
  test('is one for all that ask meanwhile, after what was applied is written', () => {
    const steps: string[] = [];
    const pending: Completion[] = [];
    const step =
      (name: string) =>
      (done: Completion): void => {
        steps.push(name);
        pending.push(done);
      };
    const compact = step('compact');
    const backend = {
      flush: step('flush'),
      compact: (range: object, done: Completion) => {
        expect(range).toEqual({});
        compact(done);
      },
    };
    const defragmentation = new Defragmentation(
      { clock: new ManualClock(), metrics: silentMetrics },
      () => backend,
    );
    const answers: string[] = [];
    const ask = (name: string): void =>
      defragmentation.run((error) => answers.push(`${name} ${error?.message ?? 'done'}`));
    ask('first');
    ask('second');
    expect(steps).toEqual(['flush']);
    pending.shift()?.(undefined);
    ask('third');
    expect(steps).toEqual(['flush', 'compact']);
    pending.shift()?.(undefined);
    expect(answers).toEqual(['first done', 'second done', 'third done']);
    ask('fourth');
    pending.shift()?.(new Error('disk full'));
    expect(answers.at(-1)).toBe('fourth disk full');
    expect(steps).toEqual(['flush', 'compact', 'flush']);
  });
});
