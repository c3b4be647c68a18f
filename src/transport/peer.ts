/**
 * Everything between this member and one other: two channels each way, and at most one snapshot
 * each way.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { Introduction } from '../cluster/founding.ts';
import { parsePeerUrls } from '../cluster/peer-urls.ts';
import type { MemberId, Message, SnapshotMessage } from '../raft/index.ts';
import { protocolOfMessage } from './codec.ts';
import {
  encodeHello,
  encodeIntroduction,
  encodeNote,
  encodeOffer,
  encodeWelcome,
  introductionVersion,
  oldestProtocolVersion,
  protocolOf,
  protocolVersion,
} from './frames.ts';
import type { Channel, Hello, PeerNote } from './frames.ts';
import { InboundChannel } from './inbound.ts';
import type { InboundOwner } from './inbound.ts';
import type { TransportLimits } from './limits.ts';
import type { TransportMetrics } from './metrics.ts';
import { OutboundChannel } from './outbound.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import type { Carrier, FrameStream, FrameStreamEvents, LiveStream } from './stream.ts';
import type { LiveStreamOwner } from './stream.ts';
import type { PeerAddress, TransportHandlers } from './transport.ts';

/** What all peers of a member share. */
export interface PeerEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits: TransportLimits;
  readonly carrier: Carrier;
  readonly cluster: bigint;
  readonly self: MemberId;
  readonly incarnation: bigint;
  /** Where the others find this member. */
  readonly ownUrls: () => readonly string[];
  readonly handlers: TransportHandlers;
  /** Numbers the dials of this process. */
  nextSession(): number;
  /** Numbers the snapshot offers of this process. */
  nextTransfer(): number;
  readonly metrics: TransportMetrics;
}

/** The channel of a message: entries may be large, all else is small and must not wait for them. */
export function channelOf(message: Message): Channel {
  if (message.type === 'append' || message.type === 'propose') return 'append';
  return message.type === 'snapshot' ? 'snapshot' : 'control';
}

export class Peer {
  readonly id: MemberId;
  readonly #environment: PeerEnvironment;
  readonly #logger: Logger;
  readonly #outbound: Readonly<Record<'control' | 'append', OutboundChannel>>;
  readonly #inbound: Readonly<Record<'control' | 'append', InboundChannel>>;
  readonly #malformed = (): void => this.#environment.metrics.receiveFailed(this.id);
  readonly #helloed = new Map<Channel, { incarnation: bigint; session: number }>();
  #urls: readonly string[];
  /** Where it says that it is: it may have moved while this member was away. */
  #heardUrls: readonly string[] = [];
  #dials = 0;
  #protocol: number | undefined;
  #heardMs: number | undefined;
  #probeTimer: Timer | undefined;
  #sender: SnapshotSender | undefined;
  #receiver: SnapshotReceiver | undefined;
  #wasConnected = false;
  #closed = false;

  constructor(address: PeerAddress, environment: PeerEnvironment) {
    this.id = address.id;
    this.#urls = address.peerUrls;
    this.#logger = environment.logger.child({ peer: address.id.toString(16) });
    this.#environment = { ...environment, logger: this.#logger };
    const { limits, metrics } = environment;
    const sent = (sizeBytes: number): void => {
      metrics.sent(this.id, sizeBytes);
    };
    this.#outbound = {
      control: new OutboundChannel(limits, sent),
      append: new OutboundChannel(limits, sent),
    };
    const owner = this.#inboundOwner();
    this.#inbound = {
      control: new InboundChannel('control', owner, this.#environment),
      append: new InboundChannel('append', owner, this.#environment),
    };
    this.#scheduleProbe();
  }

  get heardMs(): number | undefined {
    return this.#heardMs;
  }

  /** The newest protocol that it said it speaks. */
  get protocol(): number | undefined {
    return this.#protocol;
  }

  get connected(): boolean {
    const { control, append } = this.#inbound;
    const served = this.#outbound.control.attached && this.#outbound.append.attached;
    return served && control.live && append.live;
  }

