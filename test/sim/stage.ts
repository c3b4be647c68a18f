/**
 * What a scenario works with: several faults in an order that is known to be dangerous, each begun
 * when the one before has had its effect. Everything that it began ends with it.
 */
import type { Chance } from './chance.ts';
import type { Cluster } from './cluster.ts';
import type { SimMember } from './member.ts';
import type { LinkFaults } from './network.ts';
import { type Link, type NetworkFaults, nothing, type Undo } from './network-faults.ts';
import type { DiskSettings } from './plan.ts';

/** Requests of clients that ask once. */
export interface Burst {
  readonly requests: number;
  /** How many of them read. */
  readonly reads: number;
  /** Position of the member that all ask; undefined: each in turn. */
  readonly member?: number;
}

/** How often a moment is waited for. */
const pollMs = 0.25;

export interface StageOptions {
  readonly cluster: Cluster;
  readonly network: NetworkFaults;
  readonly chance: Chance;
  readonly burst: (burst: Burst) => void;
}

export class Stage {
  readonly cluster: Cluster;
  readonly network: NetworkFaults;
  readonly chance: Chance;
  readonly #burst: (burst: Burst) => void;
  readonly #undos: Undo[] = [];
  #over = false;

  constructor({ cluster, network, chance, burst }: StageOptions) {
    this.cluster = cluster;
    this.network = network;
    this.chance = chance;
    this.#burst = burst;
  }

  get over(): boolean {
    return this.#over;
  }

  get electionMs(): number {
    return this.cluster.plan.server.electionMs;
  }

  get heartbeatMs(): number {
    return this.cluster.plan.server.heartbeatMs;
  }

  /** Up, running and leading. */
  get leader(): SimMember | undefined {
    const { leader } = this.cluster;
    return leader?.process?.paused === true ? undefined : leader;
  }

  /** The other members, in an order drawn by chance. */
  others(...besides: readonly SimMember[]): SimMember[] {
    return this.chance.shuffled(this.cluster.members.filter((each) => !besides.includes(each)));
  }

  /** Undoes what the scenario began; nothing more comes of it. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.cluster.oracle.onElected = undefined;
    for (const undo of this.#undos.splice(0).reverse()) undo();
  }

  after(delayMs: number, step: () => void): void {
    this.cluster.scheduler.after(delayMs, 0, () => {
      if (!this.#over) step();
    });
  }

  /** Calls `step` at the moment in which a leader is elected: it may cut links, or plan more. */
  whenElected(step: (leader: SimMember) => void): void {
    this.cluster.oracle.onElected = (name) => {
      this.cluster.oracle.onElected = undefined;
      const elected = this.cluster.members.find((member) => member.name === name);
      if (!this.#over && elected !== undefined) step(elected);
    };
  }

  /** Calls `step` once `holds` does. */
  when(holds: () => boolean, step: () => void): void {
    this.after(pollMs, () => {
      if (holds()) step();
      else this.when(holds, step);
    });
  }

  isolate(member: SimMember): Undo {
    return this.#undone(this.network.isolate(member.position));
  }

  /** Makes the ways into one member longer. */
  slowInto(member: SimMember, extraMs: number): Undo {
    const into = ([, to]: Link): boolean => to === member.position;
    return this.#undone(this.network.slow(this.network.links.filter(into), extraMs));
  }

  /** Makes the ways from and to a member longer. */
  slowLinks(member: SimMember, extraMs: number): Undo {
    const { position } = member;
    const links = this.network.links.filter((link) => link.includes(position));
    return this.#undone(this.network.slow(links, extraMs));
  }

  changeNetwork(change: Partial<LinkFaults>): Undo {
    return this.#undone(this.network.change(change));
  }

  slowDisk(member: SimMember, syncMs: DiskSettings['syncMs']): void {
    if (member.slowSyncMs !== undefined) return;
    member.slowSyncMs = syncMs;
    this.#undone(() => {
      member.slowSyncMs = undefined;
    });
  }

  /** Lets a process stand still. */
  pause(member: SimMember): Undo {
    const { process } = member;
    if (process === undefined || process.paused) return nothing;
    process.pause();
    return this.#undone(() => {
      if (process.paused) process.resume();
    });
  }

  /** Takes a member's power until the scenario ends, or until the result is called. */
  strike(member: SimMember): Undo {
    if (member.process === undefined) return nothing;
    member.crash(1e9, true);
    return this.#undone(() => member.start());
  }

  /** Asks the leader to hand over; false if it cannot. */
  transfer(to: SimMember): boolean {
    const { leader } = this;
    const life = leader?.life;
    if (leader === undefined || life === undefined) return false;
    if (to === leader || to.running === undefined) return false;
    leader.transferMs = this.cluster.scheduler.nowMs;
    life.process.run(() => life.member.transferLeader(to.id));
    return true;
  }

  puts(requests: number, member?: SimMember): void {
    this.#ask({ requests, reads: 0 }, member);
  }

  reads(requests: number, member?: SimMember): void {
    this.#ask({ requests, reads: requests }, member);
  }

  #ask(burst: Burst, member: SimMember | undefined): void {
    this.#burst({ ...burst, ...(member && { member: member.position }) });
  }

  #undone(undo: Undo): Undo {
    this.#undos.push(undo);
    return undo;
  }
}
