/**
 * Members that applied the same index hold the same state. Rules: `convergence-hash`,
 * `convergence-revision`.
 */
import type { History, StateObservation, Violation } from './history.ts';

function stateText({ member, index, revision, hash }: StateObservation): string {
  return `${member} at index ${index} has revision ${revision} and hash ${hash}`;
}

export function checkConvergence({ states }: History): readonly Violation[] {
  const violations: Violation[] = [];
  const found = (rule: string, one: StateObservation, other: StateObservation): void => {
    const text = `${stateText(one)}, but ${stateText(other)}`;
    violations.push({ rule, text, operations: [] });
  };
  let before: StateObservation | undefined;
  for (const state of states.toSorted((a, b) => a.index - b.index)) {
    if (before?.index === state.index) {
      if (before.revision !== state.revision) found('convergence-revision', before, state);
      else if (before.hash !== state.hash) found('convergence-hash', before, state);
      // The first observation stays the measure of all others of its index.
      continue;
    }
    if (before !== undefined && state.revision < before.revision) {
      found('convergence-revision', before, state);
    }
    before = state;
  }
  return violations;
}
