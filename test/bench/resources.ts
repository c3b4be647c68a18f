/** What processes have used, as Linux counts it under /proc. */
import { readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second for programs, whatever it does within. */
const ticksPerSecond = 100;

/** CPU time of a process and of its children that have ended and were waited for, in seconds. */
export interface CpuTimes {
  readonly own: number;
  /** The part of its own that the kernel took. */
  readonly system: number;
  readonly children: number;
}

/** @param stat contents of /proc/PID/stat; the name in brackets may hold blanks and brackets */
export function parseCpuTimes(stat: string): CpuTimes {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Numbered from the third field on: user and system time are the 14th and 15th (proc(5)).
  const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number);
  if (user === undefined || system === undefined || childUser === undefined) {
    throw new Error(`not a line of /proc/PID/stat: ${stat}`);
  }
  return {
    own: (user + system) / ticksPerSecond,
    system: system / ticksPerSecond,
    children: (childUser + (childSystem ?? 0)) / ticksPerSecond,
  };
}

/** @param status contents of /proc/PID/status */
export function parsePeakBytes(status: string): number {
  return bytesOf(status, 'VmHWM');
}

/** @param status contents of /proc/PID/status */
export function parseResidentBytes(status: string): number {
  return bytesOf(status, 'VmRSS');
}

function bytesOf(status: string, name: string): number {
  const kilobytes = new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`there is no ${name} in /proc/PID/status`);
  return Number(kilobytes) * 1024;
}

export function cpuTimes(pid: number | 'self'): CpuTimes {
  return parseCpuTimes(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/** As above for the thread that a process began with: of ours, the one of the event loop. */
export function mainThreadTimes(pid: number): CpuTimes {
  return parseCpuTimes(readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8'));
}

const statusOf = (pid: number): string => readFileSync(`/proc/${pid}/status`, 'utf8');

/** The most memory that was resident since the process began. */
export function peakBytes(pid: number): number {
  return parsePeakBytes(statusOf(pid));
}

/** The memory that is resident now. */
export function residentBytes(pid: number): number {
  return parseResidentBytes(statusOf(pid));
}

/** CPU time of all these processes so far, in seconds. */
export function cpuSecondsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuTimes(pid).own, 0);
}
