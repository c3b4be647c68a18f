/**
 * Members in one process that exchange messages under a clock and a source of chance: the twin of
 * the gRPC transport for tests and simulation. Messages pass through the codec, so that members
 * share no memory; faults are those that Raft must stand.
 */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { MemberId, Message, SnapshotMessage } from '../raft/index.ts';
import { messageSizeLimit } from './codec.ts';
import { decodeFrame, encodeBatch, encodeLeaseNote } from './frames.ts';
import type { LeaseNote } from './lease-notes.ts';
import { MemoryTransfer } from './memory-transfer.ts';
import { channelOf } from './peer.ts';
import type { PeerAddress, Transport, TransportHandlers } from './transport.ts';

/** How badly the network behaves. Chances are in [0, 1]. */
export interface MemoryNetworkFaults {
  readonly delayMs: { readonly least: number; readonly most: number };
  /** Chance that a batch is lost. */
  readonly drop: number;
  /** Chance that a batch arrives twice; proposals in it count only once. */
  readonly duplicate: number;
  /** Chance that a batch is not held back behind earlier ones of its channel. */
  readonly reorder: number;
  /** Chance that a chunk of a snapshot breaks the transfer. */
  readonly breakSnapshot: number;
}

export const faultless: MemoryNetworkFaults = {
  delayMs: { least: 0, most: 0 },
  drop: 0,
  duplicate: 0,
  reorder: 0,
  breakSnapshot: 0,
};

/** Messages and bytes under way from one member to another; what is above is dropped. */
export const memoryQueueMessages = 4_096;
export const memoryQueueBytes = 64 * 1024 * 1024;

/** Time after which two members that can reach each other again count as connected. */
const reconnectMs = 50;

/** A batch that is under way. */
interface Flight {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The life of the receiver that it was sent to; another one does not get it. */
  readonly receiver: MemoryTransport;
  readonly frame: Uint8Array;
  readonly messages: number;
  readonly bytes: number;
  /** A copy has arrived: the proposals in further copies do not count. */
  arrived: boolean;
}

/** State of the way from one member to another. */
class Path {
  messages = 0;
  bytes = 0;
  /** Batches of each channel that arrive in the order of sending. */
  readonly inOrder = new Map<string, Flight[]>();
  cut = false;
  healedMs = -Infinity;

  queue(channel: string): Flight[] {
    let queue = this.inOrder.get(channel);
    if (queue === undefined) {
      queue = [];
      this.inOrder.set(channel, queue);
    }
    return queue;
  }
}

/** The network between memory transports. */
export class MemoryNetwork {
  readonly clock: Clock;
  readonly random: Random;
  #faults: MemoryNetworkFaults;
  readonly #members = new Map<MemberId, MemoryTransport>();
  readonly #paths = new Map<string, Path>();

  constructor(clock: Clock, random: Random, faults: Partial<MemoryNetworkFaults> = {}) {
    this.clock = clock;
    this.random = random;
    this.#faults = { ...faultless, ...faults };
  }

  get faults(): MemoryNetworkFaults {
    return this.#faults;
  }

  setFaults(faults: Partial<MemoryNetworkFaults>): void {
    this.#faults = { ...this.#faults, ...faults };
  }

  /** A transport for one life of a member; an earlier one of the same id must have been stopped. */
  transport(self: MemberId, cluster: bigint): MemoryTransport {
    return new MemoryTransport(this, self, cluster);
  }

  /** Cuts or mends the way from one member to another; the way back is another one. */
  setCut(from: MemberId, to: MemberId, cut: boolean): void {
    const path = this.path(from, to);
    if (path.cut && !cut) path.healedMs = this.clock.monotonicMs();
    path.cut = cut;
  }

  /** Members of different groups no longer reach each other; those of one group do. */
  partition(...groups: readonly (readonly MemberId[])[]): void {
    const groupOf = new Map<MemberId, number>();
    groups.forEach((group, number) => {
      for (const member of group) groupOf.set(member, number);
    });
    for (const from of groupOf.keys()) {
      for (const to of groupOf.keys()) {
        if (from !== to) this.setCut(from, to, groupOf.get(from) !== groupOf.get(to));
      }
    }
  }

