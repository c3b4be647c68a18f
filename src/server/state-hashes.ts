/**
 * The hashes that the state had after each of the newest entries, and digests of them: two members
 * whose digests of a range are equal had equal states after every entry in it.
 */
import { assert } from '../base/assert.ts';
import type { DigestHalves } from '../mvcc/state-digest.ts';
import type { DigestUpTo } from '../transport/hash-notes.ts';

/** Hashes that are kept, eight bytes each. A power of two. */
const keptHashes = 65_536;

const highSeed = 0x2545f491;
const lowSeed = 0x9e3779b9;

export class StateHashes {
  readonly #high = new Uint32Array(keptHashes);
  readonly #low = new Uint32Array(keptHashes);
  #oldest = 1;
  #newest = 0;

  /** The oldest index whose hash is known; above `newest` while none is. */
  get oldest(): number {
    return this.#oldest;
  }

  get newest(): number {
    return this.#newest;
  }

  /** Begins with the state of `index`; nothing is known of those before. */
  restart(index: number, hash: DigestHalves): void {
    this.#oldest = index;
    this.#newest = index;
    this.#set(index, hash);
  }

  /** Takes the hash after the next entry. */
  add(index: number, hash: DigestHalves): void {
    assert(index === this.#newest + 1, 'the hashes of the state have a gap');
    this.#newest = index;
    if (index - this.#oldest >= keptHashes) this.#oldest += 1;
    this.#set(index, hash);
  }

  /**
   * Digests of the hashes from `from` to each of `tos`, which ascend.
   * @returns undefined if a hash is not known, or not yet
   */
  digests(from: number, tos: readonly number[]): readonly DigestUpTo[] | undefined {
    if (from < this.#oldest || (tos.at(-1) ?? 0) > this.#newest) return undefined;
    const highs = this.#high;
    const lows = this.#low;
    const digests: DigestUpTo[] = [];
    let [high, low] = [highSeed, lowSeed];
    let index = from;
    for (const to of tos) {
      for (; index <= to; index++) {
        const at = index & (keptHashes - 1);
        high = fold(high, highs[at] as number);
        low = fold(low, lows[at] as number);
      }
      digests.push({ to, high: high >>> 0, low: low >>> 0 });
    }
    return digests;
  }

  digest(from: number, to: number): DigestUpTo | undefined {
    return to < from ? undefined : this.digests(from, [to])?.[0];
  }

  #set(index: number, { high, low }: DigestHalves): void {
    const at = index & (keptHashes - 1);
    this.#high[at] = high;
    this.#low[at] = low;
  }
}

/** One step of a hash that depends on order. Each step can be undone, so differences stay. */
function fold(digest: number, hash: number): number {
  const product = Math.imul(digest ^ hash, 0x85ebca6b);
  return product ^ (product >>> 13);
}

export function equalDigests(a: DigestUpTo, b: DigestUpTo): boolean {
  return a.to === b.to && a.high === b.high && a.low === b.low;
}
