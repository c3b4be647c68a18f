/** Revisions that readers still need: physical compaction waits for the oldest. */
import { assert } from '../base/assert.ts';

export class Pins {
  /** How many hold each revision; few at a time, so the oldest is found by looking at all. */
  readonly #counts = new Map<number, number>();
  readonly #onRelease: () => void;

  constructor(onRelease: () => void) {
    this.#onRelease = onRelease;
  }

  /** Infinity if there is none. */
  get oldest(): number {
    let oldest = Infinity;
    for (const revision of this.#counts.keys()) oldest = Math.min(oldest, revision);
    return oldest;
  }

  add(revision: number): void {
    this.#counts.set(revision, (this.#counts.get(revision) ?? 0) + 1);
  }

  remove(revision: number): void {
    const count = this.#counts.get(revision);
    assert(count !== undefined, 'a pin is released that was not held');
    if (count === 1) this.#counts.delete(revision);
    else this.#counts.set(revision, count - 1);
    this.#onRelease();
  }
}