  get queuedBytes(): number {
    return this.#outbound.control.queuedBytes + this.#outbound.append.queuedBytes;
  }

  setUrls(urls: readonly string[]): void {
    this.#urls = urls;
  }

  dial(): void {
    this.#inbound.control.dial();
    this.#inbound.append.dial();
  }

  /** Queues a message; false if it was dropped. */
  offer(message: Message): boolean {
    const channel = channelOf(message);
    if (channel !== 'snapshot') {
      const outbound = this.#outbound[channel];
      // What the peer would not understand, it does without.
      const isKnown = outbound.version === 0 || outbound.version >= protocolOfMessage(message);
      return !isKnown || outbound.offer(message);
    }
    return this.#offerSnapshot(message as SnapshotMessage);
  }

  introduce(introduction: Introduction): void {
    const { control } = this.#outbound;
    const { version } = control;
    if (version < introductionVersion) return;
    control.sendFrame(encodeIntroduction(introduction, version));
  }

  /** False if it cannot be sent. */
  sendNote(note: PeerNote): boolean {
    const { control } = this.#outbound;
    return control.version >= protocolOf(note) && control.sendFrame(encodeNote(note));
  }

  flush(): void {
    this.#outbound.control.flush();
    this.#outbound.append.flush();
  }

  /** True if `hello` is older than one that has been answered: a dial that was overtaken. */
  isStale(hello: Hello): boolean {
    const last = this.#helloed.get(hello.channel);
    return last?.incarnation === hello.incarnation && hello.session <= last.session;
  }

  /** Serves a stream that the peer dialled; undefined if there is nothing to serve on it. */
  serve(hello: Hello, stream: LiveStream): LiveStreamOwner | undefined {
    const { channel } = hello;
    this.#protocol = hello.version;
    const version = Math.min(hello.version, protocolVersion);
    const welcome = (): void => {
      stream.write(encodeWelcome(version, this.#environment.incarnation));
    };
    if (channel === 'snapshot') return this.#serveSnapshot(hello, stream, welcome);
    this.#helloed.set(channel, { incarnation: hello.incarnation, session: hello.session });
    this.#heardUrls = parsePeerUrls(hello.peerUrls) ?? [];
    welcome();
    this.#outbound[channel].attach(stream, version);
    this.#heard(0);
    this.#connectionChanged();
    this.#logger.info({ channel }, 'sending to peer');
    // The peer is there: no reason to wait for the end of a pause between dials.
    this.dial();
    return {
      heard: (sizeBytes) => {
        this.#heard(sizeBytes);
      },
      frame: () => {
        stream.closed('unexpected frame');
      },
      closed: (reason) => {
        this.#lost(channel, stream, reason);
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#probeTimer?.cancel();
    this.#inbound.control.stop();
    this.#inbound.append.stop();
    this.#outbound.control.close();
    this.#outbound.append.close();
    this.#sender?.stop();
    this.#receiver?.stop();
  }

  #connectionChanged(): void {
    const { connected } = this;
    if (this.#wasConnected && !connected) this.#environment.metrics.disconnected(this.id);
    this.#wasConnected = connected;
  }

  #scheduleProbe(): void {
    const { clock, limits } = this.#environment;
    this.#probeTimer = clock.after(limits.probeMs, () => {
      const startMs = clock.monotonicMs();
      this.#inbound.control.probe(() => {
        if (this.#closed) return;
        this.#environment.metrics.roundTrip(this.id, clock.monotonicMs() - startMs);
      });
      this.#scheduleProbe();
    });
  }

