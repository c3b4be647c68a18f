/**
 * One end of a connection over HTTP/2 (RFC 9113), without Node's own: that makes objects, strings
 * and calls across languages for each stream which cost more than all of our work on most requests.
 * What is to be sent within a turn of the event loop is sent together.
 */
import type { Socket } from 'node:net';
import { ChurnMap } from '../base/churn.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { type FrameMemory, FrameReader, type FrameSink } from './frame-reader.ts';
import {
  ConnectionError,
  defaultFrameBytes,
  defaultWindowBytes,
  ErrorCode,
  Flag,
  goAwayFrame,
  maxWindowBytes,
  pingFrame,
  resetFrame,
  SettingId,
  settingsAcknowledgement,
  settingsFrame,
  windowUpdateFrame,
} from './frames.ts';
import { HeaderDecoder } from './header-decoder.ts';
import type { HeaderList } from './header-fields.ts';
import { Listening } from './listening.ts';
import type { OutputMemory } from './output.ts';
import { RecentResets } from './recent-resets.ts';
import { SendQueue } from './send-queue.ts';
import { Stream, type StreamHost } from './stream.ts';

/** The other end is told how much more it may send once it is a part of the window. */
const creditShare = 2;
/** Fields of one request, or of an answer. */
const maxHeaderListBytes = 64 * 1024;
/** Answers to settings, pings and the like that the other end has not read. */
const maxUnreadReplyBytes = 64 * 1024;
/** Time for the other end's settings, and to acknowledge ours. */
const openingTimeoutMs = 10_000;
/** Time for the other end to end its side of a connection that failed. */
const farewellMs = 1_000;
/** The same of one that has nothing more to say: what it said last may still be on its way. */
const lastAnswersMs = 10_000;

export interface ConnectionOptions {
  readonly clock: Clock;
  /** Holds what has come in part, and long header lists of open streams. */
  readonly received: FrameMemory;
  /** Counts what waits to be sent. */
  readonly sent: OutputMemory;
  /** Why the connection ends before its time. */
  failed(error: Error): void;
  /** It is over, and all its streams are. */
  closed(): void;
  /** For tests; the default is named above. */
  readonly openingTimeoutMs?: number | undefined;
}

/** With what an end begins, and what it takes. */
export interface End {
  readonly sentPreface?: Buffer;
  readonly expectedPreface?: Buffer;
  /** Settings of this end, by {@link SettingId}. */
  readonly settings: readonly (readonly [id: number, value: number])[];
  /** What the other end may send on one stream before we say more. */
  readonly streamWindowBytes: number;
  /** And on all of them. */
  readonly windowBytes: number;
}

/** What both ends have in common. Streams are always the client's, as servers do not push. */
export abstract class Connection implements StreamHost, FrameSink {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #end: End;
  readonly #reader: FrameReader;
  readonly #decoder = new HeaderDecoder(maxHeaderListBytes);
  readonly #listening: Listening;
  readonly #resets = new RecentResets();
  readonly #openingTimer: Timer;
  #farewellTimer: Timer | undefined;
  #receiveWindow: number;
  #uncreditedBytes = 0;
  /** Of streams' send windows, none is larger beyond what holds for all. */
  #mostExtraSendWindow = 0;
  #awaitedPing: (() => void) | undefined;
  /** Only what is under way to the other end is left. */
  #isEnding = false;
  #isClosed = false;
  protected readonly queue: SendQueue;
  protected readonly streams = new ChurnMap<number, Stream>();
  /** Streams that are closed, whose requests somebody still works on. */
  protected lingering = 0;
  /** The last stream that has been begun. */
  protected lastStreamId = 0;
  /** No new streams are taken. */
  protected isLeaving = false;
  /** Whether anything has come, or what waited was sent, since somebody set it to false. */
  hasMoved = false;
  /** Whether any part of a stream was sent since somebody set it to false. */
  hasSent = false;

