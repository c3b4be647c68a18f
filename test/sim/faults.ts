/** Makes a plan's faults happen, and ends them. */
import type { MemoryDisk } from '../../src/storage/memory-engine.ts';
import { streamOf } from './chance.ts';
import type { Cluster } from './cluster.ts';
import type { Fault, FaultKind, PlannedFault, Target } from './fault-plan.ts';
import type { SimMember } from './member.ts';

/** How a fault ends; those that end by themselves have nothing to do. */
type Undo = () => void;

const nothing: Undo = () => {};

export class Faults {
  readonly #cluster: Cluster;
  readonly #burst: (requests: number) => void;
  readonly #active = new Set<Undo>();
  /** How often each link is cut: it is open when nobody cuts it. */
  readonly #cuts = new Map<string, number>();
  /** Members that clients do not reach, with how many faults say so. */
  readonly #hidden = new Map<number, number>();
  readonly injected: Partial<Record<FaultKind, number>> = {};
  #healed = false;

  /** @param burst makes clients ask that many requests at once */
  constructor(cluster: Cluster, burst: (requests: number) => void) {
    this.#cluster = cluster;
    this.#burst = burst;
  }

  /** Faults that happened so far. */
  get count(): number {
    return Object.values(this.injected).reduce((sum, count) => sum + count, 0);
  }

  schedule(faults: readonly PlannedFault[]): void {
    faults.forEach((planned, number) => {
      this.#cluster.scheduler.after(planned.atMs, 0, () => this.#inject(planned, number));
    });
  }

  clientsReach(position: number): boolean {
    return (this.#hidden.get(position) ?? 0) === 0;
  }

  /** Ends what is under way; nothing new happens from now on. */
  heal(): void {
    this.#healed = true;
    for (const undo of [...this.#active]) undo();
  }

  #inject({ fault, forMs }: PlannedFault, number: number): void {
    if (this.#healed) return;
    const { scheduler, trace } = this.#cluster;
    const undo = this.#begin(fault, forMs, number);
    if (undo === undefined) return;
    this.injected[fault.kind] = (this.injected[fault.kind] ?? 0) + 1;
    trace.say('fault', `${JSON.stringify(fault)} for ${forMs.toFixed(0)} ms`);
    if (undo === nothing) return;
    const end: Undo = () => {
      if (!this.#active.delete(end)) return;
      trace.say('fault', `${fault.kind} ends`);
      undo();
    };
    this.#active.add(end);
    scheduler.after(forMs, 0, end);
  }

  /** Undefined if there is nothing that the fault could do now. */
  #begin(fault: Fault, forMs: number, number: number): Undo | undefined {
    switch (fault.kind) {
      case 'crash':
        return this.#onRunning(fault.target, (member) => member.crash(forMs, fault.power));
      case 'crash-all':
        for (const member of this.#cluster.members) {
          if (member.process !== undefined) member.crash(forMs, fault.power);
        }
        return nothing;
      case 'stop':
        return this.#onRunning(fault.target, (member) => member.stop(forMs));
      case 'pause':
        return this.#pause(fault.target);
      case 'split':
      case 'one-way':
      case 'ring':
        return this.#cut(this.#links(fault));
      case 'isolate':
        return this.#isolate(fault);
      case 'swizzle':
        return this.#swizzle(fault.share, forMs, number);
      case 'slow-network':
        return this.#network({ delayMs: { least: fault.delayMs / 4, most: fault.delayMs } });
      case 'lossy-network':
        return this.#network({ drop: fault.drop });
      case 'cut-clients':
        return this.#hide(fault.target);
      case 'slow-disk':
        return this.#slowDisk(fault.target, fault.syncMs);
      case 'failing-disk':
        // One that gets back what it lost already has an excuse, and keeps it until it is whole.
        if (isExcused(this.#cluster.member(fault.target))) return undefined;
        return this.#onRunning(fault.target, (member) => failDisk(member, fault.code));
      case 'clock-jump':
        return this.#onRunning(fault.target, (member) => member.process?.jump(fault.ms));
      case 'transfer':
        return this.#transfer(fault.to);
      case 'coup':
        return this.#coup(fault, number);
      case 'burst':
        this.#burst(fault.requests);
        return nothing;
      case 'bit-rot':
      case 'lost-file':
        return this.#damage(fault, forMs, number);
      case 'emptied-disk':
        return this.#emptyDisk(fault.target, forMs);
    }
  }

  #onRunning(target: Target, act: (member: SimMember) => void): Undo | undefined {
    const member = this.#cluster.member(target);
    if (member?.running === undefined || member.process?.paused === true) return undefined;
    act(member);
    return nothing;
  }

  #pause(target: Target): Undo | undefined {
    const process = this.#cluster.member(target)?.process;
    if (process === undefined || process.paused) return undefined;
    process.pause();
    return () => process.resume();
  }

  /** Pairs of members that do not reach each other, from the first to the second. */
  #links(fault: Fault): (readonly [number, number])[] {
    const { members } = this.#cluster;
    const all = members.flatMap((_, from) =>
      members.flatMap((__, to) => (from === to ? [] : [[from, to] as const])),
    );
    if (fault.kind === 'split') {
      const side = (position: number): number => (fault.group >> position) & 1;
      return all.filter(([from, to]) => side(from) !== side(to));
    }
    if (fault.kind === 'ring') {
      const count = members.length;
      return all.filter(([from, to]) => {
        const apart = (to - from + count) % count;
        return apart > 1 && apart < count - 1;
      });
    }
    if (fault.kind !== 'isolate' && fault.kind !== 'one-way') return all;
    const position = this.#cluster.member(fault.target)?.position;
    if (fault.kind === 'isolate') return all.filter((link) => link.some((end) => end === position));
    return all.filter(([from, to]) => (fault.from ? from : to) === position);
  }

  /** Cuts a member off, and looks at it before it comes back. */
  #isolate(fault: Extract<Fault, { kind: 'isolate' }>): Undo | undefined {
    const member = this.#cluster.member(fault.target);
    const mend = this.#cut(this.#links(fault));
    if (mend === undefined || member === undefined) return mend;
    const look = watchIsolated(member, this.#cluster);
    return () => {
      look();
      mend();
    };
  }

  #cut(links: readonly (readonly [number, number])[]): Undo | undefined {
    if (links.length === 0) return undefined;
    for (const link of links) this.#setCut(link, 1);
    return () => {
      for (const link of links) this.#setCut(link, -1);
    };
  }

  #setCut([from, to]: readonly [number, number], change: 1 | -1): void {
    const key = `${from}>${to}`;
    const count = (this.#cuts.get(key) ?? 0) + change;
    this.#cuts.set(key, count);
    this.#cluster.network.setCut(BigInt(from + 1), BigInt(to + 1), count > 0);
  }

  #swizzle(share: number, forMs: number, number: number): Undo | undefined {
    const { plan, scheduler, members } = this.#cluster;
    const chance = streamOf(plan.seed, `swizzle ${number}`);
    const links = members
      .flatMap((_, from) => members.map((__, to) => [from, to] as const))
      .filter(([from, to]) => from !== to && chance.chance(share));
    let over = false;
    const cut = new Set<readonly [number, number]>();
    links.forEach((link, i) => {
      scheduler.after((forMs * i) / (2 * links.length), 0, () => {
        if (over) return;
        this.#setCut(link, 1);
        cut.add(link);
      });
    });
    const mend = (link: readonly [number, number]): void => {
      if (cut.delete(link)) this.#setCut(link, -1);
    };
    chance.shuffled(links).forEach((link, i) => {
      scheduler.after(forMs / 2 + (forMs * i) / (2 * links.length), 0, () => mend(link));
    });
    return () => {
      over = true;
      for (const link of [...cut]) mend(link);
    };
  }

