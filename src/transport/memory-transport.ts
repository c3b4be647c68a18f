/**
 * Members in one process that exchange messages under a clock and a source of chance: the twin of
 * the gRPC transport for tests and simulation. Messages pass through the codec, so that members
 * share no memory; faults are those that Raft must stand.
 */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { Introduction } from '../cluster/founding.ts';
import type { MemberId, Message, SnapshotMessage } from '../raft/index.ts';
import { messageSizeLimit, protocolOfMessage } from './codec.ts';
import { type Flight, memoryQueueBytes, memoryQueueMessages, Path } from './memory-path.ts';
import {
  decodeFrame,
  encodeBatch,
  encodeIntroduction,
  encodeNote,
  isNote,
  protocolVersion,
} from './frames.ts';
import type { PeerNote } from './frames.ts';
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
  /**
   * Chance that a chunk of a snapshot breaks the transfer, and that its receiver's last word is
   * lost: then it has the snapshot, and its sender believes that it has not.
   */
  readonly breakSnapshot: number;
  /** Chance that a batch that has arrived arrives once more, much later and whatever is cut. */
  readonly echo: number;
  readonly echoMs: number;
  /** The most by which requests for votes come later than what is sent along with them. */
  readonly lateVotesMs: number;
}

export const faultless: MemoryNetworkFaults = {
  delayMs: { least: 0, most: 0 },
  drop: 0,
  duplicate: 0,
  reorder: 0,
  breakSnapshot: 0,
  echo: 0,
  echoMs: 0,
  lateVotesMs: 0,
};

