/** A cluster under attack: its members, the network between them, and what was done to both. */
import { setTimeout as delay } from 'node:timers/promises';
import type { SeededRandom } from '../../src/base/random.ts';
import type { Restored } from '../check/history.ts';
import type { ClusterProcess, Ending, MemberProcess } from '../support/cluster-process.ts';
import type { PeerNetwork } from './peer-network.ts';

const lookMs = 50;
/** Too many may be down for a quorum. A busy machine takes seconds to bring a member back. */
const peaceLimitMs = 8000;

/** One line of the timeline. */
export interface Incident {
  readonly atMs: number;
  readonly text: string;
}

export class Battlefield {
  readonly cluster: ClusterProcess;
  readonly network: PeerNetwork;
  readonly random: SeededRandom;
  /** Those that belong to the cluster now. */
  readonly #roster: MemberProcess[];
  /** Those that ever did. */
  readonly #everyone: MemberProcess[];
  readonly #nowMs: () => number;
  readonly #answered: () => number;
  readonly #incidents: Incident[] = [];
  readonly #paused = new Set<MemberProcess>();
  /** Started so that they come to an end by themselves, and how that is called. */
  readonly #armed = new Map<MemberProcess, string>();
  /** Endings that were meant, of the kind that a member counts as its own. */
  readonly #meant = new Set<Ending>();
  readonly #faults = new Map<string, number>();
  /** What other clusters, made from snapshots of this one, began with. */
  readonly restored: Restored[] = [];
  #untilMs = Number.POSITIVE_INFINITY;

  constructor(options: {
    cluster: ClusterProcess;
    network: PeerNetwork;
    random: SeededRandom;
    /** Who belongs to the cluster; others that hold it see it change. */
    roster: MemberProcess[];
    nowMs: () => number;
    /** Calls of clients answered so far. */
    answered: () => number;
  }) {
    this.cluster = options.cluster;
    this.network = options.network;
    this.random = options.random;
    this.#roster = options.roster;
    this.#everyone = [...options.roster];
    this.#nowMs = options.nowMs;
    this.#answered = options.answered;
  }

  get members(): readonly MemberProcess[] {
    return this.#roster;
  }

  get everyone(): readonly MemberProcess[] {
    return this.#everyone;
  }

  /** A new member was started; it counts as one of the {@link members} once it votes. */
  arrives(member: MemberProcess): void {
    this.#everyone.push(member);
  }

  enrol(member: MemberProcess): void {
    this.#roster.push(member);
  }

  /** It was removed, or is about to be: clients need not go to it any more. */
  dismiss(member: MemberProcess): void {
    const place = this.#roster.indexOf(member);
    if (place >= 0) this.#roster.splice(place, 1);
  }

  get running(): readonly MemberProcess[] {
    return this.members.filter((member) => member.process !== undefined);
  }

  get incidents(): readonly Incident[] {
    return this.#incidents;
  }

  /** How often each kind of fault happened. */
  get faults(): ReadonlyMap<string, number> {
    return this.#faults;
  }

  /** Attacks end after so long. */
  begin(durationMs: number): void {
    this.#untilMs = this.#nowMs() + durationMs;
  }

  get isOver(): boolean {
    return this.#nowMs() >= this.#untilMs;
  }

  note(text: string): void {
    this.#incidents.push({ atMs: this.#nowMs(), text });
  }

  /** A fault happens: for the timeline and the figures. */
  strike(kind: string, text: string): void {
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
    this.note(text);
  }

