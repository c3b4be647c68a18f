import { closeSync, openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { exportProcessLimits } from '../../../src/telemetry/process-limits.ts';
import { RecordedMetrics } from '../../support/recorded-metrics.ts';

describe.skipIf(process.platform !== 'linux')('limits of the process', () => {
  test('are those that it was given', () => {
    const metrics = new RecordedMetrics();
    exportProcessLimits(metrics);
    expect(metrics.valueOf('os_fd_limit')).toBeGreaterThan(16);
    // Without a limit it is 2^64, as a program in Go says.
    expect(metrics.valueOf('process_virtual_memory_max_bytes')).toBeGreaterThan(2 ** 30);
    expect(metrics.valueOf('process_virtual_memory_max_bytes')).toBeLessThanOrEqual(2 ** 64);
  });

  test('are told beside the files that are open', () => {
    const metrics = new RecordedMetrics();
    exportProcessLimits(metrics);
    const before = metrics.valueOf('os_fd_used');
    const opened = [1, 2, 3].map(() => openSync('/dev/null', 'r'));
    try {
      expect(metrics.valueOf('os_fd_used')).toBe(before + 3);
    } finally {
      for (const file of opened) closeSync(file);
    }
    expect(metrics.valueOf('os_fd_used')).toBe(before);
  });
});
