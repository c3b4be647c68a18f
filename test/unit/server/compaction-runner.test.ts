import { expect, test } from 'vitest';
import { CompactionRunner } from '../../../src/server/compaction-runner.ts';
import { RecordedMetrics } from '../../support/recorded-metrics.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const metric = (name: string): string => `etcd_debugging_mvcc_db_compaction_${name}`;

test('steps are measured one by one, and a compaction with the rests between them', () => {
  const clock = new VirtualClock();
  const metrics = new RecordedMetrics();
  const steps = ['waiting', 'more', 'more', 'idle', 'idle'] as const;
  let step = 0;
  const finished: number[] = [];
  let work = (): void => {};
  const store = {
    finishedCompaction: 0,
    compactionStep: () => {
      const progress = steps[step++] ?? 'idle';
      clock.advance(3);
      if (step === 4) store.finishedCompaction = 5;
      return progress;
    },
    onCompactionWork: (listener: () => void) => {
      work = listener;
    },
  };
  new CompactionRunner({
    clock,
    metrics,
    store,
    restMs: 10,
    pendingOperations: () => 0,
    changed: () => {},
    finished: (revision) => finished.push(revision),
    flush: (done) => done(),
  });
  for (let i = 0; i < 3; i++) {
    work();
    clock.advance(100);
  }
  expect(step).toBe(5);
  expect(finished).toEqual([5]);
  expect(metrics.valueOf(metric('pause_duration_milliseconds_count'))).toBe(3);
  expect(metrics.valueOf(metric('pause_duration_milliseconds_sum'))).toBe(9);
  expect(metrics.valueOf(metric('total_duration_milliseconds_count'))).toBe(1);
  expect(metrics.valueOf(metric('total_duration_milliseconds_sum'))).toBe(29);
  expect(metrics.valueOf(metric('last'))).toBe(Math.floor(clock.wallMs() / 1000));
});
