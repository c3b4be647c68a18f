/** The members of a run, the network between them, and what has gone wrong. */
import type { Member as ClusterMember } from '../../src/cluster/membership.ts';
import { type Chance, streamOf } from './chance.ts';
import { SimMember } from './member.ts';
import { createNetwork, type Network, peerUrl } from './network.ts';
import { Oracle } from './oracle.ts';
import type { Target } from './fault-plan.ts';
import type { Plan } from './plan.ts';
import type { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

/** Something that must not happen has happened. */
export interface Breach {
  readonly rule: string;
  readonly text: string;
  readonly atMs: number;
}

export class Cluster {
  readonly id = 0xc1n;
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  /** For what faults leave open: which unsynced batches survive, say. */
  readonly chance: Chance;
  readonly network: Network;
  readonly oracle = new Oracle();
  readonly founders: readonly ClusterMember[];
  readonly members: readonly SimMember[];
  readonly breaches: Breach[] = [];

  constructor(plan: Plan, scheduler: Scheduler, trace: Trace) {
    this.plan = plan;
    this.scheduler = scheduler;
    this.trace = trace;
    this.chance = streamOf(plan.seed, 'cluster');
    this.network = createNetwork({
      scheduler,
      chance: streamOf(plan.seed, 'network'),
      settings: plan.network,
    });
    this.founders = Array.from({ length: plan.members }, (_, i) => ({
      id: BigInt(i + 1),
      name: `m${i + 1}`,
      peerUrls: [peerUrl(BigInt(i + 1))],
      clientUrls: [],
      isLearner: false,
    }));
    this.members = this.founders.map((_, i) => new SimMember(this, i));
  }

  start(): void {
    for (const member of this.members) member.start();
  }

  broken(rule: string, text: string): void {
    this.trace.say('check', `${rule}: ${text.split('\n')[0] ?? ''}`);
    this.breaches.push({ rule, text, atMs: this.scheduler.nowMs });
  }

  get leader(): SimMember | undefined {
    const leaders = this.members.filter(({ running }) => running?.server.isLeader === true);
    // One that was cut off may not know yet that another leads.
    return leaders.sort((a, b) => (b.running?.server.term ?? 0) - (a.running?.server.term ?? 0))[0];
  }

  member(target: Target): SimMember | undefined {
    if (typeof target === 'number') return this.members[target];
    const { leader } = this;
    if (target === 'leader') return leader ?? this.members[0];
    return this.members.find((member) => member !== leader && member.running !== undefined);
  }

  /** Members that are not lost to damage. */
  get wanted(): readonly SimMember[] {
    return this.members.filter(({ refusal }) => refusal === undefined);
  }
}
