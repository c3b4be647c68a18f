/**
 * The stream on which one peer's messages of one channel arrive: dialled here, kept up,
 * deduplicated.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { LogFields, Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { Introduction } from '../cluster/founding.ts';
import type { MemberId, Message } from '../raft/index.ts';
import { decodeFrame, isNote, oldestProtocolVersion, protocolVersion, refusals } from './frames.ts';
import type { Batch, Channel, Frame, PeerNote } from './frames.ts';
import type { TransportLimits } from './limits.ts';
import { LiveStream } from './stream.ts';
import type { FrameStream, FrameStreamEvents } from './stream.ts';
import { PeerProtocolError } from './wire.ts';

/** What an inbound channel asks of its peer. */
export interface InboundOwner {
  readonly self: MemberId;
  readonly id: MemberId;
  /** Opens a stream and says hello on it. */
  dial(channel: Channel, transfer: number, events: FrameStreamEvents): FrameStream;
  /** Any frame came on a live stream. */
  heard(sizeBytes: number): void;
  receive(messages: readonly Message[]): void;
  note(note: PeerNote): void;
  offered(transfer: number): void;
  introduced(introduction: Introduction): void;
  /** The peer says that this member was removed from the cluster. */
  removed(): void;
  /** The channel came up, or went down. */
  liveChanged(): void;
  /** Bytes came that are no frame. */
  readonly malformed: () => void;
}

export class InboundChannel {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: TransportLimits;
  readonly #logger: Logger;
  readonly #channel: Channel;
  readonly #owner: InboundOwner;
  #stream: LiveStream | undefined;
  #redial: Timer | undefined;
  #handshake: Timer | undefined;
  #waitMs: number;
  #live = false;
  #stopped = false;
  /** Number of the last message delivered on this stream. */
  #sequence = 0;
  /** The last failure logged as a warning; repetitions are only worth a debug line. */
  #warned: string | undefined;

  constructor(
    channel: Channel,
    owner: InboundOwner,
    environment: { clock: Clock; random: Random; limits: TransportLimits; logger: Logger },
  ) {
    this.#channel = channel;
    this.#owner = owner;
    this.#clock = environment.clock;
    this.#random = environment.random;
    this.#limits = environment.limits;
    this.#logger = environment.logger.child({ channel });
    this.#waitMs = environment.limits.redialMs;
  }

  get live(): boolean {
    return this.#live;
  }

  /**
   * Dials now, unless a stream is up or about to be: also when the peer has just shown that it is
   * there.
   */
  dial(): void {
    if (this.#stopped || this.#stream !== undefined) return;
    this.#redial?.cancel();
    const stream: LiveStream = new LiveStream(this.#clock, this.#limits, {
      heard: (sizeBytes) => {
        if (this.#live && stream === this.#stream) this.#owner.heard(sizeBytes);
      },
      frame: (bytes) => {
        this.#frame(stream, bytes);
      },
      closed: (reason) => {
        if (stream === this.#stream) this.#down(reason);
      },
    });
    this.#stream = stream;
    stream.bind(this.#owner.dial(this.#channel, 0, stream));
    this.#handshake = this.#clock.after(this.#limits.handshakeMs, () => {
      this.#fail(stream, 'no answer to hello');
    });
  }

  /** Calls `answered` when the peer has answered on the connection of this stream, or never. */
  probe(answered: () => void): void {
    if (this.#live) this.#stream?.probe(answered);
  }

  stop(): void {
    this.#stopped = true;
    this.#redial?.cancel();
    this.#handshake?.cancel();
    this.#live = false;
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.close();
  }

  #frame(stream: LiveStream, bytes: Uint8Array): void {
    if (stream !== this.#stream) return;
    let frame: Frame;
    try {
      frame = decodeFrame(bytes, this.#owner.id, this.#owner.self);
    } catch (error) {
      if (!(error instanceof PeerProtocolError)) throw error;
      this.#owner.malformed();
      this.#fail(stream, `malformed frame: ${error.message}`);
      return;
    }
    if (!this.#live) {
      this.#answered(stream, frame);
      return;
    }
    if (frame.kind === 'batch') this.#batch(stream, frame);
    else if (frame.kind === 'offer') this.#owner.offered(frame.transfer);
    else if (frame.kind === 'introduction') this.#owner.introduced(frame.introduction);
    else if (isNote(frame)) this.#owner.note(frame);
    else this.#fail(stream, `unexpected frame ${frame.kind}`);
  }

  #answered(stream: LiveStream, frame: Frame): void {
    this.#handshake?.cancel();
    if (frame.kind === 'refused') {
      // The peer's reason will hardly change within milliseconds.
      this.#waitMs = this.#limits.redialLongestMs;
      this.#fail(stream, `refused: ${frame.text}`, { code: frame.code });
      if (frame.code === refusals.removed) this.#owner.removed();
    } else if (frame.kind !== 'welcome') {
      this.#fail(stream, `unexpected answer ${frame.kind} to hello`);
    } else if (frame.version < oldestProtocolVersion || frame.version > protocolVersion) {
      this.#fail(stream, `peer answered in protocol version ${frame.version}`);
    } else {
      this.#welcome();
    }
  }

  #welcome(): void {
    // The peer sends nothing twice, on whatever streams. But who has met this member as a stranger
    // begins to count anew once it knows it.
    this.#sequence = 0;
    this.#live = true;
    this.#waitMs = this.#limits.redialMs;
    this.#warned = undefined;
    this.#logger.info({}, 'receiving from peer');
    this.#owner.heard(0);
    this.#owner.liveChanged();
  }

  /** Delivers what is new: a message counts once, however often it arrives on a stream. */
  #batch(stream: LiveStream, frame: Batch): void {
    // Its message follows the contents, which have a stream of their own: without them the core
    // would have nothing to install.
    if (frame.messages.some(({ type }) => type === 'snapshot')) {
      this.#fail(stream, 'a snapshot without its contents');
      return;
    }
    const seen = this.#sequence + 1 - frame.sequence;
    const { messages } = frame;
    this.#sequence = Math.max(this.#sequence, frame.sequence + messages.length - 1);
    if (seen <= 0) {
      if (messages.length > 0) this.#owner.receive(messages);
    } else if (seen < messages.length) {
      this.#owner.receive(messages.slice(seen));
    }
  }

  #fail(stream: LiveStream, reason: string, fields: LogFields = {}): void {
    if (stream !== this.#stream) return;
    stream.close();
    this.#down(reason, fields);
  }

  #down(reason: string, fields: LogFields = {}): void {
    this.#handshake?.cancel();
    this.#stream = undefined;
    const wasLive = this.#live;
    this.#live = false;
    const refusedForGood =
      fields['code'] === refusals.cluster || fields['code'] === refusals.version;
    if (wasLive) {
      this.#owner.liveChanged();
      this.#logger.warn({ ...fields, reason }, 'lost the stream from peer');
    } else if (refusedForGood && this.#warned !== reason) {
      this.#logger.error({ ...fields, reason }, 'peer does not talk to this member');
    } else if (this.#warned !== reason) {
      this.#logger.warn({ ...fields, reason }, 'cannot receive from peer');
    } else this.#logger.debug({ ...fields, reason }, 'still cannot receive from peer');
    this.#warned = wasLive ? undefined : reason;
    // Half fixed, half by chance: members that restart together do not dial in step for ever.
    const waitMs = this.#waitMs * (0.5 + 0.5 * this.#random.next());
    this.#waitMs = Math.min(2 * this.#waitMs, this.#limits.redialLongestMs);
    this.#redial = this.#clock.after(waitMs, () => {
      this.dial();
    });
  }
}
