/** Durable writes between two steps at which a test can stop or fail them. */
import { reach, type FaultPoint } from '../base/fault-point.ts';
import type { Completion, Engine, Operation } from './engine.ts';

export interface WriteSteps {
  readonly before: FaultPoint;
  /** On disk, and nobody knows yet. */
  readonly after: FaultPoint;
}

/** Writes durably. A failure made before it leaves nothing written, one after it everything. */
export function guardedWrite(
  engine: Engine,
  operations: readonly Operation[],
  steps: WriteSteps,
  done: Completion,
): void {
  const fault = reach(steps.before);
  if (fault === undefined) {
    engine.write(operations, true, (error) => done(error ?? reach(steps.after)));
  } else {
    // Completions do not come from within the call: a write of nothing completes soon.
    engine.write([], false, () => done(fault));
  }
}

/** As {@link guardedWrite}, for what is durable when it returns and throws if it fails. */
export function guardedNow(steps: WriteSteps, write: () => void): void {
  const before = reach(steps.before);
  if (before !== undefined) throw before;
  write();
  const after = reach(steps.after);
  if (after !== undefined) throw after;
}
