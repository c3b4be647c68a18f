/**
 * Members of one cluster whose network, disks and clocks are moved by hand. Nothing happens
 * unless a test asks for it, so every order of events can be brought about.
 */
import {
  decodeConfChange,
  EntryKind,
  MemoryStorage,
  noConfState,
  RawNode,
  type Entry,
  type HardState,
  type MemberId,
  type Message,
  type Persist,
  type RaftConfig,
  type Ready,
  type SnapshotMetadata,
} from '../../src/raft/index.ts';

export type MemberOptions = Partial<Omit<RaftConfig, 'id' | 'storage' | 'applied' | 'random'>>;

export const electionTicks = 3;

const defaults: Omit<RaftConfig, 'id' | 'storage' | 'applied' | 'random'> = {
  electionTicks,
  heartbeatTicks: 1,
  appendSizeLimitBytes: 2 ** 40,
  committedSizeLimitBytes: 2 ** 40,
  uncommittedSizeLimitBytes: 2 ** 40,
  inflightMessagesLimit: 2 ** 20,
  inflightBytesLimit: 2 ** 40,
  preVote: false,
  checkQuorum: false,
  leaseReads: false,
  stepDownOnRemoval: false,
  disableProposalForwarding: false,
  trace: () => undefined,
};

export class ClusterMember {
  readonly id: MemberId;
  /** Changed ones hold from the next start on. */
  options: MemberOptions;
  readonly storage = new MemoryStorage();
  node: RawNode;
  /** Writes that were asked for and are not durable yet, oldest first. */
  readonly writes: Persist[] = [];
  /** Slices of committed entries that were handed out and are not applied yet. */
  readonly applies: (readonly Entry[])[] = [];
  readonly applied: Entry[] = [];
  /** Ticks without a leader after which the member campaigns, from its next timeout on. */
  electionTimeout = 2 * electionTicks - 1;

  constructor(id: MemberId, snapshot: SnapshotMetadata | undefined, options: MemberOptions) {
    this.id = id;
    this.options = options;
    if (snapshot !== undefined && snapshot.index > 0) {
      this.storage.install(snapshot);
      this.storage.setHardState({ term: 0, vote: 0n, commit: snapshot.index });
    } else if (snapshot !== undefined) {
      this.storage.setConfState(snapshot.confState);
    }
    this.node = this.#start();
  }

  /** A power cut: what was not durable is gone, and the host applies again from its snapshot. */
  restart(): void {
    this.writes.length = 0;
    this.applies.length = 0;
    this.node = this.#start();
  }

  /** Starts anew with this durable state in place of its own. */
  startWith(hardState: HardState, terms: readonly number[]): void {
    const first = this.storage.firstIndex();
    this.storage.append(terms.map((term, position) => entryOf(first + position, term)));
    this.storage.setHardState(hardState);
    this.restart();
  }

  /** Terms of the entries of the stable log. */
  logTerms(): number[] {
    return this.log().map(({ term }) => term);
  }

  /** All entries of the stable log. */
  log(): readonly Entry[] {
    const { storage } = this;
    const found = storage.entries(storage.firstIndex(), storage.lastIndex() + 1, Infinity);
    return typeof found === 'symbol' ? [] : found;
  }

  write(persist: Persist): void {
    if (persist.snapshot !== undefined) this.storage.install(persist.snapshot);
    this.storage.append(persist.entries);
    if (persist.hardState !== undefined) this.storage.setHardState(persist.hardState);
  }

  /** The state machine takes an entry; from there on, a snapshot of it could be sent. */
  apply(entry: Entry): void {
    const { node, storage } = this;
    if (entry.kind === EntryKind.confChange) {
      storage.setConfState(node.applyConfChange(decodeConfChange(entry.data)));
    }
    storage.createSnapshot(entry.index, storage.initialState().confState);
    this.applied.push(entry);
    node.applied(entry.index);
  }

  #start(): RawNode {
    const snapshot = this.storage.snapshot();
    return new RawNode({
      ...defaults,
      ...this.options,
      id: this.id,
      storage: this.storage,
      applied: typeof snapshot === 'symbol' ? 0 : snapshot.index,
      random: () => (this.electionTimeout - electionTicks + 0.5) / electionTicks,
    });
  }
}

/** A normal entry whose data tells where it was made. */
export function entryOf(index: number, term: number): Entry {
  return { index, term, kind: EntryKind.normal, data: Buffer.from(`${index}@${term}`) };
}

/** Which messages to take from the network. */
export interface MessageFilter {
  readonly to?: MemberId;
  readonly from?: MemberId;
  readonly type?: Message['type'];
}

