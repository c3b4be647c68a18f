/** Makes a failing plan smaller: takes away what the failure does not need. */
import type { Plan } from './plan.ts';
import { simulate } from './simulation.ts';

/** Runs past which a plan is as small as it gets. */
const runsLimit = 300;

export interface Shrunk {
  readonly plan: Plan;
  readonly runs: number;
}

/** @param rule the breach that must stay */
export async function shrink(
  plan: Plan,
  rule: string,
  say: (text: string) => void,
): Promise<Shrunk> {
  let smallest = plan;
  let runs = 0;
  const fails = async (candidate: Plan): Promise<boolean> => {
    if (runs >= runsLimit) return false;
    runs++;
    const { breaches } = await simulate(candidate);
    return breaches.some((breach) => breach.rule === rule);
  };
  const attempt = async (candidate: Plan): Promise<boolean> => {
    if (!(await fails(candidate))) return false;
    smallest = candidate;
    say(
      `still ${rule} with ${smallest.faults.length} faults, ${smallest.clients.length} clients, ` +
        `${smallest.watchers.length} watchers`,
    );
    return true;
  };
  for (const part of ['faults', 'watchers', 'leaseHolders', 'lockHolders', 'clients'] as const) {
    await removeParts(() => smallest, part, attempt);
  }
  const calm = { ...smallest.network, drop: 0, duplicate: 0, reorder: 0, breakSnapshot: 0 };
  await attempt({ ...smallest, network: calm });
  await attempt({ ...smallest, clockRates: smallest.clockRates.map(() => 1) });
  await attempt({ ...smallest, valueBytes: 0 });
  return { plan: smallest, runs };
}

/** Delta debugging: takes away halves, then quarters, down to single ones. */
async function removeParts(
  current: () => Plan,
  part: 'faults' | 'watchers' | 'leaseHolders' | 'lockHolders' | 'clients',
  attempt: (candidate: Plan) => Promise<boolean>,
): Promise<void> {
  let size = Math.ceil(current()[part].length / 2);
  while (size > 0) {
    let from = 0;
    while (from < current()[part].length) {
      const plan = current();
      const rest = plan[part].filter((_, i) => i < from || i >= from + size);
      if (!(await attempt({ ...plan, [part]: rest }))) from += size;
    }
    if (size === 1) break;
    size = Math.ceil(size / 2);
  }
}
