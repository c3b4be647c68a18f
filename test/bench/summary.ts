/** Medians over the rounds of each workload, and how we compare. */
import type { Figures, Measurements, Turn } from './measurements.ts';
import { median } from './statistics.ts';
import type { SystemName } from './systems.ts';

/** Above this share of its core a generator may be what limits the rate. */
export const generatorLimit = 0.7;

export interface Medians {
  readonly rounds: number;
  readonly perSecond: number;
  /** CPU seconds of all members for a million operations. */
  readonly cpuPerMillion: number;
  readonly peakBytes: number;
  readonly generatorShare: number;
  /** Milliseconds; undefined if the generator does not tell. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

export interface Row {
  readonly workload: string;
  readonly title: string;
  readonly members: number;
  readonly systems: Readonly<Partial<Record<SystemName, Medians>>>;
  /** Generators that may have been the limit, as `ours 83 %`. */
  readonly busyGenerators: readonly string[];
  /** Ours / etcd, of the medians; undefined if one is missing. */
  readonly rateRatio: number | undefined;
  readonly cpuRatio: number | undefined;
  /** Ours / etcd for each round. */
  readonly rateRatios: readonly number[];
  readonly cpuRatios: readonly number[];
  /** Ours / the server that only answers. */
  readonly ceilingRatio: number | undefined;
}

const perSecond = ({ operations, seconds }: Figures): number => operations / seconds;
const cpuPerMillion = ({ operations, cpuSeconds }: Figures): number =>
  (cpuSeconds / operations) * 1e6;

function mediansOf(turns: readonly Turn[]): Medians | undefined {
  const all = turns.flatMap(({ figures }) => (figures === undefined ? [] : [figures]));
  if (all.length === 0) return undefined;
  const of = (value: (figures: Figures) => number): number => median(all.map(value));
  const hasLatencies = all.every(({ latencies }) => latencies !== undefined);
  return {
    rounds: all.length,
    perSecond: of(perSecond),
    cpuPerMillion: of(cpuPerMillion),
    peakBytes: of(({ peakBytes }) => peakBytes),
    generatorShare: of(({ generatorShare }) => generatorShare),
    p50: hasLatencies ? of(({ latencies }) => latencies?.p50 ?? NaN) : undefined,
    p99: hasLatencies ? of(({ latencies }) => latencies?.p99 ?? NaN) : undefined,
  };
}

function ratio(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

/** Rounds in which both have figures. */
function ratiosOf(turns: readonly Turn[], value: (figures: Figures) => number): number[] {
  const of = (system: SystemName, round: number): number | undefined => {
    const turn = turns.find((each) => each.system === system && each.round === round);
    return turn?.figures === undefined ? undefined : value(turn.figures);
  };
  const rounds = [...new Set(turns.map(({ round }) => round))];
  return rounds.flatMap((round) => ratio(of('ours', round), of('etcd', round)) ?? []);
}

/** A row for each workload that was run with clusters of this size, without those that judge. */
export function rowsOf({ workloads, turns }: Measurements, members: number): readonly Row[] {
  return workloads.flatMap(({ name, title }): Row[] => {
    const own = turns.filter((turn) => {
      const isVerdict = turn.figures?.verdict !== undefined;
      return turn.workload === name && turn.members === members && !isVerdict;
    });
    if (own.length === 0) return [];
    const systems: Partial<Record<SystemName, Medians>> = {};
    for (const system of ['ours', 'etcd', 'constant'] as const) {
      const medians = mediansOf(own.filter((turn) => turn.system === system));
      if (medians !== undefined) systems[system] = medians;
    }
    const { ours, etcd, constant } = systems;
    const busyGenerators = Object.entries(systems)
      .filter(([, { generatorShare }]) => generatorShare > generatorLimit)
      .map(([system, { generatorShare }]) => `${system} ${Math.round(generatorShare * 100)} %`);
    return [
      {
        ...{ workload: name, title, members, systems, busyGenerators },
        rateRatio: ratio(ours?.perSecond, etcd?.perSecond),
        cpuRatio: ratio(ours?.cpuPerMillion, etcd?.cpuPerMillion),
        rateRatios: ratiosOf(own, perSecond),
        cpuRatios: ratiosOf(own, cpuPerMillion),
        ceilingRatio: ratio(ours?.perSecond, constant?.perSecond),
      },
    ];
  });
}
