/** How large entries count as, wherever a limit in bytes applies. */
import type { Entry } from '../types.ts';

/** Stands for index, term, kind and framing, so that a flood of empty entries is bounded too. */
const entryOverheadBytes = 16;

export function entriesSizeBytes(entries: readonly Entry[]): number {
  let sum = 0;
  for (const entry of entries) sum += entry.data.length + entryOverheadBytes;
  return sum;
}

/** Bytes of payload alone: what counts against the limit on uncommitted entries. */
export function payloadSizeBytes(entries: readonly Entry[]): number {
  let sum = 0;
  for (const entry of entries) sum += entry.data.length;
  return sum;
}

/** How many entries from `start` on fit into `limitBytes`: at least one, if there is one. */
export function fittingCount(
  entries: readonly Entry[],
  start: number,
  end: number,
  limitBytes: number,
): number {
  let sum = 0;
  let position = start;
  for (; position < end; position++) {
    const entry = entries[position];
    if (entry === undefined) break;
    sum += entry.data.length + entryOverheadBytes;
    if (sum > limitBytes && position > start) break;
  }
  return position - start;
}
