/**
 * Named steps at which a test can make a member fail: what a crash, a full disk or a stall would do
 * exactly there. Nothing is armed in production, and {@link reach} then costs one comparison.
 *
 * Whoever arms them decides what happens: the daemon kills its process, a simulator the member that
 * it is running. A step that may fail hands the error on as if its own work had failed.
 */

/** Every step, and whether it may fail or only be the place of a crash or a stall. */
export const faultPoints = {
  /** What a power cut left in a database is set right. */
  'mend-before-write': 'fail',
  'mend-after-write': 'fail',
  'start-after-identity': 'crash',
  'start-after-log': 'crash',
  'start-after-state': 'crash',
  /** A damaged directory: nothing is changed yet. */
  'repair-begin': 'crash',
  'repair-set-aside': 'crash',
  /** The new log is complete; only once it has its name does every start go on with it. */
  'repair-log-built': 'crash',
  'repair-log-named': 'crash',
  'repair-logs-exchanged': 'crash',
  /** Everything is back, and nothing is removed yet of what was set aside. */
  'repair-complete': 'crash',
  /** The bound on the term. */
  'term-reserve-before-write': 'fail',
  'term-reserve-after-write': 'fail',
  /** The log: term, vote, entries, and the name of a received state. */
  'persist-before-write': 'fail',
  /** Durable, and nobody knows yet. */
  'persist-after-write': 'fail',
  'apply-before-batch': 'crash',
  'apply-after-batch': 'crash',
  /** The state: what has been applied since the last flush. */
  'flush-before-write': 'fail',
  'flush-after-write': 'fail',
  'log-compaction-before-write': 'crash',
  'log-compaction-after-write': 'crash',
  'store-compaction-before-step': 'crash',
  'store-compaction-after-step': 'crash',
  'snapshot-send-begin': 'crash',
  'snapshot-send-chunk': 'crash',
  'snapshot-send-end': 'crash',
  'snapshot-receive-begin': 'crash',
  /** A chunk of the state that comes. */
  'snapshot-receive-before-write': 'fail',
  'snapshot-receive-after-write': 'fail',
  'snapshot-receive-end': 'crash',
  /** The log names the received state, which is not open yet. */
  'snapshot-install-named': 'crash',
  'snapshot-install-opened': 'crash',
  'snapshot-install-removed': 'crash',
} as const satisfies Record<string, 'crash' | 'fail'>;

export type FaultPoint = keyof typeof faultPoints;

/** What a member meets at a step: an error to go on with as if the step had failed, or nothing. */
export type FaultHandler = (point: FaultPoint) => Error | undefined;

let armed: FaultHandler | undefined;

/** Installs what happens at the steps; undefined disarms them all. */
export function armFaultPoints(handler: FaultHandler | undefined): void {
  armed = handler;
}

/** Called at a step. The result counts only where the step may fail. */
export function reach(point: FaultPoint): Error | undefined {
  return armed === undefined ? undefined : armed(point);
}

export function isFaultPoint(name: string): name is FaultPoint {
  return Object.hasOwn(faultPoints, name);
}
