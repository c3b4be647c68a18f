/** Seeded pseudo-random numbers: fast, reproducible, not for secrets. */

export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** An integer in [0, bound). */
  below(bound: number): number;
  /** 64 random bits. */
  bits64(): bigint;
}

/**
 * sfc32, a small chaotic generator with a 128-bit state that passes PractRand
 * (Chris Doty-Humphrey), seeded through splitmix32.
 */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed any number; its low 32 bits and the next 21 count. */
  constructor(seed: number) {
    let state = (seed ^ Math.floor(seed / 0x1_0000_0000)) >>> 0;
    const splitmix = (): number => {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = splitmix();
    this.#b = splitmix();
    this.#c = splitmix();
    for (let i = 0; i < 12; i++) this.#bits32();
  }

  next(): number {
    return (this.#bits32() * 0x20_0000 + (this.#bits32() >>> 11)) / 0x20_0000_0000_0000;
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  bits64(): bigint {
    return (BigInt(this.#bits32()) << 32n) | BigInt(this.#bits32());
  }

  #bits32(): number {
    const result = (this.#a + this.#b + this.#counter) >>> 0;
    this.#counter = (this.#counter + 1) >>> 0;
    this.#a = (this.#b ^ (this.#b >>> 9)) >>> 0;
    this.#b = (this.#c + (this.#c << 3)) >>> 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) >>> 0;
    return result;
  }
}
