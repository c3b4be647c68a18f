/** The members of a run, the network between them, and what has gone wrong. */
import type { Member as ClusterMember } from '../../src/cluster/membership.ts';
import { type Chance, streamOf } from './chance.ts';
import { SimMember } from './member.ts';
import { MemberLedger } from './member-ledger.ts';
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
  /** All that ever were, by position. */
  readonly members: SimMember[];
  /** Undefined where the members stay as they are. */
  readonly ledger: MemberLedger | undefined;
  readonly breaches: Breach[] = [];
  /** Told of members that come later. */
  onJoin: ((member: SimMember) => void) | undefined;
  /** Told of a member that was added and can never take part (`WitnessesGoneError`). */
  onUnprovable: ((member: SimMember) => void) | undefined;

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
      peerUrls: [peerUrl(`m${i + 1}`)],
      clientUrls: [],
      isLearner: false,
    }));
    this.ledger = plan.membership && new MemberLedger(this.founders);
    this.members = this.founders.map(({ id, name }, i) => {
      return new SimMember(this, i, { id, name, joins: false });
    });
  }

  start(): void {
    for (const member of this.members) member.start();
  }

  /** A member that was added; it has not been started yet. */
  join(id: bigint, name: string): SimMember {
    const member = new SimMember(this, this.members.length, { id, name, joins: true });
    this.members.push(member);
    this.onJoin?.(member);
    return member;
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

  /** Whom a client asks that counts on the member at `position`. */
  at(position: number): SimMember {
    const member = this.members[position] as SimMember;
    const { wanted } = this;
    // Clients are told of others once one has left for good.
    return member.retired ? (wanted[position % wanted.length] ?? member) : member;
  }

  /** Members that are not lost to damage, and not removed. */
  get wanted(): readonly SimMember[] {
    return this.members.filter(
      ({ id, refusal }) => refusal === undefined && this.ledger?.isRemoved(id) !== true,
    );
  }

  /** Why the members that the log names are not all at work; undefined if they are. */
  get unsettled(): string | undefined {
    const { ledger } = this;
    for (const { id, name } of ledger?.latest.members.values() ?? []) {
      const member = this.members.find((each) => each.id === id);
      const { running } = member ?? {};
      if (member === undefined || running === undefined) {
        return `${member?.name ?? id.toString(16)} does not run`;
      }
      if (name === '' || member.life?.serving !== true) return `${member.name} does not serve`;
      if (ledger?.at(running.server.appliedIndex) !== ledger?.latest) {
        return `${member.name} does not know the newest members`;
      }
    }
    return undefined;
  }

  get removed(): readonly SimMember[] {
    return this.members.filter(({ id }) => this.ledger?.isRemoved(id) === true);
  }

  /** Those whose votes count, by the newest configuration that anybody has applied. */
  get voters(): readonly SimMember[] {
    const { ledger } = this;
    if (ledger === undefined) return this.members;
    const { members } = ledger.latest;
    return this.members.filter(({ id }) => members.get(id)?.isLearner === false);
  }
}