/** Time after which two members that can reach each other again count as connected. */
const reconnectMs = 50;

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
    if (path.cut && !cut) this.#mend(path);
    path.cut = cut;
  }

  /** Makes the way from one member to another longer than others. */
  setExtraDelay(from: MemberId, to: MemberId, extraMs: number): void {
    this.path(from, to).extraMs = extraMs;
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
      if (path.cut) this.#mend(path);
      path.cut = false;
    }
  }

  /** A member whose stream to another has ended opens a new one after a while. */
  dialSoon(from: MemberId, to: MemberId): void {
    const path = this.path(from, to);
    if (path.dials) return;
    path.dials = true;
    this.clock.after(reconnectMs, () => {
      path.dials = false;
      this.#members.get(from)?.dial(to);
    });
  }

  #mend(path: Path): void {
    path.healedMs = this.clock.monotonicMs();
    this.dialSoon(path.from, path.to);
    this.dialSoon(path.to, path.from);
  }

  path(from: MemberId, to: MemberId): Path {
    const key = `${from}>${to}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      path = new Path(from, to);
      this.#paths.set(key, path);
    }
    return path;
  }

  member(id: MemberId): MemoryTransport | undefined {
    return this.#members.get(id);
  }

  join(transport: MemoryTransport): void {
    const { self } = transport;
    this.#members.set(self, transport);
    for (const other of this.#members.keys()) {
      if (other === self) continue;
      this.dialSoon(self, other);
      this.dialSoon(other, self);
    }
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

  lateVoteMs(): number {
    const { lateVotesMs } = this.#faults;
    return lateVotesMs > 0 ? lateVotesMs * this.random.next() : 0;
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
    const delayMs = this.delayMs() + path.extraMs + flight.lateMs;
    const alone = flight.lateMs > 0 || this.chance(this.#faults.reorder);
    const inOrder = alone ? undefined : path.queue(channel);
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
      if (path.cut) return;
      arriving.receiver.arrive(arriving);
      this.#echo(arriving);
    });
  }

  #echo(flight: Flight): void {
    const { echo, echoMs } = this.#faults;
    if (!this.chance(echo)) return;
    this.clock.after(echoMs * this.random.next(), () => flight.receiver.arrive(flight));
  }
}

export class MemoryTransport implements Transport {
  readonly self: MemberId;
  /** What it tells the others that it speaks. */
  protocol = protocolVersion;
  readonly cluster: bigint;
  readonly #network: MemoryNetwork;
  readonly #peers = new Map<MemberId, PeerAddress>();
  readonly #heardMs = new Map<MemberId, number>();
  readonly #transfers = new Map<MemberId, MemoryTransfer>();
  readonly #unreachable = new Set<MemberId>();
  #handlers: TransportHandlers | undefined;
  /** It knows where the others find it: as long as its list of members has it. */
  #isFound = false;
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
      this.#network.dialSoon(id, this.self);
    }
    for (const peer of peers) if (peer.id !== this.self) this.#peers.set(peer.id, peer);
    this.#isFound = peers.some(({ id, peerUrls }) => id === this.self && peerUrls.length > 0);
  }

  send(messages: readonly Message[]): void {
    if (this.handlers === undefined) return;
    const batches = new Map<string, Message[]>();
    for (const message of messages) {
      if (this.#spokenWith(message.to) < protocolOfMessage(message)) continue;
      if (message.type === 'snapshot') {
        this.#sendSnapshot(message);
        continue;
      }
      const late = this.#network.faults.lateVotesMs > 0 && message.type === 'vote';
      const key = `${message.to} ${late ? 'vote' : channelOf(message)}`;
      const batch = batches.get(key);
      if (batch === undefined) batches.set(key, [message]);
      else batch.push(message);
    }
    for (const batch of batches.values()) this.#sendBatch(batch);
  }

  /** As on a stream, which begins with what its other end speaks. */
  #spokenWith(member: MemberId): number {
    return Math.min(this.protocol, this.#network.member(member)?.protocol ?? this.protocol);
  }

  introduce(to: MemberId, introduction: Introduction): void {
    const frame = encodeIntroduction(introduction, this.#spokenWith(to));
    if (!this.#peers.has(to)) return;
    this.#carry(to, { frame, messages: 1, bytes: frame.length, lateMs: 0 }, 'control');
  }

  sendNote(to: MemberId, note: PeerNote): boolean {
    if (!this.#peers.has(to)) return false;
    const frame = encodeNote(note);
    return this.#carry(to, { frame, messages: 1, bytes: frame.length, lateMs: 0 }, 'control');
  }

  protocolOf(member: MemberId): number | undefined {
    return this.#heardMs.has(member) ? this.#network.member(member)?.protocol : undefined;
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

  /** Opens a stream, as far as that shows: who was removed is told so. */
  dial(to: MemberId): void {
    const other = this.#network.member(to)?.handlers;
    if (other?.isRemoved(this.self) !== true || !this.#peers.has(to)) return;
    const isCut = this.#network.path(this.self, to).cut || this.#network.path(to, this.self).cut;
    if (isCut) return;
    if (other.remembersRemoval()) this.#network.clock.defer(() => this.handlers?.removed(to));
    else this.#network.dialSoon(this.self, to);
  }

  /** Whether it talks to another: also to one that it does not list, as a PeerTransport does. */
  knows(other: MemoryTransport): boolean {
    return this.#peers.has(other.self) || this.#meets(other);
  }

  #meets(other: MemoryTransport): boolean {
    return (
      other.#isFound &&
      other.#peers.has(this.self) &&
      this.handlers?.isRemoved(other.self) === false
    );
  }

  heard(member: MemberId): void {
    this.#heardMs.set(member, this.#network.clock.monotonicMs());
  }

  /** A batch comes in; called by the network. */
  arrive(flight: Flight): void {
    const { handlers } = this;
    if (handlers === undefined) return;
    const isListed = this.#peers.has(flight.from);
    const sender = this.#network.member(flight.from);
    if (!isListed && (sender === undefined || !this.#meets(sender))) return;
    const frame = decodeFrame(flight.frame, flight.from, this.self);
    this.heard(flight.from);
    if (isListed) {
      if (frame.kind === 'introduction') handlers.introduced(flight.from, frame.introduction);
      if (isNote(frame)) handlers.note(flight.from, frame);
    }
    if (frame.kind !== 'batch') return;
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
    if (this.handlers === undefined || other?.cluster !== this.cluster) return false;
    return this.knows(other) && other.knows(this);
  }

  #sendBatch(messages: readonly Message[]): void {
    const [first] = messages;
    if (first === undefined) return;
    const { to } = first;
    let bytes = 0;
    for (const message of messages) bytes += messageSizeLimit(message);
    const frame = encodeBatch(1, messages);
    const lateMs = first.type === 'vote' ? this.#network.lateVoteMs() : 0;
    const batch = { frame, messages: messages.length, bytes, lateMs };
    if (!this.#carry(to, batch, channelOf(first))) this.#dropped(to);
  }

  /** False if it was dropped. */
  #carry(
    to: MemberId,
    load: Pick<Flight, 'frame' | 'messages' | 'bytes' | 'lateMs'>,
    channel: string,
  ): boolean {
    const receiver = this.#network.member(to);
    this.dial(to);
    if (receiver === undefined || !this.#reaches(to)) return false;
    if (this.#network.path(this.self, to).cut) return false;
    const flight = { ...load, from: this.self, to, receiver, arrived: false };
    return this.#network.carry(flight, channel);
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
