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

/** The medians of samples, but of the heap the least: what remains after a collection. */
export function holdingsOf(samples: readonly Holdings[]): Holdings {
  const of = (name: keyof Holdings): number => median(samples.map((sample) => sample[name]));
  return {
    residentBytes: of('residentBytes'),
    heapBytes: Math.min(...samples.map(({ heapBytes }) => heapBytes)),
    externalBytes: of('externalBytes'),
    openFiles: of('openFiles'),
    diskBytes: of('diskBytes'),
  };
}

/**
 * How much more of something the last third of the windows had than the one before, as a share;
 * the first third is left to caches that fill.
 */
export function growthOf(windows: readonly SteadyWindow[], name: keyof Holdings): number {
  const third = Math.floor(windows.length / 3);
  const held = windows.map(({ holdings }) => holdings[name]);
  const last = median(held.slice(held.length - third));
  return last / median(held.slice(held.length - 2 * third, held.length - third)) - 1;
}