  protected constructor(socket: Socket, options: ConnectionOptions, end: End) {
    const { clock, received, sent } = options;
    this.#options = options;
    this.#socket = socket;
    this.#end = end;
    this.#receiveWindow = end.windowBytes;
    this.#reader = new FrameReader(this, received, end.expectedPreface);
    this.#listening = new Listening(socket, clock);
    this.queue = new SendQueue(socket, clock, sent, {
      sent: () => {
        this.hasSent = true;
      },
      ended: (stream) => this.allSent(stream),
      idle: () => this.#endIfDone(),
      taken: () => {
        this.hasMoved = true;
      },
    });
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('end', () => this.destroy());
    socket.on('error', (error) => {
      options.failed(error);
      this.destroy();
    });
    socket.on('close', () => this.destroy());
    if (end.sentPreface !== undefined) this.queue.control(end.sentPreface);
    this.queue.control(
      settingsFrame([
        ...end.settings,
        [SettingId.initialWindowBytes, end.streamWindowBytes],
        [SettingId.maxHeaderListBytes, maxHeaderListBytes],
      ]),
    );
    this.queue.control(windowUpdateFrame(0, end.windowBytes - defaultWindowBytes));
    this.#openingTimer = clock.after(options.openingTimeoutMs ?? openingTimeoutMs, () => {
      this.fail(new ConnectionError(ErrorCode.settingsTimeout, 'settings not acknowledged'));
    });
  }

  /** Header fields of a stream have come; undefined if they are too many or too long. */
  protected abstract fields(streamId: number, list: HeaderList | undefined, isLast: boolean): void;
  /** All that is to be sent on a stream is on its way. */
  protected abstract allSent(stream: Stream): void;
  /** The last of the other end's streams that we have heard of; 0 if it has none. */
  protected abstract get lastHeardStreamId(): number;
  abstract goAway(lastStreamId: number, code: number, reason: string): void;

  /** Streams that are open. */
  get streamCount(): number {
    return this.streams.size;
  }

  /** Takes what has come from the other end. */
  receive(chunk: Buffer): void {
    if (this.#isEnding || this.#isClosed) return;
    this.hasMoved = true;
    try {
      this.#reader.take(chunk);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.fail(error);
    }
    if (this.queue.isFull) this.#listening.pause();
  }

  #drained(): void {
    this.hasMoved = true;
    // Even if as much is sent again at once: who reads slowly may go on to say something.
    this.#listening.resume();
    this.queue.drained();
  }

  /** Asks the other end whether it is there. @param answered called once it says so */
  ping(answered: () => void): void {
    this.#awaitedPing = answered;
    this.#listening.resume();
    this.queue.control(pingFrame(pingPayload));
  }

  /** Takes no new streams, and ends when those that are open have ended. */
  leave(): void {
    if (this.isLeaving || this.#isEnding || this.#isClosed) return;
    this.isLeaving = true;
    this.queue.control(goAwayFrame(this.lastHeardStreamId, ErrorCode.noError, ''));
  }

  /** Ends the connection for what the other end did, and tells it. */
  fail(error: ConnectionError): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#isEnding = true;
    this.queue.control(goAwayFrame(this.lastHeardStreamId, error.code, error.message));
    this.#options.failed(error);
    this.#cutStreams();
    this.#finish();
    this.#startFarewell(farewellMs);
  }

  /** Ends the connection at once. */
  destroy(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#openingTimer.cancel();
    this.#farewellTimer?.cancel();
    this.#listening.stop();
    this.#reader.close();
    this.queue.close();
    this.#cutStreams();
    this.#socket.destroy();
    this.#options.closed();
  }

  #cutStreams(): void {
    for (const stream of this.streams.values()) this.close(stream);
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.#isEnding = true;
    this.isLeaving = true;
    this.#reader.close();
    this.#listening.stop();
    this.#socket.once('finish', () => this.#startFarewell(lastAnswersMs));
    this.queue.flushThen(() => this.#socket.end());
  }

  #startFarewell(ms: number): void {
    if (this.#isClosed) return;
    this.#farewellTimer ??= this.#options.clock.after(ms, () => this.destroy());
  }

  #endIfDone(): void {
    if (!this.isLeaving || this.#isEnding || this.#isClosed) return;
    if (this.streams.size === 0 && this.lingering === 0) this.#finish();
  }

  protected close(stream: Stream): void {
    if (stream.isClosed) return;
    this.streams.delete(stream.id);
    if (stream.heldBytes > 0) this.#options.received.release(stream.heldBytes);
    if (stream.isWorkedOn) this.lingering++;
    stream.close();
    this.queue.remove(stream);
    if (this.isLeaving) this.queue.schedule();
  }

  /** A stream begins; somebody is to give it a listener. */
  protected opened(streamId: number): Stream {
    const stream = new Stream(streamId, this, this.#end.streamWindowBytes);
    this.lastStreamId = streamId;
    this.streams.set(streamId, stream);
    return stream;
  }

  // What streams ask for.

  sends(stream: Stream): void {
    this.queue.add(stream);
  }

  credits(stream: Stream, bytes: number): void {
    stream.uncreditedBytes += bytes;
    const { uncreditedBytes } = stream;
    if (stream.isPaused || stream.isReceived || stream.isClosed) return;
    if (uncreditedBytes < this.#end.streamWindowBytes / creditShare) return;
    stream.uncreditedBytes = 0;
    stream.receiveWindow += uncreditedBytes;
    this.queue.control(windowUpdateFrame(stream.id, uncreditedBytes));
  }

  resets(stream: Stream, code: ErrorCode): void {
    this.#resets.note(stream.id);
    this.queue.control(resetFrame(stream.id, code));
    this.close(stream);
  }

  isDoneWith(_stream: Stream): void {
    this.lingering--;
    if (this.isLeaving) this.queue.schedule();
  }

  /** Refuses a stream that is none, or not open. */
  protected refuse(streamId: number, code: ErrorCode): void {
    this.#resets.note(streamId);
    this.#reply(resetFrame(streamId, code));
  }

  /** Refuses an open stream for what the other end did. */
  protected abort(stream: Stream, code: ErrorCode): void {
    stream.fault = code;
    this.close(stream);
    this.refuse(stream.id, code);
  }

  /** A frame on a stream that is closed. */
  protected isUnexpected(streamId: number): void {
    const mayNotKnow = streamId > this.lastStreamId || this.#resets.has(streamId);
    if (!mayNotKnow) this.refuse(streamId, ErrorCode.streamClosed);
  }

  /** Sends what the other end made us send, unless it does not read. */
  #reply(frame: Buffer): void {
    if (this.queue.replyBytes <= maxUnreadReplyBytes) this.queue.reply(frame);
    else this.fail(new ConnectionError(ErrorCode.enhanceYourCalm, 'too many unread frames'));
  }

  // What the other end sends, frame by frame.

  dataBegins(streamId: number, bytes: number): Stream | undefined {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) {
      throw new ConnectionError(ErrorCode.flowControlError, 'connection window exceeded');
    }
    this.#creditConnection(bytes);
    const stream = this.#openStream(streamId, 'DATA');
    if (stream === undefined) {
      this.isUnexpected(streamId);
      return undefined;
    }
    stream.receiveWindow -= bytes;
    if (!stream.isReceived && stream.receiveWindow >= 0) return stream;
    const { streamClosed, flowControlError } = ErrorCode;
    this.abort(stream, stream.isReceived ? streamClosed : flowControlError);
    return undefined;
  }

  data(stream: Stream, bytes: Buffer, start: number, end: number): void {
    stream.listener?.data(bytes, start, end);
    this.credits(stream, end - start);
  }

  padding(stream: Stream, bytes: number): void {
    this.credits(stream, bytes);
  }

  dataEnds(stream: Stream): void {
    this.received(stream);
  }

  headers(streamId: number, block: Buffer, start: number, end: number, isLast: boolean): void {
    if (streamId % 2 === 0) {
      throw new ConnectionError(ErrorCode.protocolError, `HEADERS on stream ${streamId}`);
    }
    this.fields(streamId, this.#decoder.decode(block, start, end), isLast);
  }

  /** The other end has said all on a stream. */
  protected received(stream: Stream): void {
    if (stream.isClosed || stream.isReceived) return;
    stream.isReceived = true;
    if (stream.isSent) this.close(stream);
    else stream.listener?.end();
  }

  reset(streamId: number): void {
    const stream = this.#openStream(streamId, 'RST_STREAM');
    if (stream === undefined) return;
    stream.isReset = true;
    this.close(stream);
  }

  settings(values: readonly (readonly [id: number, value: number])[]): void {
    for (const [id, value] of values) this.#set(id, value);
    this.#reply(settingsAcknowledgement);
  }

  #set(id: number, value: number): void {
    switch (id) {
      case SettingId.headerTableBytes:
        this.queue.encoder.limitTable(value);
        break;
      case SettingId.enablePush:
        if (value > 1) throw new ConnectionError(ErrorCode.protocolError, 'setting of push');
        break;
      case SettingId.initialWindowBytes:
        this.#setStreamWindow(value);
        break;
      case SettingId.maxFrameBytes:
        if (value < defaultFrameBytes || value > 0xff_ffff) {
          throw new ConnectionError(ErrorCode.protocolError, 'setting of frame size');
        }
        this.queue.limitFrames(value);
        break;
      default:
    }
  }

  /** Section 6.9.2: it holds for open streams, too. */
  #setStreamWindow(bytes: number): void {
    if (bytes + this.#mostExtraSendWindow > maxWindowBytes) {
      const extra = [...this.streams.values()].map(({ extraSendWindow }) => extraSendWindow);
      this.#mostExtraSendWindow = Math.max(0, ...extra);
    }
    if (bytes + this.#mostExtraSendWindow > maxWindowBytes) {
      throw new ConnectionError(ErrorCode.flowControlError, 'setting of initial window');
    }
    this.queue.streamWindow = bytes;
  }

  settingsAcknowledged(): void {
    this.#openingTimer.cancel();
  }

  pinged(payload: Uint8Array, flags: number): void {
    if ((flags & Flag.acknowledgement) === 0) {
      this.#reply(pingFrame(payload, Flag.acknowledgement));
      return;
    }
    if (pingPayload.compare(payload) !== 0) return;
    const answered = this.#awaitedPing;
    this.#awaitedPing = undefined;
    answered?.();
  }

  windowUpdate(streamId: number, grownBytes: number): void {
    if (streamId === 0) {
      if (grownBytes === 0) {
        throw new ConnectionError(ErrorCode.protocolError, 'WINDOW_UPDATE of nothing');
      }
      if (!this.queue.growWindow(grownBytes)) {
        throw new ConnectionError(ErrorCode.flowControlError, 'connection window too large');
      }
      return;
    }
    const stream = this.#openStream(streamId, 'WINDOW_UPDATE');
    if (stream === undefined) return;
    const extra = stream.extraSendWindow + grownBytes;
    if (grownBytes === 0) this.abort(stream, ErrorCode.protocolError);
    else if (this.queue.streamWindow + extra > maxWindowBytes) {
      this.abort(stream, ErrorCode.flowControlError);
    } else {
      stream.extraSendWindow = extra;
      this.#mostExtraSendWindow = Math.max(this.#mostExtraSendWindow, extra);
      this.queue.add(stream);
    }
  }

  /** An open stream, undefined if it is closed. @throws ConnectionError if it has never begun */
  #openStream(streamId: number, frame: string): Stream | undefined {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) return stream;
    const isKnown = streamId % 2 === 1 && (streamId <= this.lastStreamId || this.isLeaving);
    if (isKnown) return undefined;
    throw new ConnectionError(ErrorCode.protocolError, `${frame} on stream ${streamId}`);
  }

  #creditConnection(bytes: number): void {
    this.#uncreditedBytes += bytes;
    if (this.#uncreditedBytes < this.#end.windowBytes / creditShare) return;
    this.#receiveWindow += this.#uncreditedBytes;
    this.queue.control(windowUpdateFrame(0, this.#uncreditedBytes));
    this.#uncreditedBytes = 0;
  }
}

const pingPayload = Buffer.from('quorate?', 'latin1');