  #network(change: {
    readonly delayMs?: { readonly least: number; readonly most: number };
    readonly drop?: number;
  }): Undo {
    const { network, plan } = this.#cluster;
    const { delayMs, drop } = plan.network;
    network.setFaults({ delayMs, drop, ...change });
    return () => network.setFaults({ delayMs, drop });
  }

  #hide(target: Target): Undo | undefined {
    const position = this.#cluster.member(target)?.position;
    if (position === undefined) return undefined;
    this.#hidden.set(position, (this.#hidden.get(position) ?? 0) + 1);
    return () => this.#hidden.set(position, (this.#hidden.get(position) ?? 0) - 1);
  }

  #slowDisk(target: Target, syncMs: number): Undo | undefined {
    const member = this.#cluster.member(target);
    if (member === undefined || member.syncMs !== undefined) return undefined;
    member.syncMs = syncMs;
    return () => {
      member.syncMs = undefined;
    };
  }

  #transfer(to: number): Undo | undefined {
    const { leader, members } = this.#cluster;
    const target = members[to];
    if (leader === undefined || target === undefined || target === leader) return undefined;
    const life = leader.life;
    if (life === undefined || life.process.paused) return undefined;
    life.process.run(() => life.member.transferLeader(target.id));
    return nothing;
  }

  #coup(fault: Extract<Fault, { kind: 'coup' }>, number: number): Undo | undefined {
    const { leader, members, oracle, scheduler, plan } = this.#cluster;
    const outsider = members[fault.outsider];
    const to = members[fault.to];
    if (members.length < 3 || leader === outsider || oracle.onElected !== undefined)
      return undefined;
    if (to?.running === undefined || outsider?.running === undefined) return undefined;
    const chance = streamOf(plan.seed, `coup ${number}`);
    let cut = this.#cut(this.#links({ kind: 'isolate', target: fault.outsider }));
    if (this.#transfer(fault.to) === undefined) {
      cut?.();
      return undefined;
    }
    oracle.onElected = (name) => {
      oracle.onElected = undefined;
      const elected = members.find((member) => member.name === name);
      if (elected === undefined) return;
      scheduler.after(chance.chance(0.5) ? 0 : chance.between(0, 5), 0, () => {
        if (this.#healed || cut === undefined) return;
        cut();
        cut = this.#cut(this.#links({ kind: 'isolate', target: elected.position }));
        for (const member of members) {
          const falls = fault.falls === 'leader' ? member === elected : member !== elected;
          if (!falls || member === outsider || member.process === undefined) continue;
          member.crash(chance.between(1, 30), true);
        }
        // A leader that forgot its election asks those who voted for it.
        if (fault.falls === 'leader') cut?.();
        if (fault.falls === 'leader') cut = nothing;
      });
    };
    return () => {
      oracle.onElected = undefined;
      cut?.();
      cut = undefined;
    };
  }

  /** Only what a majority of the others knows can be promised not to come back unnoticed. */
  #emptyDisk(target: number, forMs: number): Undo | undefined {
    const { members } = this.#cluster;
    const member = members[target];
    const life = member?.directory.founding?.life;
    if (member?.running?.takesPart !== true || life === undefined) return undefined;
    const knowing = members.filter(({ directory }) =>
      directory.founding?.acquaintances.some((each) => each.life === life),
    );
    if (knowing.length <= members.length / 2) return undefined;
    member.disk = 'emptied';
    member.crash(forMs, false);
    member.directory.empty();
    return nothing;
  }

  /** Damages a member while it is down; it comes back to find it. */
  #damage(
    fault: Extract<Fault, { kind: 'bit-rot' | 'lost-file' }>,
    forMs: number,
    number: number,
  ): Undo | undefined {
    const member = this.#cluster.members[fault.target];
    if (member?.running === undefined) return undefined;
    const chance = streamOf(this.#cluster.plan.seed, `damage ${number}`);
    member.disk = 'damaged';
    member.crash(forMs, true);
    const { directory } = member;
    const name = directory.names.find((each) => each.startsWith(fault.database));
    if (name === undefined) return nothing;
    if (fault.kind === 'lost-file') {
      directory.removeDisk(name);
      return nothing;
    }
    const keys = [...directory.disk(name).tree.keys()];
    if (keys.length === 0) return nothing;
    directory.disk(name).rot(Buffer.from(chance.pick(keys), 'latin1'), (value) => {
      if (value.length === 0) return undefined;
      const at = chance.below(value.length);
      value[at] = (value[at] ?? 0) ^ (1 << chance.below(8));
      return value;
    });
    return nothing;
  }
}

