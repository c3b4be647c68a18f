/** Makes a plan's faults happen, and ends them. */
import type { MemoryDisk } from '../../src/storage/memory-engine.ts';
import { streamOf } from './chance.ts';
import type { Cluster } from './cluster.ts';
import { FaultPoints } from './fault-points.ts';
import type { Fault, FaultKind, PlannedFault, Scenario, Target } from './fault-plan.ts';
import type { SimMember } from './member.ts';
import type { MembershipFault } from './membership-plan.ts';
import { type Link, NetworkFaults, nothing, type Undo } from './network-faults.ts';
import { begin } from './scenarios.ts';
import { type Burst, Stage } from './stage.ts';

export class Faults {
  readonly #cluster: Cluster;
  readonly #network: NetworkFaults;
  readonly #burst: (burst: Burst) => void;
  readonly #change: (fault: MembershipFault) => Undo | undefined;
  readonly #active = new Set<Undo>();
  readonly points = new FaultPoints();
  #stage: Stage | undefined;
  /** Members that clients do not reach, with how many faults say so. */
  readonly #hidden = new Map<number, number>();
  readonly injected: Partial<Record<FaultKind, number>> = {};
  #healed = false;

  /**
   * @param burst makes clients ask many requests at once
   * @param change begins to change the members
   */
  constructor(
    cluster: Cluster,
    burst: (burst: Burst) => void,
    change: (fault: MembershipFault) => Undo | undefined,
  ) {
    this.#cluster = cluster;
    this.#network = new NetworkFaults(cluster);
    this.#burst = burst;
    this.#change = change;
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
        return this.#network.change({
          delayMs: { least: fault.delayMs / 4, most: fault.delayMs },
        });
      case 'lossy-network':
        return this.#network.change({ drop: fault.drop });
      case 'slow-link':
        return this.#slowLink(fault.target, fault.delayMs);
      case 'echo':
        if (this.#cluster.plan.network.kind !== 'messages') return undefined;
        return this.#network.change({ echo: fault.share, echoMs: fault.delayMs });
      case 'crash-at':
        return this.#crashAt(fault);
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
      case 'figure-8':
      case 'overwrite':
      case 'stale-reader':
      case 'late-news':
      case 'left-behind':
        return this.#play(fault.kind, fault.draw);
      case 'burst':
        this.#burst({ requests: fault.requests, reads: 0 });
        return nothing;
      case 'bit-rot':
      case 'lost-file':
        return this.#damage(fault, forMs, number);
      case 'emptied-disk':
        return this.#emptyDisk(fault.target, forMs);
      case 'add-members':
      case 'remove-member':
      case 'replace-member':
      case 'update-member':
        return this.#change(fault);
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
  #links(fault: Fault): readonly Link[] {
    const { members } = this.#cluster;
    const all = this.#network.links;
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

  #cut(links: readonly Link[]): Undo | undefined {
    return links.length === 0 ? undefined : this.#network.cut(links);
  }

  #swizzle(share: number, forMs: number, number: number): Undo | undefined {
    const { plan, scheduler } = this.#cluster;
    const chance = streamOf(plan.seed, `swizzle ${number}`);
    const links = this.#network.links.filter(() => chance.chance(share));
    let over = false;
    const cut = new Map<Link, Undo>();
    links.forEach((link, i) => {
      scheduler.after((forMs * i) / (2 * links.length), 0, () => {
        if (!over) cut.set(link, this.#network.cut([link]));
      });
    });
    chance.shuffled(links).forEach((link, i) => {
      scheduler.after(forMs / 2 + (forMs * i) / (2 * links.length), 0, () => cut.get(link)?.());
    });
    return () => {
      over = true;
      for (const mend of cut.values()) mend();
    };
  }

  #slowLink(target: Target, delayMs: number): Undo | undefined {
    const position = this.#cluster.member(target)?.position;
    const links = this.#network.links.filter((link) => link.some((end) => end === position));
    return links.length === 0 ? undefined : this.#network.slow(links, delayMs);
  }

  #hide(target: Target): Undo | undefined {
    const position = this.#cluster.member(target)?.position;
    if (position === undefined) return undefined;
    this.#hidden.set(position, (this.#hidden.get(position) ?? 0) + 1);
    return () => this.#hidden.set(position, (this.#hidden.get(position) ?? 0) - 1);
  }

  #slowDisk(target: Target, syncMs: number): Undo | undefined {
    const member = this.#cluster.member(target);
    if (member === undefined || member.slowSyncMs !== undefined) return undefined;
    member.slowSyncMs = { least: syncMs / 64, most: syncMs };
    return () => {
      member.slowSyncMs = undefined;
    };
  }

  /** Strikes once, in this life or the next. */
  #crashAt(fault: Extract<Fault, { kind: 'crash-at' }>): Undo | undefined {
    const member = this.#cluster.member(fault.target);
    if (member?.running === undefined) return undefined;
    const { point, time, power, fails } = fault;
    const { chance, trace } = this.#cluster;
    // Only a start comes to these.
    if (point.startsWith('start-')) member.crash(chance.between(10, 300), power);
    return this.points.arm({
      member,
      point,
      time: point.startsWith('start-') ? 1 : time,
      act: () => {
        trace.say('fault', `${member.name} ${fails ? 'fails' : 'falls'} at ${point}`);
        if (!fails || isExcused(member)) {
          member.crash(chance.between(1, 1_000), power);
          return undefined;
        }
        // The transfer of a snapshot ends with it, and the member goes on.
        if (!point.startsWith('snapshot-receive-')) member.disk = 'failing';
        return new Error(`EIO: simulated at ${point}`);
      },
    });
  }

  #play(kind: Scenario, draw: number): Undo | undefined {
    if (this.#stage?.over === false) return undefined;
    const chance = streamOf(draw, kind);
    const stage = new Stage({
      cluster: this.#cluster,
      network: this.#network,
      chance,
      burst: this.#burst,
    });
    this.#stage = stage;
    if (begin(stage, kind)) return () => stage.end();
    stage.end();
    return undefined;
  }

  #transfer(to: number): Undo | undefined {
    const { leader, members } = this.#cluster;
    const target = members[to];
    if (leader === undefined || target === undefined || target === leader) return undefined;
    const life = leader.life;
    if (life === undefined || life.process.paused) return undefined;
    leader.transferMs = this.#cluster.scheduler.nowMs;
    life.process.run(() => life.member.transferLeader(target.id));
    return nothing;
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
  const isAlone = (): boolean => member.core?.tracker.confState().voters.length === 1;
  // One that stands still from before notices nothing; its pause may end in the same moment. The
  // only voter needs nobody, also to add another.
  if (life?.process.paused === true || isAlone()) return () => {};
  return () => {
    if (life === undefined || member.life !== life || life.process.pauses !== pauses) return;
    // What was under way, or comes as an echo, reaches one who is cut off as well.
    const heardMs = Math.max(startMs, cluster.network.arrivedMs(member.id) ?? startMs);
    // A transfer has an election timeout of its own, as in etcd.
    const lasted = cluster.scheduler.nowMs - Math.max(heardMs, member.transferMs);
    // Told to stop, a member ticks no more while it closes what it has open.
    if (lasted < 2.5 * electionMs || life.process.paused || !life.serving) return;
    if (isAlone()) return;
    const { server } = life.member;
    if (isLeader && server.isLeader && server.term === term) {
      cluster.broken('check-quorum', `${member.name} led for ${lasted} ms and heard nobody`);
    }
    // An election that had begun already may raise it once.
    if (preVote && heardMs === startMs && server.term > term + 1) {
      cluster.broken('pre-vote', `${member.name} went from term ${term} to ${server.term} alone`);
    }
  };
}
