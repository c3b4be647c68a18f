/**
 * A client's connection over HTTP/2 (RFC 9113), served without Node's own: that makes objects,
 * strings and calls across languages for each stream which cost more than all of our work on most
 * requests. What answers within a turn of the event loop is sent together.
 */
import type { Socket } from 'node:net';
import { ChurnMap } from '../base/churn.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { DeferredCalls } from '../base/deferred-calls.ts';
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
import { ServerStream, type StreamHost } from './server-stream.ts';

/** What a client may send on one stream before we say more. */
const streamWindowBytes = 256 * 1024;
/** And on all of them. */
const connectionWindowBytes = 1024 * 1024;
/** A client is told how much more it may send once it is a part of the window. */
const creditShare = 2;
/** Fields of one request. */
const maxHeaderListBytes = 64 * 1024;
/** Of these fields, what is too little to be counted. */
const smallListBytes = 4 * 1024;
/** Answers to settings, pings and the like that a client has not read. */
const maxUnreadReplyBytes = 64 * 1024;
/** Requests whose streams are closed may be worked on beyond what may be open. */
const maxLingering = 1_000;
/** Time for the client's settings, and to acknowledge ours. */
const openingTimeoutMs = 10_000;
/** Time for the client to end its side of a connection that failed. */
const farewellMs = 1_000;
/** The same of one that has nothing more to say: what it said last may still be on its way. */
const lastAnswersMs = 10_000;

export interface ServerConnectionOptions {
  readonly clock: Clock;
  /** Streams that the client may have open at a time. */
  readonly maxConcurrentStreams: number;
  /** Holds what has come in part, and long header lists of open streams. */
  readonly received: FrameMemory;
  /** Counts what waits to be sent. */
  readonly sent: OutputMemory;
  /** Serves a request: gives its stream a listener, or answers at once. */
  request(stream: ServerStream, headers: HeaderList): void;
  /** The client has sent a ping, which is answered. */
  pinged(): void;
  /** Why the connection ends before its time. */
  failed(error: Error): void;
  /** It is over, and all its streams are. */
  closed(): void;
  /** For tests; the default is named above. */
  readonly openingTimeoutMs?: number | undefined;
}

export class ServerConnection implements StreamHost, FrameSink {
  readonly #options: ServerConnectionOptions;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #decoder = new HeaderDecoder(maxHeaderListBytes);
  readonly #queue: SendQueue;
  readonly #streams = new ChurnMap<number, ServerStream>();
  /** Streams that are closed, whose requests somebody still works on. */
  #lingering = 0;
  /** Of the client's streams, the last one that we have heard of. */
  #lastStreamId = 0;
  #receiveWindow = connectionWindowBytes;
  #uncreditedBytes = 0;
  /** Of streams' send windows, none is larger beyond what holds for all. */
  #mostExtraSendWindow = 0;
  /** Resets of streams whose answers have ended before the client's side. */
  readonly #unread: DeferredCalls;
  readonly #resets = new RecentResets();
  readonly #openingTimer: Timer;
  #farewellTimer: Timer | undefined;
  readonly #listening: Listening;
  #awaitedPing: (() => void) | undefined;
  /** No new streams are taken. */
  #isLeaving = false;
  /** Only what is under way to the client is left. */
  #isEnding = false;
  #isClosed = false;
  /** Whether anything has come, or what waited was sent, since somebody set it to false. */
  hasMoved = false;
  /** Whether any part of an answer was sent since somebody set it to false. */
  hasAnswered = false;

