import { describe, expect, test } from 'vitest';
import { memberAccount } from '../../bench/account/account.ts';
import { accountPageOf } from '../../bench/account/page.ts';
import { type CpuProfile, sharesOf } from '../../bench/account/profile.ts';
import { type Frame, stageOf } from '../../bench/account/stages.ts';
import { machine } from './machine.ts';

const frame = (url: string, functionName = 'f'): Frame => ({ url, functionName });
const ours = (path: string): Frame => frame(`file:///srv/quorate/dist/${path}`);

describe('the stage of a sample', () => {
  test.each([
    ['of nothing', [], undefined],
    ['that waits', [frame('', '(idle)'), ours('storage/raft-log.js')], undefined],
    ['of the collector', [frame('', '(garbage collector)'), ours('api/kv.js')], 'collector'],
    ['without JavaScript', [frame('', '(program)')], 'native code'],
    ['of a buffer of the log', [frame('node:buffer'), ours('storage/raft-log.js')], 'log'],
    [
      'of the engine below the state',
      [frame('file:///x/node_modules/classic-level/chained-batch.js'), ours('storage/backend.js')],
      'state',
    ],
    ['of a codec, whoever calls it', [ours('gen/rpc.js'), ours('api/grpc/unary-call.js')], 'codec'],
    [
      'of an answer',
      [frame('node:internal/http2/core'), ours('api/grpc/x.js')],
      'HTTP/2 and streams',
    ],
    ['of grpc-js', [frame('file:///x/node_modules/@grpc/grpc-js/build/src/server.js')], 'gRPC'],
    ['of a watch', [ours('mvcc/watchable-store.js'), ours('apply/applier.js')], 'watch'],
    ['of the state', [ours('mvcc/store.js'), ours('apply/applier.js')], 'state'],
    ['of a timer', [frame('node:internal/timers')], 'other'],
    ['of a stream', [frame('node:internal/streams/readable')], 'HTTP/2 and streams'],
  ])('%s', (_name, stack, stage) => {
    expect(stageOf(stack)).toBe(stage);
  });
});

const profile: CpuProfile = {
  startTime: 1000,
  nodes: [
    { id: 1, callFrame: frame('', '(root)'), children: [2, 4, 5] },
    { id: 2, callFrame: ours('storage/raft-log.js'), children: [3] },
    { id: 3, callFrame: frame('node:buffer') },
    { id: 4, callFrame: frame('', '(idle)') },
    { id: 5, callFrame: frame('', '(program)') },
  ],
  samples: [2, 3, 4, 5, 2],
  timeDeltas: [100, 200, 400, 100, 50],
};

describe('a profile', () => {
  test('is told apart by stage within a time, without waiting', () => {
    const shares = sharesOf(profile, 1150, 1800);
    expect([...shares]).toEqual([
      ['log', 200 / 300],
      ['native code', 100 / 300],
    ]);
  });

  test('that has nothing of the time is refused', () => {
    expect(() => sharesOf(profile, 5000, 6000)).toThrow('nothing of the time');
  });
});

test('the kernel is taken from native code, and other threads are their own', () => {
  const shares = new Map([
    ['log', 0.5],
    ['native code', 0.5],
  ] as const);
  const usage = { main: 4, mainSystem: 1, others: 3 };
  expect(memberAccount(usage, shares, 1_000_000)).toEqual({
    log: 2,
    'native code': 1,
    kernel: 1,
    'other threads': 3,
  });
});

test('the page has the sums and the ceiling', () => {
  const page = accountPageOf({
    commit: 'abc1234',
    begun: '2026-01-01T00:00:00.000Z',
    machine: { ...machine, h2load: undefined },
    accounts: [
      {
        workload: 'put-100',
        title: 'put 256 B, 100 in flight',
        perSecond: 10_000,
        leader: { log: 7.04, kernel: 10 },
        follower: { log: 6, 'other threads': 0.01 },
      },
    ],
    ceilings: { 'put-100': 46.2 },
  });
  expect(page).toContain('| log | 7.0 | 6.0 |');
  expect(page).toContain('| **sum** | **17.0** | **6.0** |');
  expect(page).toContain('again and again: 46.2 µs');
  expect(page).not.toContain('other threads');
});