  /** Waits, but not beyond the end of the attacks. */
  async wait(leastMs: number, mostMs: number): Promise<void> {
    const wantedMs = leastMs + this.random.below(mostMs - leastMs);
    await delay(Math.max(0, Math.min(wantedMs, this.#untilMs - this.#nowMs())));
  }

  /**
   * Mostly waits for some progress, so that there is something to lose, and sometimes attacks
   * again at once.
   */
  async peace(): Promise<void> {
    if (this.random.below(5) === 0) return;
    await this.progress(20 + this.random.below(300));
  }

  /** Waits until so many more calls are answered, or until that takes too long. */
  async progress(count: number): Promise<void> {
    const wanted = this.#answered() + count;
    const untilMs = this.#nowMs() + peaceLimitMs;
    while (this.#answered() < wanted && this.#nowMs() < untilMs && !this.isOver) {
      await delay(lookMs);
    }
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.random.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    const rest = [...items];
    const result: Item[] = [];
    while (rest.length > 0) result.push(...rest.splice(this.random.below(rest.length), 1));
    return result;
  }

  /** The member that says that it leads; a random one that runs if nobody does for a second. */
  async leader(): Promise<MemberProcess> {
    for (let attempt = 0; attempt < 10; attempt++) {
      for (const member of this.running) {
        if (!this.#paused.has(member) && (await isLeader(member))) return member;
      }
      await delay(lookMs);
    }
    return this.pick(this.running.length > 0 ? this.running : this.members);
  }

  async kill(member: MemberProcess, kind = 'kill'): Promise<void> {
    if (member.process === undefined) return;
    this.strike(kind, `kill -9 ${member.name}`);
    this.#paused.delete(member);
    await member.kill();
    this.#disarm(member);
  }

  async stop(member: MemberProcess): Promise<void> {
    this.strike('restart', `SIGTERM to ${member.name}`);
    await member.stop();
  }

  async start(member: MemberProcess): Promise<void> {
    if (member.process !== undefined) return;
    this.#disarm(member);
    this.note(`start ${member.name}`);
    await member.start();
  }

  /** Starts a member that will come to an end by itself; `kind` is what that counts as. */
  async startArmed(
    member: MemberProcess,
    kind: string,
    environment: Record<string, string>,
  ): Promise<void> {
    if (member.process !== undefined) return;
    this.#disarm(member);
    this.#armed.set(member, kind);
    this.note(`start ${member.name} with ${Object.values(environment).join(' ')}`);
    await member.start(environment);
  }

  pause(member: MemberProcess): void {
    this.strike('pause', `SIGSTOP to ${member.name}`);
    this.#paused.add(member);
    member.pause();
  }

  resume(member: MemberProcess): void {
    this.note(`SIGCONT to ${member.name}`);
    this.#paused.delete(member);
    member.resume();
  }

  /** Waits until a member ends by itself, as it was made to; undefined if it does not in time. */
  async ending(member: MemberProcess, limitMs: number): Promise<Ending | undefined> {
    const untilMs = this.#nowMs() + limitMs;
    while (member.process !== undefined && this.#nowMs() < untilMs) await delay(lookMs);
    return member.process === undefined ? this.#meet(member) : undefined;
  }

  /** Takes the ending that nobody has seen yet as one that was meant. */
  #meet(member: MemberProcess): Ending | undefined {
    const ending = member.endings.find((each) => !this.#meant.has(each));
    const kind = this.#armed.get(member);
    this.#armed.delete(member);
    if (ending === undefined) return undefined;
    this.#meant.add(ending);
    if (kind !== undefined) this.strike(kind, `${member.name} ${kind}`);
    return ending;
  }

  /** It is not running: if it was to come to an end by itself, perhaps that is how it did. */
  #disarm(member: MemberProcess): void {
    if (this.#armed.has(member)) this.#meet(member);
  }

  /** Endings that nobody meant: bugs. */
  get unmeantEndings(): readonly string[] {
    return this.everyone.flatMap(({ name, endings }) =>
      endings
        .filter((ending) => !this.#meant.has(ending))
        .map(({ code, signal }) => `${name} ended with ${String(code ?? signal)}`),
    );
  }

  /** Everything is whole again and everybody runs; throws if a member does not come back. */
  async recover(): Promise<void> {
    this.note('recovery');
    this.network.heal();
    for (const member of this.#paused) this.resume(member);
    for (const member of this.#armed.keys()) {
      await member.kill();
      this.#disarm(member);
    }
    for (const member of this.members) await this.start(member);
    for (const member of this.members) await member.ready();
  }
}

async function isLeader(member: MemberProcess): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(500);
    const response = await fetch(`${member.clientUrl}/metrics`, { signal });
    return /^etcd_server_is_leader 1$/m.test(await response.text());
  } catch {
    return false;
  }
}
