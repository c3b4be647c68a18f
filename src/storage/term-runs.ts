/** Terms of consecutive indexes, as runs: a log has few terms and many entries. */
import { assert } from '../base/assert.ts';

export class TermRuns {
  /** First index and term of each run, both ascending. */
  #runs: { readonly index: number; readonly term: number }[] = [];

  /** Forgets everything; the sequence begins with `index`. */
  reset(index: number, term: number): void {
    this.#runs = [{ index, term }];
  }

  /** Tells the term of `index`, and with it forgets the terms of all later indexes. */
  set(index: number, term: number): void {
    this.truncate(index);
    const last = this.#runs.at(-1);
    if (last !== undefined && term < last.term) assert(false, `term ${term} at ${index} falls`);
    if (last?.term !== term) this.#runs.push({ index, term });
  }

  /** Forgets the terms of `index` and later ones. */
  truncate(index: number): void {
    while ((this.#runs.at(-1)?.index ?? -1) >= index) this.#runs.pop();
  }

  /** Forgets the terms of indexes before `index`. */
  discardBefore(index: number): void {
    const keep = this.#find(index);
    const run = this.#runs[keep];
    if (run === undefined) return;
    this.#runs.splice(0, keep + 1, { index, term: run.term });
  }

  /** The term of an index that is part of the sequence. */
  term(index: number): number {
    const run = this.#runs[this.#find(index)];
    assert(run !== undefined, `no term is known for index ${index}`);
    return run.term;
  }

  /** Position of the run that holds `index`; most questions are about the end. */
  #find(index: number): number {
    let low = 0;
    let high = this.#runs.length - 1;
    if ((this.#runs[high]?.index ?? Infinity) <= index) return high;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#runs[middle]?.index ?? 0) <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
