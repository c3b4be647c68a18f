/** Ids that route the outcome of a log entry to the caller that proposed it. */
import type { Random } from '../base/random.ts';

/**
 * Unique among the members and their restarts with overwhelming probability: 32 random bits drawn
 * at each start, then a counter. Uniqueness only matters while a request is under way.
 */
export class RequestIds {
  readonly #prefix: bigint;
  #counter = 0;

  constructor(random: Random) {
    // The top bit stays clear, so that the id is positive in languages without unsigned numbers.
    this.#prefix = BigInt.asUintN(31, random.bits64()) << 32n;
  }

  next(): bigint {
    this.#counter = (this.#counter + 1) >>> 0;
    return this.#prefix | BigInt(this.#counter);
  }
}