  heal(): void {
    for (const path of this.#paths.values()) {
      if (path.cut) path.healedMs = this.clock.monotonicMs();
      path.cut = false;
    }
  }

  path(from: MemberId, to: MemberId): Path {
    const key = `${from}>${to}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      path = new Path();
      this.#paths.set(key, path);
    }
    return path;
  }

  member(id: MemberId): MemoryTransport | undefined {
    return this.#members.get(id);
  }

  join(transport: MemoryTransport): void {
    this.#members.set(transport.self, transport);
  }

  leave(transport: MemoryTransport): void {
    if (this.#members.get(transport.self) !== transport) return;
    this.#members.delete(transport.self);
    for (const other of this.#members.values()) other.left(transport.self);
  }

  delayMs(): number {
    const { least, most } = this.#faults.delayMs;
    return least + (most - least) * this.random.next();
  }

  chance(probability: number): boolean {
    return probability > 0 && this.random.next() < probability;
  }

  /** Puts a batch under way; false if there is no room. */
  carry(flight: Flight, channel: string): boolean {
    const path = this.path(flight.from, flight.to);
    const full =
      path.messages + flight.messages > memoryQueueMessages ||
      path.bytes + flight.bytes > memoryQueueBytes;
    if (full && path.messages > 0) return false;
    const copies = this.chance(this.#faults.duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.#carryOne(path, flight, channel);
    return true;
  }

  #carryOne(path: Path, flight: Flight, channel: string): void {
    if (path.cut || this.chance(this.#faults.drop)) return;
    const delayMs = this.delayMs();
    const inOrder = this.chance(this.#faults.reorder) ? undefined : path.queue(channel);
    inOrder?.push(flight);
    path.messages += flight.messages;
    path.bytes += flight.bytes;
    this.clock.after(delayMs, () => {
      // Whichever delay ends first is the delay of the oldest: order is kept without looking at
      // times.
      const arriving = inOrder?.shift() ?? flight;
      path.messages -= arriving.messages;
      path.bytes -= arriving.bytes;
      // What was under way when the line was cut is lost with it.
      if (!path.cut) arriving.receiver.arrive(arriving);
    });
  }
}

export class MemoryTransport implements Transport {
  readonly self: MemberId;
  readonly cluster: bigint;
  readonly #network: MemoryNetwork;
  readonly #peers = new Map<MemberId, PeerAddress>();
  readonly #heardMs = new Map<MemberId, number>();
  readonly #transfers = new Map<MemberId, MemoryTransfer>();
  readonly #unreachable = new Set<MemberId>();
  #handlers: TransportHandlers | undefined;
  #stopped = false;

  constructor(network: MemoryNetwork, self: MemberId, cluster: bigint) {
    this.#network = network;
    this.self = self;
    this.cluster = cluster;
  }

  get handlers(): TransportHandlers | undefined {
    return this.#stopped ? undefined : this.#handlers;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    this.#network.join(this);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    const listed = new Set(peers.map((peer) => peer.id));
    for (const id of this.#peers.keys()) {
      if (listed.has(id)) continue;
      this.#peers.delete(id);
      this.#heardMs.delete(id);
      this.#transfers.get(id)?.fail();
    }
    for (const peer of peers) if (peer.id !== this.self) this.#peers.set(peer.id, peer);
  }

  send(messages: readonly Message[]): void {
    if (this.handlers === undefined) return;
    const batches = new Map<string, Message[]>();
    for (const message of messages) {
      if (message.type === 'snapshot') {
        this.#sendSnapshot(message);
        continue;
      }
      const key = `${message.to} ${channelOf(message)}`;
      const batch = batches.get(key);
      if (batch === undefined) batches.set(key, [message]);
      else batch.push(message);
    }
    for (const batch of batches.values()) this.#sendBatch(batch);
  }

  sendNote(to: MemberId, note: LeaseNote): boolean {
    const receiver = this.#network.member(to);
    if (receiver === undefined || !this.#reaches(to) || this.#network.path(this.self, to).cut) {
      return false;
    }
    const frame = encodeLeaseNote(note);
    const flight = { from: this.self, to, receiver, frame, bytes: frame.length };
    return this.#network.carry({ ...flight, messages: 1, arrived: false }, 'control');
  }

  lastHeardMs(member: MemberId): number | undefined {
    return this.#heardMs.get(member);
  }

  connected(member: MemberId): boolean {
    const now = this.#network.clock.monotonicMs();
    const open = (path: Path): boolean => !path.cut && now - path.healedMs >= reconnectMs;
    return (
      this.#reaches(member) &&
      open(this.#network.path(this.self, member)) &&
      open(this.#network.path(member, this.self))
    );
  }

  stop(done: () => void): void {
    this.#stopped = true;
    this.#network.leave(this);
    for (const transfer of this.#transfers.values()) transfer.fail();
    this.#network.clock.defer(done);
  }

  /** Another member has gone, perhaps while it took a chunk, which then never ends. */
  left(member: MemberId): void {
    this.#transfers.get(member)?.lose();
  }

  knows(member: MemberId): boolean {
    return this.#peers.has(member);
  }

  heard(member: MemberId): void {
    this.#heardMs.set(member, this.#network.clock.monotonicMs());
  }

  /** A batch comes in; called by the network. */
  arrive(flight: Flight): void {
    const { handlers } = this;
    if (handlers === undefined || !this.#peers.has(flight.from)) return;
    const frame = decodeFrame(flight.frame, flight.from, this.self);
    if (frame.kind === 'leaseAsks' || frame.kind === 'leaseAnswers') {
      this.heard(flight.from);
      handlers.note(flight.from, frame);
    }
    if (frame.kind !== 'batch') return;
    this.heard(flight.from);
    const again = flight.arrived;
    flight.arrived = true;
    const messages = again
      ? frame.messages.filter((message) => message.type !== 'propose')
      : frame.messages;
    if (messages.length > 0) handlers.receive(messages);
  }

  transferEnded(member: MemberId, ok: boolean): void {
    this.#transfers.delete(member);
    this.#network.clock.defer(() => this.handlers?.snapshotStatus(member, ok));
  }

  /** Both ends are up, know each other and belong to the same cluster. */
  #reaches(member: MemberId): boolean {
    const other = this.#network.member(member);
    return (
      this.handlers !== undefined &&
      this.#peers.has(member) &&
      other?.cluster === this.cluster &&
      other.knows(this.self)
    );
  }

  #sendBatch(messages: readonly Message[]): void {
    const [first] = messages;
    if (first === undefined) return;
    const { to } = first;
    const receiver = this.#network.member(to);
    if (receiver === undefined || !this.#reaches(to) || this.#network.path(this.self, to).cut) {
      this.#dropped(to);
      return;
    }
    let bytes = 0;
    for (const message of messages) bytes += messageSizeLimit(message);
    const flight: Flight = {
      from: this.self,
      to,
      receiver,
      frame: encodeBatch(1, messages),
      messages: messages.length,
      bytes,
      arrived: false,
    };
    if (!this.#network.carry(flight, channelOf(first))) this.#dropped(to);
  }

  #sendSnapshot(message: SnapshotMessage): void {
    const { to } = message;
    if (this.#transfers.has(to)) return;
    const transfer = new MemoryTransfer(this.#network, this, message);
    this.#transfers.set(to, transfer);
    if (this.#reaches(to) && !this.#network.path(this.self, to).cut) transfer.start();
    else {
      this.#dropped(to);
      transfer.fail();
    }
  }

  #dropped(member: MemberId): void {
    if (this.#unreachable.size === 0) {
      this.#network.clock.defer(() => {
        const members = [...this.#unreachable];
        this.#unreachable.clear();
        for (const id of members) this.handlers?.unreachable(id);
      });
    }
    this.#unreachable.add(member);
  }
}
