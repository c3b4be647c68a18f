/**
 * What compactions may have made of history at a moment. A compaction makes no revision, so among
 * requests that show one revision only time orders it. If a server compacts by itself, whoever
 * records must add that as operations, of unknown outcome if need be.
 */
import { operationText } from './describe.ts';
import type { Operation, Violation } from './history.ts';
import { neverCompacted } from './model.ts';
import { answeredRevision, isLinearizable } from './operations.ts';

interface Compaction {
  /** What it asked for: the oldest revision that can be read afterwards. */
  readonly revision: number;
  readonly operation: Operation;
  /** The store's revision when it took effect; undefined if nobody knows that it did. */
  readonly shown: number | undefined;
}

export class Compactions {
  readonly #all: readonly Compaction[];

  constructor(operations: readonly Operation[]) {
    const all: Compaction[] = [];
    for (const operation of operations) {
      const { call, outcome } = operation;
      if (call.kind !== 'compact' || outcome.kind === 'refused') continue;
      const shown = answeredRevision(operation);
      all.push({ revision: call.request.revision, operation, shown });
    }
    this.#all = all;
  }

  /** The compacted revision that an operation found at least. */
  surelyBefore(operation: Operation): number {
    const shown = answeredRevision(operation);
    let newest = neverCompacted;
    for (const compaction of this.#all) {
      if (compaction.shown === undefined || compaction.operation === operation) continue;
      const byTime =
        isLinearizable(operation.call) && compaction.operation.endMs < operation.startMs;
      const byRevision = shown !== undefined && compaction.shown < shown;
      if (byTime || byRevision) newest = Math.max(newest, compaction.revision);
    }
    return newest;
  }

  /** The compacted revision that may have been in force by a time. */
  possiblyBy(timeMs: number, except?: Operation): number {
    let newest = neverCompacted;
    for (const { operation, revision } of this.#all) {
      if (operation === except || operation.startMs > timeMs) continue;
      newest = Math.max(newest, revision);
    }
    return newest;
  }

  /** Whether a compaction of exactly this revision may have been in force by a time. */
  mayBe(revision: number, timeMs: number): boolean {
    return this.#all.some((each) => each.revision === revision && each.operation.startMs <= timeMs);
  }

  /** The second of two compactions of one revision must be refused. */
  repeated(): Violation[] {
    const first = new Map<number, Operation>();
    const violations: Violation[] = [];
    for (const { revision, operation, shown } of this.#all) {
      if (shown === undefined) continue;
      const other = first.get(revision);
      if (other === undefined) {
        first.set(revision, operation);
        continue;
      }
      const text =
        `${operationText(operation)} was answered although ${operationText(other)} ` +
        'had compacted the same revision';
      violations.push({ rule: 'kv-answer', text, operations: [other.id, operation.id] });
    }
    return violations;
  }
}
