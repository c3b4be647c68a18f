/** The transport between members, over any carrier of frame streams. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { silentMetrics } from '../base/metrics.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import type { Introduction } from '../cluster/founding.ts';
import { parsePeerUrls } from '../cluster/peer-urls.ts';
import type { MemberId, Message } from '../raft/index.ts';
import { decodeFrame, encodeRefused, oldestProtocolVersion, refusals } from './frames.ts';
import { protocolVersion } from './frames.ts';
import type { Frame, Hello, PeerNote } from './frames.ts';
import { defaultLimits } from './limits.ts';
import type { TransportLimits } from './limits.ts';
import { TransportMetrics } from './metrics.ts';
import { Peer } from './peer.ts';
import type { PeerEnvironment } from './peer.ts';
import { LiveStream } from './stream.ts';
import type { Carrier, FrameStream, FrameStreamEvents, LiveStreamOwner } from './stream.ts';
import type { PeerAddress, Transport, TransportHandlers } from './transport.ts';
import { PeerProtocolError } from './wire.ts';

export interface PeerTransportOptions {
  readonly self: MemberId;
  /** Members of different clusters refuse each other. */
  readonly cluster: bigint;
  readonly clock: Clock;
  /**
   * Must give different numbers in each life of the process: it tells peers that counting began
   * anew.
   */
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics?: Metrics;
  readonly limits?: Partial<TransportLimits>;
}

/** Whether a hello is answered with a stream, and if not, why. */
type Verdict = { readonly peer: Peer } | { readonly code: number; readonly text: string };

export class PeerTransport implements Transport {
  readonly #self: MemberId;
  readonly #cluster: bigint;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #limits: TransportLimits;
  readonly #carrier: Carrier;
  readonly #random: Random;
  readonly #metrics: TransportMetrics;
  readonly #peers = new Map<MemberId, Peer>();
  /**
   * Members of the cluster that this one does not know, as it is behind: the leader may be one.
   * Only Raft's messages are exchanged with them (etcd: rafthttp.Transport.AddRemote).
   */
  readonly #strangers = new Map<MemberId, Peer>();
  readonly #unreachable = new Set<MemberId>();
  readonly #refused = new Map<string, number>();
  #environment: PeerEnvironment | undefined;
  #addresses: readonly PeerAddress[] = [];
  #ownUrls: readonly string[] = [];
  #pendingHandshakes = 0;
  /** Hellos that came before the start. */
  readonly #waiting: (() => void)[] = [];
  #sessions = 0;
  #transfers = 0;
  #stopped = false;
  #urls: readonly string[] = [];

  constructor(carrier: Carrier, options: PeerTransportOptions) {
    this.#carrier = carrier;
    this.#self = options.self;
    this.#cluster = options.cluster;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger;
    this.#limits = { ...defaultLimits, ...options.limits };
    const metrics = options.metrics ?? silentMetrics;
    this.#metrics = new TransportMetrics(metrics, options.self, options.clock);
    metrics.onCollect(() => {
      for (const { id, connected } of this.#peers.values()) this.#metrics.active(id, connected);
    });
  }

  /**
   * Binds the addresses to listen on; before {@link start}, so that a taken port stops the member
   * before it has told anyone that it is there. Streams wait for the start.
   */
  listen(done: (error: Error | undefined) => void): void {
    this.#carrier.listen(
      (stream) => this.#accept(stream),
      (error, urls) => {
        this.#urls = urls;
        done(error);
      },
    );
  }

  /** Where this member listens, with real ports in place of 0. */
  get boundUrls(): readonly string[] {
    return this.#urls;
  }

  start(handlers: TransportHandlers): void {
    this.#environment = {
      clock: this.#clock,
      random: this.#random,
      logger: this.#logger,
      limits: this.#limits,
      carrier: this.#carrier,
      cluster: this.#cluster,
      self: this.#self,
      incarnation: this.#random.bits64(),
      handlers,
      ownUrls: () => this.#ownUrls,
      nextSession: () => ++this.#sessions,
      nextTransfer: () => ++this.#transfers,
      metrics: this.#metrics,
    };
    this.#connect();
    for (const answer of this.#waiting.splice(0)) answer();
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#addresses = peers.filter((peer) => peer.id !== this.#self);
    this.#ownUrls = peers.find((peer) => peer.id === this.#self)?.peerUrls ?? [];
    this.#connect();
  }

