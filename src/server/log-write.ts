/** What the driver writes to the log at a time. */
import { assert } from '../base/assert.ts';
import type { Entry, HardState, Persist, SnapshotMetadata } from '../raft/index.ts';

/** One write to the log: what several batches of Raft come to together. */
export interface LogWrite {
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  /** Its contents have been received and stand in a directory of their own. */
  readonly snapshot: SnapshotMetadata | undefined;
}

/** Several batches as one write: later entries replace earlier ones from their first index on. */
export function merge(batch: readonly Persist[], earlier: HardState | undefined): LogWrite {
  let hardState = earlier;
  let entries: readonly Entry[] = [];
  for (const persist of batch) {
    hardState = persist.hardState ?? hardState;
    if (persist.entries.length > 0) entries = joinEntries(entries, persist.entries);
  }
  return { hardState, entries, snapshot: batch[0]?.snapshot };
}

function joinEntries(earlier: readonly Entry[], later: readonly Entry[]): readonly Entry[] {
  const first = earlier[0];
  const next = later[0];
  if (first === undefined || next === undefined) return first === undefined ? later : earlier;
  const kept = next.index - first.index;
  assert(kept <= earlier.length, 'the log has a gap between two batches');
  return kept <= 0 ? later : [...earlier.slice(0, kept), ...later];
}
