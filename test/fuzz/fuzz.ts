/**
 * Property tests of decoders: how much is tried, from which seed, and what came of it.
 *
 * QUORATE_FUZZ_RUNS is the number of inputs per decoder, QUORATE_FUZZ_SEED the seed that a failure
 * printed, QUORATE_FUZZ_RESULT a file to which each decoder adds one line of JSON.
 */
import { appendFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';

/** Inputs per decoder, where its cost is usual: all of them take about half a minute. */
const defaultRuns = 2000;
/** Decoding a few kilobytes takes microseconds; a busy machine may stop a process for a while. */
const usualTimeMaxMs = 2000;

function fromEnvironment(name: string, fallback: number): number {
  const text = process.env[name] ?? '';
  if (text === '') return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error(`${name} is not a whole number: ${text}`);
  return value;
}

const baseRuns = fromEnvironment('QUORATE_FUZZ_RUNS', defaultRuns);
export const seed = fromEnvironment('QUORATE_FUZZ_SEED', Date.now() % 0x7fff_ffff);
/** A larger number of runs gets its time. */
const timeoutMs = 60_000 + baseRuns * 30;

/** What became of one input. */
export type Verdict = 'accepted' | 'refused' | 'unchanged';

interface Result {
  readonly decoder: string;
  readonly seed: number;
  readonly inputs: number;
  readonly verdicts: Readonly<Partial<Record<Verdict, number>>>;
  readonly ms: number;
}

const results: Result[] = [];

afterAll(() => {
  const inputs = results.reduce((sum, result) => sum + result.inputs, 0);
  console.log(`fuzzed ${results.length} decoders with ${inputs} inputs, QUORATE_FUZZ_SEED=${seed}`);
  const file = process.env['QUORATE_FUZZ_RESULT'] ?? '';
  if (file === '') return;
  appendFileSync(file, results.map((result) => `${JSON.stringify(result)}\n`).join(''));
});

export interface FuzzOptions {
  /** Inputs in proportion to the usual number. */
  readonly weight?: number;
  /** Verdicts that must come up, or else the inputs are too good or too bad to try anything. */
  readonly expects?: readonly Verdict[];
  /** The longest time for one input, in milliseconds. */
  readonly timeMaxMs?: number;
}

/**
 * Tries a decoder on many inputs. `attempt` throws if the decoder did something that it must not,
 * and otherwise says what it did.
 */
export function fuzz<Input>(
  decoder: string,
  input: fc.Arbitrary<Input>,
  attempt: (input: Input) => Verdict | Promise<Verdict>,
  { weight = 1, expects = ['accepted', 'refused'], timeMaxMs = usualTimeMaxMs }: FuzzOptions = {},
): void {
  const runs = Math.max(1, Math.round(baseRuns * weight));
  test(decoder, { timeout: timeoutMs }, async () => {
    const verdicts: Partial<Record<Verdict, number>> = {};
    const start = performance.now();
    const property = fc.asyncProperty(input, async (value) => {
      const begun = performance.now();
      const verdict = await attempt(value);
      verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
      const tookMs = performance.now() - begun;
      if (tookMs > timeMaxMs) throw new Error(`one input took ${tookMs.toFixed(0)} ms`);
    });
    await fc.assert(property, { seed, numRuns: runs });
    const ms = Math.round(performance.now() - start);
    results.push({ decoder, seed, inputs: runs, verdicts, ms });
    for (const verdict of expects)
      expect(verdicts, `no input was ${verdict}`).toHaveProperty(verdict);
  });
}

type ErrorClass = abstract new (...args: never[]) => Error;

/** The decoded value; undefined if it was refused with one of the errors that are meant for it. */
export function decoded<T>(decode: () => T, ...refusals: readonly ErrorClass[]): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (refusals.some((each) => error instanceof each)) return undefined;
    throw error;
  }
}

/**
 * How much a value holds: a unit for each part, and one for each byte or character. A decoder that
 * believes what its input says about itself makes more than there is.
 */
export function weightOf(value: unknown): number {
  if (typeof value === 'string') return 1 + value.length;
  if (value instanceof Uint8Array) return 1 + value.length;
  if (typeof value !== 'object' || value === null) return 1;
  let weight = 1;
  for (const part of Object.values(value)) weight += weightOf(part);
  return weight;
}

/** Equal by content: bytes are bytes, whether they are a Buffer or not. */
function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b);
  }
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  const [first, second] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return keys.every((key) => key in b && isSame(first[key], second[key]));
}

export function expectSame(actual: unknown, expected: unknown): void {
  // To show a difference takes long over large arrays of bytes, so it is done only if there is one.
  if (!isSame(actual, expected)) {
    expect(actual).toEqual(expected);
    throw new Error('two values are not the same, but look alike');
  }
}