  /** To those listed, and to nobody else that is known; before the start there is nothing to do. */
  #connect(): void {
    const environment = this.#environment;
    if (environment === undefined || this.#stopped) return;
    const listed = new Set(this.#addresses.map((peer) => peer.id));
    for (const [id, peer] of this.#peers) {
      if (listed.has(id)) continue;
      this.#peers.delete(id);
      peer.close();
      this.#metrics.end(id);
    }
    for (const [id, stranger] of this.#strangers) {
      if (!listed.has(id) && !environment.handlers.isRemoved(id)) continue;
      this.#strangers.delete(id);
      stranger.close();
    }
    for (const address of this.#addresses) {
      const known = this.#peers.get(address.id);
      if (known !== undefined) known.setUrls(address.peerUrls);
      else {
        const peer = new Peer(address, environment);
        this.#peers.set(address.id, peer);
        this.#metrics.begin(address.id);
        peer.dial();
      }
    }
  }

  send(messages: readonly Message[]): void {
    if (this.#stopped) return;
    const touched = new Set<Peer>();
    for (const message of messages) {
      const peer = this.#peerOf(message.to);
      if (peer === undefined) {
        this.#dropped(message.to);
        continue;
      }
      if (peer.offer(message)) touched.add(peer);
      else this.#dropped(message.to);
    }
    for (const peer of touched) peer.flush();
  }

  introduce(to: MemberId, introduction: Introduction): void {
    if (!this.#stopped) this.#peers.get(to)?.introduce(introduction);
  }

  sendNote(to: MemberId, note: PeerNote): boolean {
    return !this.#stopped && this.#peers.get(to)?.sendNote(note) === true;
  }

  protocolOf(member: MemberId): number | undefined {
    return this.#peers.get(member)?.protocol;
  }

  lastHeardMs(member: MemberId): number | undefined {
    return this.#peerOf(member)?.heardMs;
  }

  connected(member: MemberId): boolean {
    return this.#peerOf(member)?.connected ?? false;
  }

  /** Bytes waiting to be sent to `member`. */
  queuedBytes(member: MemberId): number {
    return this.#peerOf(member)?.queuedBytes ?? 0;
  }

  stop(done: () => void): void {
    this.#stopped = true;
    for (const peer of [...this.#peers.values(), ...this.#strangers.values()]) peer.close();
    this.#peers.clear();
    this.#strangers.clear();
    this.#carrier.stop(done);
  }

  /** Tells of a dropped message later, once for all that are dropped until then. */
  #dropped(member: MemberId): void {
    this.#metrics.sendFailed(member);
    if (this.#unreachable.size === 0) {
      this.#clock.defer(() => {
        const members = [...this.#unreachable];
        this.#unreachable.clear();
        if (this.#stopped) return;
        for (const id of members) this.#environment?.handlers.unreachable(id);
      });
    }
    this.#unreachable.add(member);
  }

  /**
   * A stream was opened to this member: waits for its hello and hands it to the peer it belongs to.
   */
  #accept(stream: FrameStream): FrameStreamEvents {
    let owner: LiveStreamOwner | undefined;
    let pending = true;
    const timer = this.#clock.after(this.#limits.handshakeMs, () => {
      live.closed('no hello');
    });
    const settle = (): void => {
      timer.cancel();
      if (pending) this.#pendingHandshakes--;
      pending = false;
    };
    const live: LiveStream = new LiveStream(this.#clock, this.#limits, {
      heard: (sizeBytes) => owner?.heard(sizeBytes),
      frame: (bytes) => {
        if (owner !== undefined) owner.frame(bytes);
        else if (pending) {
          settle();
          this.#whenStarted(() => {
            if (!live.isClosed) owner = this.#hello(bytes, live);
          });
        }
      },
      closed: (reason) => {
        settle();
        owner?.closed(reason);
      },
    });
    live.bind(stream);
    this.#pendingHandshakes++;
    if (this.#pendingHandshakes > this.#limits.pendingHandshakes) {
      this.#clock.defer(() => {
        live.closed('too many streams without a hello');
      });
    }
    return live;
  }

  /**
   * A member that binds its port before it is ready lets the others wait: a refusal would cost
   * more.
   */
  #whenStarted(answer: () => void): void {
    if (this.#environment !== undefined) answer();
    else if (this.#waiting.length < this.#limits.pendingHandshakes) this.#waiting.push(answer);
  }

  /** Answers a hello; the stream's owner if it is welcome. */
  #hello(bytes: Uint8Array, live: LiveStream): LiveStreamOwner | undefined {
    let frame: Frame;
    try {
      frame = decodeFrame(bytes, 0n, this.#self);
    } catch (error) {
      if (!(error instanceof PeerProtocolError)) throw error;
      this.#metrics.receiveFailed(undefined);
      this.#refuse(live, refusals.malformed, `malformed hello: ${error.message}`, 'unknown');
      return undefined;
    }
    if (frame.kind !== 'hello') {
      this.#refuse(live, refusals.malformed, 'the first frame must be a hello', 'unknown');
      return undefined;
    }
    const verdict = this.#judge(frame);
    if ('code' in verdict) {
      this.#refuse(live, verdict.code, verdict.text, frame.from.toString(16));
      return undefined;
    }
    const owner = verdict.peer.serve(frame, live);
    if (owner === undefined) {
      this.#refuse(live, refusals.noSnapshot, 'that snapshot is not offered', '');
    }
    return owner;
  }

  #judge(hello: Hello): Verdict {
    const { version, oldestVersion } = hello;
    const agreed = this.#environment?.handlers.oldestProtocol() ?? 0;
    const oldest = Math.max(oldestProtocolVersion, agreed);
    if (oldestVersion > protocolVersion || version < oldest) {
      const theirs = `${oldestVersion} to ${version}`;
      const ours = `${oldest} to ${protocolVersion}`;
      return {
        code: refusals.version,
        text: `protocol versions differ: ${theirs} there, ${ours} here`,
      };
    }
    if (hello.cluster !== this.#cluster) {
      const theirs = hello.cluster.toString(16);
      const ours = this.#cluster.toString(16);
      return {
        code: refusals.cluster,
        text: `cluster ids differ: ${theirs} there, ${ours} here`,
      };
    }
    if (hello.to !== this.#self) {
      const text = `this is member ${this.#self.toString(16)}, not ${hello.to.toString(16)}`;
      return { code: refusals.notMe, text };
    }
    const from = hello.from.toString(16);
    const { handlers } = this.#environment ?? {};
    const isRemoved = handlers?.isRemoved(hello.from) === true;
    if (isRemoved && handlers.remembersRemoval()) {
      const text = `${from} has been permanently removed from the cluster`;
      return { code: refusals.removed, text };
    }
    const isWelcome = !this.#stopped && !isRemoved;
    const peer = isWelcome ? (this.#peerOf(hello.from) ?? this.#meet(hello)) : undefined;
    if (peer === undefined) {
      return { code: refusals.unknownMember, text: `${from} is not a member of the cluster` };
    }
    if (peer.isStale(hello)) return { code: refusals.stale, text: 'a newer stream exists' };
    return { peer };
  }

  #peerOf(member: MemberId): Peer | undefined {
    return this.#peers.get(member) ?? this.#strangers.get(member);
  }

  /** Gets to know a member that says where it is; nothing if it does not. */
  #meet({ from, peerUrls }: Hello): Peer | undefined {
    const environment = this.#environment;
    const urls = parsePeerUrls(peerUrls);
    if (environment === undefined || urls === undefined || from === this.#self) return undefined;
    if (this.#strangers.size >= strangersMax) return undefined;
    this.#logger.info({ peer: from.toString(16), urls }, 'meeting a member that is not known yet');
    const handlers = strangerHandlers(environment.handlers);
    const stranger = new Peer({ id: from, peerUrls: urls }, { ...environment, handlers });
    this.#strangers.set(from, stranger);
    stranger.dial();
    return stranger;
  }

  /** Says why and leaves the closing to the other end for a while, so that the words arrive. */
  #refuse(live: LiveStream, code: number, text: string, from: string): void {
    const fields = { peer: from, reason: text };
    const key = `${from} ${code}`;
    const now = this.#clock.monotonicMs();
    if (now - (this.#refused.get(key) ?? -Infinity) > refusalLogMs) {
      // A stranger could make up members: the table of what was logged starts anew past a limit.
      if (this.#refused.size >= refusalLogSize) this.#refused.clear();
      this.#refused.set(key, now);
      this.#logger.warn(fields, 'refused a stream of a peer');
    } else this.#logger.debug(fields, 'refused a stream of a peer');
    live.write(encodeRefused(code, text));
    this.#clock.after(refusalLingerMs, () => {
      live.close();
    });
  }
}

/** What others ask beside Raft is for members that are known. */
function strangerHandlers(handlers: TransportHandlers): TransportHandlers {
  return {
    receive: (messages) => handlers.receive(messages),
    introduced: () => {},
    note: () => {},
    isRemoved: (member) => handlers.isRemoved(member),
    remembersRemoval: () => handlers.remembersRemoval(),
    oldestProtocol: () => handlers.oldestProtocol(),
    removed: (by) => handlers.removed(by),
    unreachable: (member) => handlers.unreachable(member),
    snapshotStatus: (member, ok) => handlers.snapshotStatus(member, ok),
    openSnapshot: (member) => handlers.openSnapshot(member),
    receiveSnapshot: (member, metadata) => handlers.receiveSnapshot(member, metadata),
  };
}

/** More than a cluster replaces of its members while one is away. */
const strangersMax = 16;
/** A peer that is refused dials again every few seconds; one line a minute says enough. */
const refusalLogMs = 60_000;
const refusalLogSize = 1_024;
/** Time for a refusal to arrive before the stream is closed from this end. */
const refusalLingerMs = 1_000;
