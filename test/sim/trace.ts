/**
 * What happened in a simulation, as one number and, on request, as lines that a person can read.
 *
 * Two runs that differ in the time or order of a single event, message or answer differ in the
 * hash: it is how a run proves that it is the same as another.
 */
import { crc32 } from 'node:zlib';
import type { Event } from './scheduler.ts';

const bits = new ArrayBuffer(8);
const asDouble = new Float64Array(bits);
const asWords = new Uint32Array(bits);

export class Trace {
  readonly #line: ((text: string) => void) | undefined;
  #now: () => number = () => 0;
  #a = 0x9e37_79b9;
  #b = 0x85eb_ca6b;

  /** @param line takes the timeline, one line at a time; without it no text is made */
  constructor(line?: (text: string) => void) {
    this.#line = line;
  }

  useClock(now: () => number): void {
    this.#now = now;
  }

  /** The hash so far: 16 hexadecimal digits. */
  get hash(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.#a) + hex(this.#b);
  }

  event({ atMs, sequence, owner }: Event): void {
    asDouble[0] = atMs;
    this.#mix(asWords[0] as number);
    this.#mix(asWords[1] as number);
    this.#mix(sequence);
    this.#mix(owner);
  }

  number(value: number): void {
    asDouble[0] = value;
    this.#mix(asWords[0] as number);
    this.#mix(asWords[1] as number);
  }

  /** A line of the timeline, which counts for the hash too. */
  say(who: string, what: string): void {
    this.#mix(crc32(what, crc32(who)));
    this.#line?.(`${this.#now().toFixed(3).padStart(12)} ${who.padEnd(8)} ${what}`);
  }

  /** Whether detail that is costly to put in words is wanted. */
  get detailed(): boolean {
    return this.#line !== undefined;
  }

  /** A line for the reader only: it may be left out without a change of the hash. */
  detail(who: string, what: () => string): void {
    this.#line?.(`${this.#now().toFixed(3).padStart(12)} ${who.padEnd(8)} ${what()}`);
  }

  #mix(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x0100_0193) ^ (this.#b >>> 15);
    this.#b = Math.imul(this.#b ^ word, 0x5bd1_e995) ^ (this.#a >>> 13);
  }
}
