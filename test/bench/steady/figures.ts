/** What comes of a run of the steady benchmark: the data behind its page. */
import type { Machine } from '../measurements.ts';
import { type Latencies, median } from '../statistics.ts';

/** What all members hold together at a moment. */
export interface Holdings {
  readonly residentBytes: number;
  /** JavaScript objects, garbage that was not collected yet among them. */
  readonly heapBytes: number;
  /** Buffers outside of the heap. */
  readonly externalBytes: number;
  readonly openFiles: number;
  /** Blocks of the file system below their data directories. */
  readonly diskBytes: number;
}

export const holdingNames = [
  'residentBytes',
  'heapBytes',
  'externalBytes',
  'openFiles',
  'diskBytes',
] as const satisfies readonly (keyof Holdings)[];

/** A part of the run. */
export interface SteadyWindow {
  /** Since the load began. */
  readonly untilSeconds: number;
  readonly puts: number;
  readonly latencies: Latencies;
  readonly holdings: Holdings;
  /** CPU time of the longest turn of any member's event loop. */
  readonly longestTurnMs: number;
}

export interface SteadyMeasurements {
  readonly commit: string;
  /** As in ISO 8601. */
  readonly begun: string;
  readonly machine: Machine;
  readonly keys: number;
  /** Of our own client with many puts under way. */
  readonly highestPerSecond: number;
  readonly perSecond: number;
  readonly windows: readonly SteadyWindow[];
}

/**
 * What members hold together, from samples of each: the sums of each one's medians, but of the heap
 * the least, which is about what remains after a collection.
 * @param samples of all members at the same times
 */
export function holdingsOf(samples: readonly (readonly Holdings[])[]): Holdings {
  const members = samples[0]?.map((_, member) => samples.map((sample) => sample[member])) ?? [];
  const sumOf = (name: keyof Holdings, of: (values: number[]) => number): number =>
    members.reduce((sum, all) => sum + of(all.map((each) => each?.[name] ?? NaN)), 0);
  return {
    residentBytes: sumOf('residentBytes', median),
    heapBytes: sumOf('heapBytes', (values) => Math.min(...values)),
    externalBytes: sumOf('externalBytes', median),
    openFiles: sumOf('openFiles', median),
    diskBytes: sumOf('diskBytes', median),
  };
}

/** What was held in a later part of the time, beside an earlier one. */
export interface Trend {
  /** Of the windows of the second third; the first is left to caches that fill. */
  readonly least: number;
  readonly most: number;
  /** The median of the last third. */
  readonly last: number;
}

/** Undefined if there are too few windows. */
export function trendOf(windows: readonly SteadyWindow[], name: keyof Holdings): Trend | undefined {
  const third = Math.floor(windows.length / 3);
  if (third === 0) return undefined;
  const held = windows.map(({ holdings }) => holdings[name]);
  const second = held.slice(held.length - 2 * third, held.length - third);
  return {
    least: Math.min(...second),
    most: Math.max(...second),
    last: median(held.slice(held.length - third)),
  };
}
