/** What a CPU profile of Node says about a time within it. */
import { type Frame, type Stage, stageOf } from './stages.ts';

/** As `--cpu-prof` writes it: times in microseconds of the system's monotonic clock. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: Frame;
    readonly children?: readonly number[];
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  /** Since the sample before. */
  readonly timeDeltas: readonly number[];
}

/** Shares of the time in which the thread did something; their sum is 1. */
export type Shares = ReadonlyMap<Stage, number>;

/**
 * @param fromUs of the same clock as the profile's, as is `untilUs`
 * @throws Error if the profile has nothing of that time
 */
export function sharesOf(profile: CpuProfile, fromUs: number, untilUs: number): Shares {
  const stages = stagesByNode(profile);
  const spent = new Map<Stage, number>();
  let [atUs, busyUs] = [profile.startTime, 0];
  for (const [i, node] of profile.samples.entries()) {
    const deltaUs = profile.timeDeltas[i] ?? 0;
    atUs += deltaUs;
    const stage = stages.get(node);
    if (stage === undefined || atUs < fromUs || atUs > untilUs) continue;
    spent.set(stage, (spent.get(stage) ?? 0) + deltaUs);
    busyUs += deltaUs;
  }
  if (busyUs === 0) throw new Error('the profile has nothing of the time of the load');
  return new Map([...spent].map(([stage, us]) => [stage, us / busyUs]));
}

/** Without those where the thread waits. */
function stagesByNode({ nodes }: CpuProfile): ReadonlyMap<number, Stage> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id);
  const stages = new Map<number, Stage>();
  for (const { id } of nodes) {
    const stack: Frame[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = byId.get(at);
      if (node !== undefined) stack.push(node.callFrame);
    }
    const stage = stageOf(stack);
    if (stage !== undefined) stages.set(id, stage);
  }
  return stages;
}