  /** @param socket whose first bytes, the preface among them, are given to {@link receive} */
  constructor(socket: Socket, options: ServerConnectionOptions) {
    const { clock, received, sent, maxConcurrentStreams } = options;
    this.#options = options;
    this.#socket = socket;
    this.#reader = new FrameReader(this, received);
    this.#listening = new Listening(socket, clock);
    this.#unread = new DeferredCalls(clock);
    this.#queue = new SendQueue(socket, clock, sent, {
      answered: () => {
        this.hasAnswered = true;
      },
      ended: (stream) => this.#answerEnded(stream),
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
    this.#queue.control(
      settingsFrame([
        [SettingId.maxConcurrentStreams, maxConcurrentStreams],
        [SettingId.initialWindowBytes, streamWindowBytes],
        [SettingId.maxHeaderListBytes, maxHeaderListBytes],
      ]),
    );
    const grown = connectionWindowBytes - defaultWindowBytes;
    this.#queue.control(windowUpdateFrame(0, grown));
    this.#openingTimer = clock.after(options.openingTimeoutMs ?? openingTimeoutMs, () => {
      this.fail(new ConnectionError(ErrorCode.settingsTimeout, 'settings not acknowledged'));
    });
  }

  /** Streams that are open. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Takes what has come from the client. */
  receive(chunk: Buffer): void {
    if (this.#isEnding || this.#isClosed) return;
    this.hasMoved = true;
    try {
      this.#reader.take(chunk);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.fail(error);
    }
    if (this.#queue.isFull) this.#listening.pause();
  }

  #drained(): void {
    this.hasMoved = true;
    // Even if as much is sent again at once: who reads slowly may go on to say something.
    this.#listening.resume();
    this.#queue.drained();
  }

  /** Asks the client whether it is there. @param answered called once it says so */
  ping(answered: () => void): void {
    this.#awaitedPing = answered;
    this.#listening.resume();
    this.#queue.control(pingFrame(pingPayload));
  }

  /** Takes no new streams, and ends when those that are open have ended. */
  leave(): void {
    if (this.#isLeaving || this.#isEnding || this.#isClosed) return;
    this.#isLeaving = true;
    this.#queue.control(goAwayFrame(this.#lastStreamId, ErrorCode.noError, ''));
  }

  /** Ends the connection for what the client did, and tells it. */
  fail(error: ConnectionError): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#isEnding = true;
    this.#queue.control(goAwayFrame(this.#lastStreamId, error.code, error.message));
    this.#options.failed(error);
    this.#cutStreams();
    this.#end();
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
    this.#queue.close();
    this.#cutStreams();
    this.#socket.destroy();
    this.#options.closed();
  }

  #cutStreams(): void {
    for (const stream of this.#streams.values()) this.#close(stream);
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isEnding = true;
    this.#isLeaving = true;
    this.#reader.close();
    this.#listening.stop();
    this.#socket.once('finish', () => this.#startFarewell(lastAnswersMs));
    this.#queue.flushThen(() => this.#socket.end());
  }

  #startFarewell(ms: number): void {
    if (this.#isClosed) return;
    this.#farewellTimer ??= this.#options.clock.after(ms, () => this.destroy());
  }

  #endIfDone(): void {
    if (!this.#isLeaving || this.#isEnding || this.#isClosed) return;
    if (this.#streams.size === 0 && this.#lingering === 0) this.#end();
  }

  #close(stream: ServerStream): void {
    if (stream.isClosed) return;
    this.#streams.delete(stream.id);
    if (stream.heldBytes > 0) this.#options.received.release(stream.heldBytes);
    if (stream.isWorkedOn) this.#lingering++;
    stream.close();
    this.#queue.remove(stream);
    if (this.#isLeaving) this.#queue.schedule();
  }

  // What streams ask for.

  sends(stream: ServerStream): void {
    this.#queue.add(stream);
  }

  credits(stream: ServerStream, bytes: number): void {
    stream.uncreditedBytes += bytes;
    const { uncreditedBytes } = stream;
    if (stream.isPaused || stream.isReceived || stream.isClosed) return;
    if (uncreditedBytes < streamWindowBytes / creditShare) return;
    stream.uncreditedBytes = 0;
    stream.receiveWindow += uncreditedBytes;
    this.#queue.control(windowUpdateFrame(stream.id, uncreditedBytes));
  }

  resets(stream: ServerStream, code: ErrorCode): void {
    this.#resets.note(stream.id);
    this.#queue.control(resetFrame(stream.id, code));
    this.#close(stream);
  }

  isDoneWith(_stream: ServerStream): void {
    this.#lingering--;
    if (this.#isLeaving) this.#queue.schedule();
  }

  /** All of an answer is on its way. */
  #answerEnded(stream: ServerStream): void {
    if (stream.isReceived) {
      this.#close(stream);
      return;
    }
    // A client that goes on sending is told that nobody listens. One turn for its own end, which is
    // usually on its way.
    this.#unread.add(() => stream.reset());
  }

  /** Refuses a stream that is none, or not open. */
  #refuse(streamId: number, code: ErrorCode): void {
    this.#resets.note(streamId);
    this.#reply(resetFrame(streamId, code));
  }

  /** Refuses an open stream for what the client did. */
  #abort(stream: ServerStream, code: ErrorCode): void {
    this.#close(stream);
    this.#refuse(stream.id, code);
  }

  /** A frame on a stream that is closed. */
  #isUnexpected(streamId: number): void {
    const mayNotKnow = streamId > this.#lastStreamId || this.#resets.has(streamId);
    if (!mayNotKnow) this.#refuse(streamId, ErrorCode.streamClosed);
  }

  /** Sends what a client made us send, unless it does not read. */
  #reply(frame: Buffer): void {
    if (this.#queue.replyBytes <= maxUnreadReplyBytes) this.#queue.reply(frame);
    else this.fail(new ConnectionError(ErrorCode.enhanceYourCalm, 'too many unread frames'));
  }

  // What the client sends, frame by frame.

  dataBegins(streamId: number, bytes: number): ServerStream | undefined {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) {
      throw new ConnectionError(ErrorCode.flowControlError, 'connection window exceeded');
    }
    this.#creditConnection(bytes);
    const stream = this.#openStream(streamId, 'DATA');
    if (stream === undefined) {
      this.#isUnexpected(streamId);
      return undefined;
    }
    stream.receiveWindow -= bytes;
    if (!stream.isReceived && stream.receiveWindow >= 0) return stream;
    const { streamClosed, flowControlError } = ErrorCode;
    this.#abort(stream, stream.isReceived ? streamClosed : flowControlError);
    return undefined;
  }

  data(stream: ServerStream, bytes: Buffer, start: number, end: number): void {
    stream.listener?.data(bytes, start, end);
    this.credits(stream, end - start);
  }

  padding(stream: ServerStream, bytes: number): void {
    this.credits(stream, bytes);
  }

  dataEnds(stream: ServerStream): void {
    this.#received(stream);
  }

  headers(streamId: number, block: Buffer, start: number, end: number, isLast: boolean): void {
    if (streamId % 2 === 0) {
      throw new ConnectionError(ErrorCode.protocolError, `HEADERS on stream ${streamId}`);
    }
    const list = this.#decoder.decode(block, start, end);
    if (streamId <= this.#lastStreamId) {
      this.#trailers(streamId, list, isLast);
      return;
    }
    // What comes after we have said which stream is the last, the client repeats elsewhere.
    if (this.#isLeaving) return;
    this.#lastStreamId = streamId;
    if (!this.#hasRoom) this.#refuse(streamId, ErrorCode.refusedStream);
    else if (list === undefined) this.#refuse(streamId, ErrorCode.enhanceYourCalm);
    else if (list.fault !== undefined) this.#refuse(streamId, ErrorCode.protocolError);
    else this.#open(streamId, list, isLast);
  }

  get #hasRoom(): boolean {
    const { maxConcurrentStreams } = this.#options;
    if (this.#streams.size >= maxConcurrentStreams) return false;
    return this.#streams.size + this.#lingering < maxConcurrentStreams + maxLingering;
  }

  #open(streamId: number, list: HeaderList, isLast: boolean): void {
    const heldBytes = list.weight > smallListBytes ? list.weight : 0;
    if (heldBytes > 0 && !this.#options.received.take(heldBytes)) {
      this.#refuse(streamId, ErrorCode.enhanceYourCalm);
      return;
    }
    const stream = new ServerStream(streamId, this, streamWindowBytes);
    stream.heldBytes = heldBytes;
    this.#streams.set(streamId, stream);
    this.#options.request(stream, list);
    if (isLast) this.#received(stream);
  }

  #trailers(streamId: number, list: HeaderList | undefined, isLast: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.#isUnexpected(streamId);
    else if (stream.isReceived) this.#abort(stream, ErrorCode.streamClosed);
    else if (!isLast || list?.areTrailers !== true) this.#abort(stream, ErrorCode.protocolError);
    else this.#received(stream);
  }

  /** The client has said all on a stream. */
  #received(stream: ServerStream): void {
    if (stream.isClosed || stream.isReceived) return;
    stream.isReceived = true;
    if (stream.isAnswerSent) this.#close(stream);
    else stream.listener?.end();
  }

  reset(streamId: number): void {
    const stream = this.#openStream(streamId, 'RST_STREAM');
    if (stream !== undefined) this.#close(stream);
  }

  settings(values: readonly (readonly [id: number, value: number])[]): void {
    for (const [id, value] of values) this.#set(id, value);
    this.#reply(settingsAcknowledgement);
  }

  #set(id: number, value: number): void {
    switch (id) {
      case SettingId.headerTableBytes:
        this.#queue.encoder.limitTable(value);
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
        this.#queue.limitFrames(value);
        break;
      default:
    }
  }

  /** Section 6.9.2: it holds for open streams, too. */
  #setStreamWindow(bytes: number): void {
    if (bytes + this.#mostExtraSendWindow > maxWindowBytes) {
      const extra = [...this.#streams.values()].map(({ extraSendWindow }) => extraSendWindow);
      this.#mostExtraSendWindow = Math.max(0, ...extra);
    }
    if (bytes + this.#mostExtraSendWindow > maxWindowBytes) {
      throw new ConnectionError(ErrorCode.flowControlError, 'setting of initial window');
    }
    this.#queue.streamWindow = bytes;
  }

  settingsAcknowledged(): void {
    this.#openingTimer.cancel();
  }

  pinged(payload: Uint8Array, flags: number): void {
    if ((flags & Flag.acknowledgement) === 0) {
      this.#reply(pingFrame(payload, Flag.acknowledgement));
      this.#options.pinged();
      return;
    }
    if (pingPayload.compare(payload) !== 0) return;
    const answered = this.#awaitedPing;
    this.#awaitedPing = undefined;
    answered?.();
  }

  goAway(): void {
    this.leave();
  }

  windowUpdate(streamId: number, grownBytes: number): void {
    if (streamId === 0) {
      if (grownBytes === 0) {
        throw new ConnectionError(ErrorCode.protocolError, 'WINDOW_UPDATE of nothing');
      }
      if (!this.#queue.growWindow(grownBytes)) {
        throw new ConnectionError(ErrorCode.flowControlError, 'connection window too large');
      }
      return;
    }
    const stream = this.#openStream(streamId, 'WINDOW_UPDATE');
    if (stream === undefined) return;
    const extra = stream.extraSendWindow + grownBytes;
    if (grownBytes === 0) this.#abort(stream, ErrorCode.protocolError);
    else if (this.#queue.streamWindow + extra > maxWindowBytes) {
      this.#abort(stream, ErrorCode.flowControlError);
    } else {
      stream.extraSendWindow = extra;
      this.#mostExtraSendWindow = Math.max(this.#mostExtraSendWindow, extra);
      this.#queue.add(stream);
    }
  }

  /** An open stream, undefined if it is closed. @throws ConnectionError if it has never begun */
  #openStream(streamId: number, frame: string): ServerStream | undefined {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) return stream;
    const isKnown = streamId % 2 === 1 && (streamId <= this.#lastStreamId || this.#isLeaving);
    if (isKnown) return undefined;
    throw new ConnectionError(ErrorCode.protocolError, `${frame} on stream ${streamId}`);
  }

  #creditConnection(bytes: number): void {
    this.#uncreditedBytes += bytes;
    if (this.#uncreditedBytes < connectionWindowBytes / creditShare) return;
    this.#receiveWindow += this.#uncreditedBytes;
    this.#queue.control(windowUpdateFrame(0, this.#uncreditedBytes));
    this.#uncreditedBytes = 0;
  }
}

const pingPayload = Buffer.from('quorate?', 'latin1');
