/** CPU time of each member during a load, for the account of where it went. */
import type { MemberUsage, MemberUsages } from './measurements.ts';
import { cpuTimes, mainThreadTimes } from './resources.ts';
import type { System } from './systems.ts';

/** From now until the result is called. */
export function memberUsages(system: System): () => MemberUsages {
  const before = usedBy(system);
  const fromUs = monotonicUs();
  return () => {
    const untilUs = monotonicUs();
    const members = usedBy(system).map((now, i): MemberUsage => {
      const { main, mainSystem, others } = before[i] as MemberUsage;
      return {
        name: now.name,
        main: now.main - main,
        mainSystem: now.mainSystem - mainSystem,
        others: now.others - others,
      };
    });
    return { fromUs, untilUs, members };
  };
}

function usedBy({ pids, names }: System): MemberUsage[] {
  return pids.map((pid, i) => {
    const main = mainThreadTimes(pid);
    const others = cpuTimes(pid).own - main.own;
    return { name: names[i] ?? '', main: main.own, mainSystem: main.system, others };
  });
}

const monotonicUs = (): number => Number(process.hrtime.bigint() / 1000n);
