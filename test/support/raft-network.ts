/**
 * Members in one process whose network, disks and clocks a test moves by hand, or by chance from a
 * seed. Nothing happens by itself, so every run can be repeated.
 */
import assert from 'node:assert/strict';
import { noConfState, type ConfState, type MemberId, type Message } from '../../src/raft/index.ts';
import { RaftHost, type HostOptions } from './raft-host.ts';
import { RaftOracle } from './raft-oracle.ts';

/** A network that does not come to rest within so many rounds has members that babble. */
const settleRoundsLimit = 2_000;

export interface NetworkOptions {
  readonly seed?: number;
  readonly options?: HostOptions;
  readonly confState?: Partial<ConfState>;
  /** Members that exist without being part of the first configuration. */
  readonly spare?: readonly MemberId[];
}

export class RaftNetwork {
  readonly oracle = new RaftOracle();
  readonly hosts = new Map<MemberId, RaftHost>();
  readonly inFlight: Message[] = [];
  /** Pairs that cannot talk, as "from>to". */
  readonly #cut = new Set<string>();
  /** Decides which messages get lost on purpose. */
  filter: (message: Message) => boolean = () => true;
  /** Everything that was delivered, if a test wants to look. */
  delivered: Message[] = [];
  readonly #readFloors = new Map<bigint, number>();
  #nextContext = 1n;

  constructor(voters: readonly MemberId[], options: NetworkOptions = {}) {
    const confState: ConfState = { ...noConfState, voters, ...options.confState };
    const ids = new Set([
      ...confState.voters,
      ...confState.votersOutgoing,
      ...confState.learners,
      ...(options.spare ?? []),
    ]);
    for (const id of ids) {
      const seed = (options.seed ?? 1) * 1000 + Number(id);
      this.hosts.set(id, new RaftHost(id, confState, seed, this.oracle, options.options ?? {}));
    }
  }

  host(id: MemberId): RaftHost {
    const host = this.hosts.get(id);
    assert.ok(host, `no member ${id}`);
    return host;
  }

  /** Runs one step of a member and checks everything after it. */
  act<Result>(host: RaftHost, action: (host: RaftHost) => Result): Result {
    const result = action(host);
    this.afterStep(host);
    return result;
  }

  afterStep(host: RaftHost): void {
    if (host.alive) {
      host.check();
      this.oracle.check(host, this.hosts);
    }
    for (const { index, context } of host.readStates.splice(0)) {
      const floor = this.#readFloors.get(context);
      assert.ok(floor !== undefined, `read ${context} answered twice or never asked`);
      assert.ok(index >= floor, `stale read: index ${index}, but ${floor} was committed before`);
      this.#readFloors.delete(context);
      this.answeredReads.push({ index, context });
    }
    for (const context of host.droppedReads.splice(0)) {
      assert.ok(this.#readFloors.delete(context), `read ${context} dropped twice or never asked`);
      this.dropped.push(context);
    }
    this.inFlight.push(...host.outbox.splice(0));
  }

  readonly answeredReads: { index: number; context: bigint }[] = [];
  readonly dropped: bigint[] = [];

  /** Starts a linearizable read: its index must cover everything committed anywhere by now. */
  read(id: MemberId): bigint {
    const context = this.#nextContext++;
    this.#readFloors.set(context, this.oracle.highestCommit);
    this.act(this.host(id), (host) => host.node.readIndex(context));
    return context;
  }

  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
  }

  /** Cuts both ways between the members and all others. */
  isolate(...members: MemberId[]): void {
    for (const other of this.hosts.keys()) {
      if (members.includes(other)) continue;
      for (const member of members) {
        this.cut(member, other);
        this.cut(other, member);
      }
    }
  }

  heal(): void {
    this.#cut.clear();
    this.filter = () => true;
  }

  connected(message: Message): boolean {
    return !this.#cut.has(`${message.from}>${message.to}`) && this.filter(message);
  }

  deliver(message: Message): void {
    const host = this.hosts.get(message.to);
    if (host?.alive !== true) return;
    this.delivered.push(message);
    this.act(host, () => host.node.step(message));
  }

  /** Delivers one message, or tells the sender of a snapshot that it was lost. */
  deliverOrLose(message: Message): void {
    const ok = this.connected(message) && this.hosts.get(message.to)?.alive === true;
    if (ok) this.deliver(message);
    if (message.type !== 'snapshot') return;
    const sender = this.hosts.get(message.from);
    if (sender?.alive === true) {
      this.act(sender, () => sender.node.reportSnapshot(message.to, ok));
    }
  }

  /** Lets every member do what it has to until nothing moves any more. Clocks stand still. */
  settle(): void {
    for (let round = 0; round < settleRoundsLimit; round++) {
      let moved = false;
      for (const host of this.hosts.values()) {
        if (!host.alive) continue;
        moved = this.#work(host) || moved;
      }
      const messages = this.inFlight.splice(0);
      for (const message of messages) this.deliverOrLose(message);
      if (!moved && messages.length === 0) return;
    }
    assert.fail('the network does not come to rest');
  }

  #work(host: RaftHost): boolean {
    let moved = false;
    while (host.node.hasReady()) {
      moved = true;
      this.act(host, () => host.takeReady());
    }
    if (host.writes.length > 0) {
      moved = true;
      this.act(host, () => host.sync());
    }
    if (host.toApply.length > 0) {
      moved = true;
      this.act(host, () => host.apply());
    }
    return moved;
  }

  tick(count = 1): void {
    for (let each = 0; each < count; each++) {
      for (const host of this.hosts.values()) {
        if (host.alive) this.act(host, () => host.node.tick());
      }
      this.settle();
    }
  }

  /** Makes a member campaign and lets the outcome spread. */
  elect(id: MemberId): void {
    const host = this.host(id);
    // Voters that have heard from a leader lately would not listen.
    for (const other of this.hosts.values()) {
      if (other.alive) this.act(other, () => other.node.forgetLeader());
    }
    this.act(host, () => host.node.campaign());
    this.settle();
    assert.equal(host.role, 'leader', `member ${id} did not win`);
  }

  /** The leader of the newest term among live members. */
  leader(): RaftHost | undefined {
    let found: RaftHost | undefined;
    for (const host of this.hosts.values()) {
      if (!host.alive || host.role !== 'leader') continue;
      if (found === undefined || host.node.core.term > found.node.core.term) found = host;
    }
    return found;
  }

  propose(id: MemberId, ...texts: string[]): string | undefined {
    const datas = texts.map((text) => new TextEncoder().encode(text));
    return this.act(this.host(id), (host) => host.node.propose(datas));
  }
}