  #heard(sizeBytes: number): void {
    this.#heardMs = this.#environment.clock.monotonicMs();
    this.#environment.metrics.received(this.id, sizeBytes);
  }

  #lost(channel: 'control' | 'append', stream: LiveStream, reason: string): void {
    if (this.#closed) return;
    this.#logger.info({ channel, reason }, 'peer closed its stream');
    this.#outbound[channel].detach(stream);
    this.#connectionChanged();
    this.#environment.handlers.unreachable(this.id);
  }

  #inboundOwner(): InboundOwner {
    return {
      self: this.#environment.self,
      id: this.id,
      dial: (channel, transfer, events) => this.#dial(channel, transfer, events),
      heard: (sizeBytes) => {
        this.#heard(sizeBytes);
      },
      receive: (messages) => {
        this.#environment.handlers.receive(messages);
      },
      note: (note) => {
        this.#environment.handlers.note(this.id, note);
      },
      offered: (transfer) => {
        this.#fetchSnapshot(transfer);
      },
      introduced: (introduction) => {
        this.#environment.handlers.introduced(this.id, introduction);
      },
      removed: () => {
        this.#environment.handlers.removed(this.id);
      },
      liveChanged: () => {
        this.#connectionChanged();
      },
      malformed: this.#malformed,
    };
  }

  /** Opens a stream to the next of the peer's addresses and says hello on it. */
  #dial(channel: Channel, transfer: number, events: FrameStreamEvents): FrameStream {
    const { carrier, cluster, self, incarnation } = this.#environment;
    const urls = [...new Set([...this.#urls, ...this.#heardUrls])];
    const url = urls[this.#dials++ % urls.length] ?? '';
    const stream = carrier.dial(url, channel, events);
    const hello = encodeHello({
      version: protocolVersion,
      oldestVersion: oldestProtocolVersion,
      cluster,
      from: self,
      to: this.id,
      incarnation,
      session: this.#environment.nextSession(),
      channel,
      transfer,
      peerUrls: this.#environment.ownUrls(),
    });
    stream.write(hello, () => {});
    return stream;
  }

  /** One transfer at a time: while it lasts, Raft's further requests are answered by its end. */
  #offerSnapshot(message: SnapshotMessage): boolean {
    if (this.#sender !== undefined) return true;
    const { self, handlers } = this.#environment;
    const sender = new SnapshotSender(
      this.#environment.nextTransfer(),
      message,
      {
        self,
        id: this.id,
        openSnapshot: () => handlers.openSnapshot(this.id),
        malformed: this.#malformed,
        ended: (ended, ok) => {
          if (this.#sender === ended) this.#sender = undefined;
          if (!this.#closed) handlers.snapshotStatus(this.id, ok);
        },
        meter: this.#environment.metrics.sendingTo(this.id),
      },
      this.#environment,
    );
    this.#sender = sender;
    const offered = this.#outbound.control.sendFrame(encodeOffer(sender.transfer));
    if (!offered) sender.fail('the peer is not connected');
    return offered;
  }

  #serveSnapshot(
    hello: Hello,
    stream: LiveStream,
    welcome: () => void,
  ): LiveStreamOwner | undefined {
    const sender = this.#sender;
    if (sender?.transfer !== hello.transfer) return undefined;
    if (!sender.serve(stream, welcome)) return undefined;
    return {
      heard: (sizeBytes) => {
        this.#heard(sizeBytes);
      },
      frame: (bytes) => {
        sender.frame(bytes);
      },
      closed: (reason) => {
        sender.fail(reason);
      },
    };
  }

  /** A new offer means that the peer has given up the transfer under way. */
  #fetchSnapshot(transfer: number): void {
    this.#receiver?.giveUp();
    const { self, handlers } = this.#environment;
    const receiver = new SnapshotReceiver(
      {
        self,
        id: this.id,
        dial: (events) => this.#dial('snapshot', transfer, events),
        heard: (sizeBytes) => {
          this.#heard(sizeBytes);
        },
        receiveSnapshot: (metadata) => handlers.receiveSnapshot(this.id, metadata),
        received: (message) => {
          if (!this.#closed) handlers.receive([message]);
        },
        malformed: this.#malformed,
        ended: (ended) => {
          if (this.#receiver === ended) this.#receiver = undefined;
        },
        meter: this.#environment.metrics.receivingFrom(this.id),
      },
      this.#environment,
    );
    this.#receiver = receiver;
    receiver.start();
  }
}