/** Its disk was taken or damaged before, and is not whole again. */
function isExcused(member: SimMember | undefined): boolean {
  return member?.disk === 'damaged' || member?.disk === 'emptied';
}

function failDisk(member: SimMember, code: string): void {
  const { directory } = member;
  const [disk] = directory.names
    .map((name) => directory.disk(name))
    .filter((each): each is MemoryDisk => each.open);
  if (disk === undefined) return;
  member.disk = 'failing';
  disk.failNextWrite(new Error(`${code}: simulated`));
}

/** What was under way when a member was cut off arrives within so long, or never. */
const arrivalMs = 1_000;

/**
 * A member that hears nobody must stop leading (dissertation 6.2), and, where pre-votes are asked,
 * must not raise its term, or it would depose the leader when it comes back (9.6).
 */
function watchIsolated(member: SimMember, cluster: Cluster): () => void {
  const { life } = member;
  const startMs = cluster.scheduler.nowMs;
  const { electionMs, preVote } = cluster.plan.server;
  const { term, isLeader } = life?.member.server ?? { term: 0, isLeader: false };
  const pauses = life?.process.pauses;
  // One that stands still from before notices nothing; its pause may end in the same moment.
  if (life?.process.paused === true) return () => {};
  return () => {
    const lasted = cluster.scheduler.nowMs - startMs;
    if (life === undefined || member.life !== life || life.process.pauses !== pauses) return;
    if (lasted < arrivalMs + 2.5 * electionMs || life.process.paused) return;
    const { server } = life.member;
    if (isLeader && server.isLeader && server.term === term) {
      cluster.broken('check-quorum', `${member.name} led for ${lasted} ms and heard nobody`);
    }
    // An election that had begun already may raise it once.
    if (preVote && server.term > term + 1) {
      cluster.broken('pre-vote', `${member.name} went from term ${term} to ${server.term} alone`);
    }
  };
}
