/** What a connection has to send: frames of its own first, then those of its streams in turn. */
import type { Socket } from 'node:net';
import { ChurnSet } from '../base/churn.ts';
import type { Clock } from '../base/clock.ts';
import {
  defaultFrameBytes,
  defaultWindowBytes,
  Flag,
  frameHeaderBytes,
  FrameType,
  maxWindowBytes,
  writeFrameHeader,
} from './frames.ts';
import { type SentField, HeaderEncoder } from './header-encoder.ts';
import { Output, type OutputMemory } from './output.ts';
import { SendState, type Stream } from './stream.ts';

/** With its header it fits into a piece of the output. */
const maxOwnFrameBytes = 32 * 1024;
/** So much of streams is sent at a time; then others have their turn of the event loop. */
const maxBytesAtATime = 1024 * 1024;
/** So many that had their turn are forgotten together. */
const maxGone = 1024;
/** The same of those that are closed, and half of all at least. */
const maxClosed = 32;

export interface SendQueueTold {
  /** A part of a stream was sent. */
  sent(): void;
  /** All of a stream was sent. */
  ended(stream: Stream): void;
  /** Nothing is left that could be sent now. */
  idle(): void;
  /** The system has taken what it could not before: the other end reads. */
  taken(): void;
}

export class SendQueue {
  readonly encoder = new HeaderEncoder();
  readonly #clock: Clock;
  readonly #output: Output;
  readonly #told: SendQueueTold;
  #control: Buffer[] = [];
  /** Of what the other end made us send, bytes that it may not have read yet. */
  #replyBytes = 0;
  /** Streams with something to send, in the order of their turns. */
  #line: Stream[] = [];
  #next = 0;
  /** Those that wait for the connection's window. */
  #blocked: Stream[] = [];
  /** Closed ones among both. */
  #closed = 0;
  /** Those that wait for a window of their own. */
  readonly #stalled = new ChurnSet<Stream>();
  #isRecalled = false;
  #window = defaultWindowBytes;
  #streamWindow = defaultWindowBytes;
  #frameBytes = defaultFrameBytes;
  #sentBytes = 0;
  #isScheduled = false;
  #isFlushing = false;
  #isClosed = false;
  #last: (() => void) | undefined;
  readonly #flushSoon = (): void => {
    this.#isScheduled = false;
    this.flush();
  };

  constructor(socket: Socket, clock: Clock, memory: OutputMemory, told: SendQueueTold) {
    this.#clock = clock;
    this.#output = new Output(socket, memory, () => told.taken());
    this.#told = told;
  }

  /** Whether more waits for the other end to read than should. */
  get isFull(): boolean {
    return this.#output.isFull;
  }

  /** Of {@link reply}, bytes that may not have been read yet. */
  get replyBytes(): number {
    if (this.#control.length === 0 && this.#output.isTaken) this.#replyBytes = 0;
    return this.#replyBytes;
  }

  /**
   * What the other end takes on each stream before it says more, as far as it has not said so yet.
   */
  get streamWindow(): number {
    return this.#streamWindow;
  }

  set streamWindow(bytes: number) {
    if (bytes > this.#streamWindow && this.#stalled.size > 0) {
      this.#isRecalled = true;
      this.schedule();
    }
    this.#streamWindow = bytes;
  }

  /** The other end takes larger frames. Ours never fill more than a piece. */
  limitFrames(bytes: number): void {
    this.#frameBytes = Math.min(bytes, maxOwnFrameBytes);
  }

  /** Sends a frame of the connection itself. */
  control(frame: Buffer): void {
    if (this.#isClosed) return;
    this.#control.push(frame);
    this.schedule();
  }

  /** The same, for one that the other end made us send. */
  reply(frame: Buffer): void {
    this.#replyBytes += frame.length;
    this.control(frame);
  }

  /** A stream has something to send, or may send more. */
  add(stream: Stream): void {
    if (stream.isInLine || stream.isClosed || this.#isClosed) return;
    this.#stalled.delete(stream);
    stream.isInLine = true;
    this.#line.push(stream);
    this.schedule();
  }

  /** A stream is closed: nothing more of it is sent. */
  remove(stream: Stream): void {
    if (!stream.isInLine) this.#stalled.delete(stream);
    else if (++this.#closed > maxClosed + (this.#line.length + this.#blocked.length) / 2) {
      this.#forgetClosed();
    }
  }

  #closedOneLess(): void {
    // They may just have been forgotten, this one among them.
    if (this.#closed > 0) this.#closed--;
  }

  #forgetClosed(): void {
    this.#line = this.#line.slice(this.#next).filter(({ isClosed }) => !isClosed);
    this.#next = 0;
    this.#blocked = this.#blocked.filter(({ isClosed }) => !isClosed);
    this.#closed = 0;
  }

  /** The other end takes so much more; false if that is more than a window may be. */
  growWindow(bytes: number): boolean {
    if (this.#window + bytes > maxWindowBytes) return false;
    this.#window += bytes;
    if (this.#blocked.length > 0 && this.#window > 0) {
      for (const stream of this.#blocked) this.#line.push(stream);
      this.#blocked = [];
      this.schedule();
    }
    return true;
  }

  /** The socket has taken all that it had. */
  drained(): void {
    if (this.#control.length === 0) this.#replyBytes = 0;
    this.flush();
  }

  /** Calls `last` when what can be sent now has been sent. */
  flushThen(last: () => void): void {
    this.#last = last;
    this.flush();
  }

  close(): void {
    this.#isClosed = true;
    this.#control = [];
    this.#line = [];
    this.#blocked = [];
    this.#next = 0;
    this.#stalled.clear();
    this.#output.close();
  }

  /**
   * Sends what there is after everything that happens now: what one event brings about leaves
   * together. Tells of being idle, too.
   */
  schedule(): void {
    if (this.#isScheduled || this.#isFlushing || this.#isClosed) return;
    this.#isScheduled = true;
    if (this.#clock.afterEvent === undefined) this.#clock.defer(this.#flushSoon);
    else this.#clock.afterEvent(this.#flushSoon);
  }

  /** Sends what may be sent now. */
  flush(): void {
    if (this.#isClosed || this.#isFlushing) return;
    this.#isFlushing = true;
    this.#sentBytes = 0;
    do {
      this.#sendControl();
      if (this.#isRecalled) this.#recall();
      this.#sendStreams();
      this.#output.send();
      // Who is told of what was sent may have something to add.
    } while (this.#hasMore && !this.#mustStop);
    this.#isFlushing = false;
    const last = this.#last;
    this.#last = undefined;
    last?.();
    if (!this.#hasMore) this.#told.idle();
    else if (!this.#output.isFull) this.#goOnLater();
  }

  #goOnLater(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#clock.defer(this.#flushSoon);
  }

  get #hasMore(): boolean {
    return this.#control.length > 0 || this.#next < this.#line.length;
  }

  get #mustStop(): boolean {
    return this.#output.isFull || this.#sentBytes >= maxBytesAtATime;
  }

  #sendControl(): void {
    if (this.#control.length === 0) return;
    for (const frame of this.#control) this.#output.write(frame);
    this.#control = [];
  }

  /** Those that waited for a window of their own look again. */
  #recall(): void {
    this.#isRecalled = false;
    for (const stream of this.#stalled) {
      stream.isInLine = true;
      this.#line.push(stream);
    }
    this.#stalled.clear();
  }

  #sendStreams(): void {
    while (this.#next < this.#line.length && !this.#mustStop) {
      const stream = this.#line[this.#next++] as Stream;
      if (stream.isClosed) this.#closedOneLess();
      else this.#sendOf(stream);
      if (this.#next >= maxGone) {
        this.#line = this.#line.slice(this.#next);
        this.#next = 0;
      }
    }
    if (this.#next === this.#line.length && this.#next > 0) {
      this.#line = [];
      this.#next = 0;
    }
  }

  /** Sends the next frame of a stream, and what goes with it. */
  #sendOf(stream: Stream): void {
    if (stream.sendState === SendState.only) {
      stream.isInLine = false;
      this.#sendFields(stream.id, stream.head ?? [], Flag.endStream);
      this.#ended(stream);
      return;
    }
    if (stream.sendState === SendState.head) {
      this.#sendFields(stream.id, stream.head ?? [], 0);
      stream.head = undefined;
      stream.sendState = SendState.body;
    }
    if (stream.unsentBytes > 0) {
      const own = this.#streamWindow + stream.extraSendWindow;
      if (own <= 0) {
        stream.isInLine = false;
        this.#stalled.add(stream);
        return;
      }
      if (this.#window <= 0) {
        this.#blocked.push(stream);
        return;
      }
      this.#sendData(stream, Math.min(stream.unsentBytes, own, this.#window, this.#frameBytes));
    }
    stream.tellSent();
    this.#sent(stream);
  }

  /** A frame of a stream was sent, and it was told so, which may have led to anything. */
  #sent(stream: Stream): void {
    if (stream.isClosed) {
      this.#closedOneLess();
    } else if (stream.unsentBytes > 0) {
      this.#line.push(stream);
    } else {
      stream.isInLine = false;
      const { trailers } = stream;
      if (trailers === undefined) return;
      if (trailers.length > 0) this.#sendFields(stream.id, trailers, Flag.endStream);
      else this.#sendEnd(stream.id);
      this.#ended(stream);
    }
  }

  #ended(stream: Stream): void {
    stream.head = undefined;
    stream.trailers = undefined;
    stream.sendState = SendState.ended;
    this.#told.ended(stream);
  }

  /** An empty frame of data says that there is no more. */
  #sendEnd(streamId: number): void {
    const out = this.#output.room(frameHeaderBytes);
    writeFrameHeader(out, this.#output.at, 0, FrameType.data, Flag.endStream, streamId);
    this.#output.wrote(frameHeaderBytes);
    this.#told.sent();
  }

  #sendData(stream: Stream, count: number): void {
    const out = this.#output.room(frameHeaderBytes + count);
    const { at } = this.#output;
    writeFrameHeader(out, at, count, FrameType.data, 0, stream.id);
    stream.takeUnsent(out, at + frameHeaderBytes, count);
    this.#output.wrote(frameHeaderBytes + count);
    stream.extraSendWindow -= count;
    this.#window -= count;
    this.#sentBytes += count;
    this.#told.sent();
  }

  /** Section 4.3: a block that is too long for a frame goes on in others, with nothing between. */
  #sendFields(streamId: number, fields: readonly SentField[], flags: number): void {
    const block = this.encoder.encode(fields);
    let from = 0;
    let type: number = FrameType.headers;
    do {
      const count = Math.min(block.length - from, this.#frameBytes);
      const isLast = from + count === block.length;
      const out = this.#output.room(frameHeaderBytes + count);
      const { at } = this.#output;
      const first = type === FrameType.headers ? flags : 0;
      writeFrameHeader(out, at, count, type, first | (isLast ? Flag.endHeaders : 0), streamId);
      for (let i = 0; i < count; i++) out[at + frameHeaderBytes + i] = block[from + i] as number;
      this.#output.wrote(frameHeaderBytes + count);
      from += count;
      type = FrameType.continuation;
    } while (from < block.length);
    this.#told.sent();
  }
}
