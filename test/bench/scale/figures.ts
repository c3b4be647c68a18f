/** What comes of a run of the scale benchmark: the data behind its page. */
import type { Machine } from '../measurements.ts';
import type { Latencies } from '../statistics.ts';
import type { MemberSystem } from '../systems.ts';

export interface PhaseFigures {
  readonly seconds: number;
  /** Of the puts that went on meanwhile. */
  readonly latencies?: Latencies;
  /** CPU time of the longest turn of any member's event loop; of ours only. */
  readonly longestTurnMs?: number;
}

export const phaseNames = ['load', 'restart', 'quiet', 'join', 'overwrite', 'compaction'] as const;
export type PhaseName = (typeof phaseNames)[number];

export interface ScaleFigures {
  readonly keys: number;
  /** Versions that were overwritten, and so fell to the compaction. */
  readonly superseded: number;
  /** What all members held before the first key, and with all of them. */
  readonly emptyBytes: number;
  readonly fullBytes: number;
  readonly phases: Readonly<Record<PhaseName, PhaseFigures>>;
}

export interface ScaleTurn {
  readonly system: MemberSystem;
  readonly keys: number;
  /** Why it counts as failed; there are no figures then. */
  readonly failed?: string;
  readonly figures?: ScaleFigures;
}

export interface ScaleMeasurements {
  readonly commit: string;
  /** As in ISO 8601. */
  readonly begun: string;
  readonly machine: Machine;
  readonly turns: readonly ScaleTurn[];
}
