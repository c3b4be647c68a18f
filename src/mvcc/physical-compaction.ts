/**
 * Removes what a compaction made unreachable, in steps small enough to run between requests.
 * Walks the index in key order; after a restart it starts again, which does no harm.
 */
import type { KeyIndex } from './key-index.ts';
import { stop } from './key-tree.ts';
import type { Pins } from './pins.ts';
import { revisionKey } from './revision.ts';
import type { StoreState } from './store-state.ts';

/** Keys looked at in one step: about a millisecond. */
const keysPerStep = 4096;
/** Records removed in one step unless told: they wait in the backend's memory for its flush. */
const removalsPerStep = 4096;

/** What a step left: nothing to do, more to do, or a pin to wait for. */
export type CompactionProgress = 'idle' | 'more' | 'waiting';

interface Walk {
  readonly target: number;
  /** The first key not looked at yet. */
  next: string;
}

export class PhysicalCompaction {
  readonly #state: StoreState;
  readonly #pins: Pins;
  #walk: Walk | undefined;

  constructor(state: StoreState, pins: Pins) {
    this.#state = state;
    this.#pins = pins;
  }

  /** @param removals how many records it may remove at most */
  step(removals = removalsPerStep): CompactionProgress {
    const state = this.#state;
    if (this.#walk === undefined) {
      const target = state.compactedRevision;
      if (state.finishedCompaction >= target) return 'idle';
      // Later pins are at or above the compacted revision, so the question is asked once.
      if (this.#pins.oldest < target) return 'waiting';
      this.#walk = { target, next: '' };
    }
    if (this.#advance(this.#walk, removals)) {
      state.finishedCompaction = this.#walk.target;
      this.#walk = undefined;
      state.writeMeta();
    }
    return state.finishedCompaction >= state.compactedRevision ? 'idle' : 'more';
  }

  /** Returns whether the walk is over. */
  #advance(walk: Walk, removalsLimit: number): boolean {
    const { tree, backend, operations } = this.#state;
    const gone: string[] = [];
    let visited = 0;
    let removed = 0;
    const remove = (main: number, sub: number): void => {
      removed++;
      backend.delete(revisionKey(main, sub));
    };
    let over = true;
    tree.visit(walk.next, undefined, (key, index) => {
      if (visited === keysPerStep || removed >= removalsLimit) {
        walk.next = key;
        over = false;
        return stop;
      }
      visited++;
      if (!mayShrink(index, walk.target)) return undefined;
      if (index.compact(walk.target, removalsLimit - removed, remove)) gone.push(key);
      if (removed >= removalsLimit) {
        // The same key again: it may have more to remove.
        walk.next = key;
        over = false;
        return stop;
      }
      return undefined;
    });
    for (const key of gone) tree.delete(key);
    operations.removals += removed;
    return over;
  }
}

function mayShrink(index: KeyIndex, target: number): boolean {
  return index.older !== undefined || (!index.live && index.main < target);
}
