/** Order in time: what somebody was shown before a request began, the request must show too. */
import { operationText } from './describe.ts';
import type { Operation, Violation } from './history.ts';
import { answeredRevision, isLinearizable, madeRevision } from './operations.ts';
import type { Sightings } from './sightings.ts';

/** Undefined if the operation shows all that had been seen before it began. */
export function realTimeViolation(
  operation: Operation,
  sightings: Sightings,
): Violation | undefined {
  const revision = answeredRevision(operation);
  if (revision === undefined || !isLinearizable(operation.call)) return undefined;
  const seen = sightings.newestBefore(operation.startMs);
  if (seen === undefined) return undefined;
  const isWrite = madeRevision(operation);
  if (isWrite ? revision > seen.revision : revision >= seen.revision) return undefined;
  const text =
    `${operationText(operation)} ${isWrite ? 'made' : 'shows'} revision ${revision}, ` +
    `but revision ${seen.revision} had been seen before it began, by ${seen.text()}`;
  const others = seen.operation === undefined ? [] : [seen.operation.id];
  return { rule: 'kv-real-time', text, operations: [...others, operation.id] };
}
