/** Runs seeds against a planted bug until one of them notices. */
import { runPool } from '../pool.ts';
import type { PlantedBug } from './bug.ts';

export interface Hunted {
  readonly id: string;
  readonly mistake: PlantedBug['mistake'];
  readonly title: string;
  readonly caughtBy: string;
  /** The first rule that was broken; undefined if none was. */
  readonly rule: string | undefined;
  /** What was broken, in one line: the places in a stack trace are those of the build. */
  readonly text: string;
  /** The seed that noticed, or the last one that did not. */
  readonly seed: number;
  /** Seeds that it took. */
  readonly seeds: number;
}

export interface SeedRange {
  readonly from: number;
  readonly count: number;
}

/** @param worker path of the worker of a build with the bug in it */
export async function hunt(bug: PlantedBug, worker: string, range: SeedRange): Promise<Hunted> {
  const { id, mistake, title, caughtBy } = bug;
  let caught: { readonly rule: string; readonly text: string } | undefined;
  let seeds = 0;
  let seed = range.from;
  await runPool({
    jobs: 1,
    worker,
    next: () => {
      if (caught !== undefined || seeds >= range.count) return undefined;
      return range.from + seeds++;
    },
    done: (summary) => {
      seed = summary.seed;
      [caught] = summary.breaches;
    },
  });
  return {
    id,
    mistake,
    title,
    caughtBy,
    rule: caught?.rule,
    text: caught?.text.split('\n')[0] ?? '',
    seed,
    seeds,
  };
}
