import { expect, test } from 'vitest';
import { PutRequest } from '../../../src/gen/rpc.ts';
import { Recorder } from '../../sim/recorder.ts';
import { Trace } from '../../sim/trace.ts';

const call = { kind: 'put', request: PutRequest.create() } as const;

test('what is under way when a run ends is of unknown outcome', () => {
  let nowMs = 10;
  const recorder = new Recorder(new Trace(), () => nowMs);
  recorder.begin('c1', 'm1', call);
  const end = recorder.begin('c2', 'm2', call);
  nowMs = 15;
  end({ kind: 'unknown', reason: 'deadline' });
  nowMs = 20;
  recorder.endAll();
  recorder.endAll();
  expect(
    recorder.operations.map(({ client, startMs, endMs, outcome }) => ({
      client,
      startMs,
      endMs,
      outcome,
    })),
  ).toEqual([
    { client: 'c2', startMs: 10, endMs: 15, outcome: { kind: 'unknown', reason: 'deadline' } },
    { client: 'c1', startMs: 10, endMs: 20, outcome: { kind: 'unknown', reason: 'the run ended' } },
  ]);
});
