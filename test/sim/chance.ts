/** Sources of chance: one for each part of a run, so that taking a part away leaves the others. */
import { crc32 } from 'node:zlib';
import { type Random, SeededRandom } from '../../src/base/random.ts';

/** The stream of one part of a run, e.g. of one client. */
export function streamOf(seed: number, part: string): Chance {
  const low = crc32(`${seed} ${part}`);
  const high = crc32(`${part} ${seed}`) & 0x1f_ffff;
  return new Chance(new SeededRandom(high * 0x1_0000_0000 + low));
}

/** Draws in the words of a plan. */
export class Chance implements Random {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): number {
    return this.#random.next();
  }

  below(bound: number): number {
    return this.#random.below(bound);
  }

  bits64(): bigint {
    return this.#random.bits64();
  }

  chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  /** A number in [least, most). */
  between(least: number, most: number): number {
    return least + (most - least) * this.#random.next();
  }

  /** A number in [least, most), small ones as likely as large ones: each octave the same. */
  octaves(least: number, most: number): number {
    let octaves = 0;
    for (let at = least; at * 2 <= most; at *= 2) octaves++;
    const base = least * 2 ** this.below(Math.max(1, octaves));
    return Math.min(most, base * (1 + this.next()));
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  /** One of the keys, each as likely as its weight says. */
  weighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const keys = Object.keys(weights) as Key[];
    let left = this.next() * keys.reduce((sum, key) => sum + weights[key], 0);
    for (const key of keys) {
      left -= weights[key];
      if (left < 0) return key;
    }
    return keys.at(-1) as Key;
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    const rest = [...items];
    const result: Item[] = [];
    while (rest.length > 0) result.push(...rest.splice(this.below(rest.length), 1));
    return result;
  }
}
