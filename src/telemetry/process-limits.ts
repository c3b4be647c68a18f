/** What the system lets the process have, under the names that programs in Go have for it. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Metrics } from '../base/metrics.ts';

/** Where there is no limit, programs in Go show the largest number of 64 bits. */
const unlimited = 2 ** 64;

/** Linux only: elsewhere there are none. */
export function exportProcessLimits(metrics: Metrics): void {
  const limits = read(() => readFileSync('/proc/self/limits', 'utf8'));
  if (limits === undefined) return;
  metrics
    .gauge('process_virtual_memory_max_bytes', 'Most virtual memory that the process may have.')()
    .set(softLimit(limits, 'Max address space'));
  metrics
    .gauge('os_fd_limit', 'File descriptors that the process may have.')()
    .set(softLimit(limits, 'Max open files'));
  const used = metrics.gauge('os_fd_used', 'File descriptors that the process has.')();
  metrics.onCollect(() => {
    const open = read(() => readdirSync('/proc/self/fd'));
    // One of them is that of the directory being read.
    if (open !== undefined) used.set(open.length - 1);
  });
}

function read<Result>(from: () => Result): Result | undefined {
  try {
    return from();
  } catch {
    return undefined;
  }
}

function softLimit(limits: string, name: string): number {
  const value = new RegExp(`^${name} +(\\S+)`, 'm').exec(limits)?.[1];
  return value === 'unlimited' ? unlimited : Number(value);
}
