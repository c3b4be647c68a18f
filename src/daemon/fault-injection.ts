/**
 * Faults of a real process, for tests only: `QUORATE_FAULT_POINTS` says at which steps (those of
 * base/fault-point.ts) this member is to crash, fail or stall.
 *
 *     QUORATE_FAULT_POINTS='persist-after-write=kill@40;apply-before-batch=delay:300@5'
 *
 * `kill` ends the process as `kill -9` does, `fail` makes the step fail as a disk would, `delay:MS`
 * stalls the whole process. `@N` is the how manyeth time the step is reached, otherwise the first.
 */
import {
  type FaultHandler,
  type FaultPoint,
  faultPoints,
  isFaultPoint,
} from '../base/fault-point.ts';

export const faultVariable = 'QUORATE_FAULT_POINTS';

/** A longer stall than any test needs: what is meant may be another unit. */
const delayLimitMs = 60_000;

export interface PlannedFault {
  readonly point: FaultPoint;
  readonly action: 'kill' | 'fail' | 'delay';
  /** Of a delay; otherwise 0. */
  readonly delayMs: number;
  /** The first time is 1. */
  readonly time: number;
}

/** @throws Error with words for whoever set the variable */
export function parseFaults(text: string): readonly PlannedFault[] {
  return text
    .split(';')
    .filter((part) => part.trim() !== '')
    .map((part) => parseFault(part.trim()));
}

function parseFault(text: string): PlannedFault {
  const refuse = (why: string): never => {
    throw new Error(`${faultVariable}: ${JSON.stringify(text)} ${why}`);
  };
  const parts = /^([^=]+)=(kill|fail|delay:(\d+))(?:@(\d+))?$/.exec(text);
  if (parts === null) return refuse('is not POINT=kill, POINT=fail or POINT=delay:MS, with @N');
  const [, point = '', how = '', delay = '0', time = '1'] = parts;
  if (!isFaultPoint(point)) {
    return refuse(`names no step; there are ${Object.keys(faultPoints).join(', ')}`);
  }
  const action = how === 'kill' || how === 'fail' ? how : 'delay';
  if (action === 'fail' && faultPoints[point] !== 'fail') {
    return refuse('is a step that cannot fail, only be killed or delayed at');
  }
  const fault = { point, action, delayMs: Number(delay), time: Number(time) } as const;
  if (fault.time < 1) return refuse('counts from 1');
  if (fault.delayMs > delayLimitMs) return refuse(`delays longer than ${delayLimitMs} ms`);
  return fault;
}

/** What a process can do to itself; a parameter for tests. */
export interface Process {
  kill(): void;
  stall(delayMs: number): void;
}

const thisProcess: Process = {
  kill: () => {
    process.kill(process.pid, 'SIGKILL');
    // The signal comes soon, not at once: nothing may happen between.
    thisProcess.stall(delayLimitMs);
  },
  stall: (delayMs) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayMs);
  },
};

/** Counts how often each step is reached and does what is planned for that time. */
export function faultHandler(faults: readonly PlannedFault[], actor = thisProcess): FaultHandler {
  const times = new Map<FaultPoint, number>();
  return (point) => {
    const time = (times.get(point) ?? 0) + 1;
    times.set(point, time);
    for (const fault of faults) {
      if (fault.point !== point || fault.time !== time) continue;
      if (fault.action === 'kill') actor.kill();
      else if (fault.action === 'delay') actor.stall(fault.delayMs);
      else return Object.assign(new Error(`injected fault at ${point}`), { code: 'EIO' });
    }
    return undefined;
  };
}