export class RaftCluster {
  readonly members = new Map<MemberId, ClusterMember>();
  /** Messages on their way, in the order in which they were sent. */
  network: Message[] = [];

  /** Adds members with the next ids, all of them started from the same snapshot. */
  add(count: number, snapshot?: SnapshotMetadata, options: MemberOptions = {}): MemberId[] {
    return Array.from({ length: count }, () => {
      const id = BigInt(this.members.size + 1);
      this.members.set(id, new ClusterMember(id, snapshot, options));
      return id;
    });
  }

  member(id: MemberId): ClusterMember {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`there is no member ${id}`);
    return member;
  }

  node(id: MemberId): RawNode {
    return this.member(id).node;
  }

  /** Takes one Ready: sends what may be sent at once, queues the rest for the disk. */
  takeReady(id: MemberId): Ready {
    const member = this.member(id);
    const ready = member.node.ready();
    this.network.push(...ready.messages);
    if (ready.persist !== undefined) member.writes.push(ready.persist);
    if (ready.committedEntries.length > 0) member.applies.push(ready.committedEntries);
    return ready;
  }

  /** Makes the oldest waiting write durable, then sends what waited for it. */
  finishWrite(id: MemberId): Persist | undefined {
    const member = this.member(id);
    const persist = member.writes.shift();
    if (persist === undefined) return undefined;
    member.write(persist);
    this.network.push(...persist.messages);
    member.node.persisted(persist.ack);
    return persist;
  }

  /** Applies the oldest waiting slice of entries. */
  finishApply(id: MemberId): readonly Entry[] | undefined {
    const member = this.member(id);
    const entries = member.applies.shift();
    if (entries === undefined) return undefined;
    for (const entry of entries) member.apply(entry);
    return entries;
  }

  /** Takes one Ready and does all that it asks for. */
  handleReady(id: MemberId): Ready {
    const ready = this.takeReady(id);
    while (this.finishWrite(id) !== undefined);
    while (this.finishApply(id) !== undefined);
    return ready;
  }

  /** Takes messages off the network without delivering them. */
  take(filter: MessageFilter = {}): Message[] {
    const matches = (message: Message): boolean =>
      (filter.to === undefined || message.to === filter.to) &&
      (filter.from === undefined || message.from === filter.from) &&
      (filter.type === undefined || message.type === filter.type);
    const taken = this.network.filter(matches);
    this.network = this.network.filter((message) => !matches(message));
    return taken;
  }

  deliver(filter: MessageFilter = {}): Message[] {
    const taken = this.take(filter);
    for (const message of taken) this.members.get(message.to)?.node.step(message);
    return taken;
  }

  /** Lets members work and talk among each other until nothing is left to do. */
  settle(ids: readonly MemberId[] = [...this.members.keys()]): void {
    for (let rounds = 0, busy = true; busy; rounds++) {
      if (rounds > settleRoundsLimit) throw new Error('the cluster does not come to rest');
      busy = false;
      for (const id of ids) {
        if (!this.node(id).hasReady()) continue;
        this.handleReady(id);
        busy = true;
      }
      for (const id of ids) busy = this.deliver({ to: id }).length > 0 || busy;
    }
  }

  /** Makes a member the leader of all that can hear it. */
  elect(id: MemberId): void {
    this.node(id).campaign();
    this.settle();
    const { role } = this.node(id).status();
    if (role !== 'leader') throw new Error(`member ${id} is ${role}, not leader`);
  }

  /** Proposes a command, which the member must take. */
  propose(id: MemberId, command: string): void {
    const refusal = this.node(id).propose([Buffer.from(command)]);
    if (refusal !== undefined) throw new Error(`the command was refused: ${refusal}`);
  }

  /** Commands that a member has applied, without leaders' empty entries. */
  appliedCommands(id: MemberId): string[] {
    const commands = this.member(id).applied.filter(
      ({ kind, data }) => kind === EntryKind.normal && data.length > 0,
    );
    return commands.map(({ data }) => Buffer.from(data).toString());
  }

  tick(id: MemberId, count = 1): void {
    for (let index = 0; index < count; index++) this.node(id).tick();
  }
}

/** No scenario needs nearly as many; past them, members talk in circles. */
const settleRoundsLimit = 10_000;

/** A cluster whose members share a history of one entry of term 1, as after a bootstrap. */
export function clusterOf(
  voters: readonly MemberId[],
  options: MemberOptions & {
    readonly index?: number;
    readonly learners?: readonly MemberId[];
  } = {},
): RaftCluster {
  const { index = 2, learners = [], ...memberOptions } = options;
  const cluster = new RaftCluster();
  const confState = { ...noConfState, voters, learners };
  cluster.add(voters.length + learners.length, { index, term: 1, confState }, memberOptions);
  return cluster;
}
