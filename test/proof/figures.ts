/** What the commands behind the parts write, as far as the page tells of it. */
import type { RunFigures } from '../nemesis/run-figures.ts';
import type { LaterBug } from '../sim/bugs/bug.ts';
import type { Hunted } from '../sim/bugs/hunt.ts';
import type { SeedRange, Total } from '../sim/summary.ts';

/** Of `npm run sim -- --json`. */
export interface SimulationFigures extends Total {
  readonly ranges: readonly SeedRange[];
  /** One hash of the traces of all seeds. */
  readonly traces: string;
}

/** Of `npm run sim -- --twice --json`. */
export interface TraceFigures extends SimulationFigures {
  /** Seeds whose second run differed from the first. */
  readonly differing: readonly number[];
  readonly hashes: Readonly<Record<string, string>>;
}

/** Of `npm run sim:bugs -- --json`. */
export interface BugFigures {
  readonly bugs: readonly Hunted[];
  readonly later: readonly LaterBug[];
}

/** Of `npm run test:nemesis -- --json`. */
export interface NemesisFigures {
  readonly runs: readonly RunFigures[];
}

/** Of test/storage/damage.test.ts: cases that came out as they may. */
export type DamageFigures = readonly {
  /** File, kind of damage, and how many members of five were hit, with commas between. */
  readonly case: string;
  readonly outcome: string;
}[];

/** Of test/storage/crash-points.test.ts. */
export interface CrashFigures {
  readonly seed: number;
  readonly operations: number;
  readonly writes: number;
  readonly recoveries: number;
}

/** Of one scenario of test/storage/power/power-cuts.test.ts. */
export interface PowerScenarioFigures {
  readonly scenario: string;
  readonly seed: number;
  readonly calls: number;
  readonly promised: number;
  readonly points: number;
  readonly starts: number;
  readonly processStarts: number;
  readonly failures: readonly string[];
}

export type PowerFigures = readonly PowerScenarioFigures[];

/** Of test/fuzz, for each decoder. */
export type FuzzFigures = readonly {
  readonly decoder: string;
  readonly seed: number;
  readonly inputs: number;
  readonly verdicts: Readonly<Record<string, number>>;
}[];

/** Figures by the part that they belong to. */
export interface PartFigures {
  readonly simulation: SimulationFigures;
  readonly traces: TraceFigures;
  readonly bugs: BugFigures;
  readonly nemesis: NemesisFigures;
  readonly damage: DamageFigures;
  readonly crashes: CrashFigures;
  readonly power: PowerFigures;
  readonly fuzz: FuzzFigures;
}

export type PartName = keyof PartFigures;

/** In the order in which they run and stand on the page. */
export const partNames: readonly PartName[] = [
  'simulation',
  'traces',
  'bugs',
  'nemesis',
  'damage',
  'crashes',
  'power',
  'fuzz',
];
