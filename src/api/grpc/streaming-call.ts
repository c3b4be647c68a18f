/** Calls with streams, on their HTTP/2 streams like those with one message each way. */
import { EventEmitter } from 'node:events';
import type { Timer } from '../../base/clock.ts';
import type { DeferredCalls } from '../../base/deferred-calls.ts';
import { StatusCode } from '../../base/errors.ts';
import type { Codec } from '../../base/wire.ts';
import type { HeaderList } from '../../http2/header-fields.ts';
import type { Stream, StreamListener } from '../../http2/stream.ts';
import { answerHead, refuse, trailersOf, type StatusObject } from '../../grpc/call.ts';
import { isPlain, messageAt, messageBytesAt, prefixBytes } from '../../grpc/message.ts';
import { AnswerFrames } from './answer-frames.ts';
import type { SessionMemory } from './connection-memory.ts';
import { deadlineExceeded, deadlineOf } from './deadline.ts';
import { PartialMessage, tooManyIncomplete } from './partial-message.ts';
import { decompress, tooLarge, unexpectedEnd } from './request-message.ts';
import type { StreamCall, StreamMethod } from './stream-method.ts';

const noMessage: StatusObject = {
  code: StatusCode.unimplemented,
  details: 'received no message for a call with one',
};
const secondMessage: StatusObject = {
  code: StatusCode.unimplemented,
  details: 'received a second message for a call with one',
};

export class StreamingCall extends EventEmitter implements StreamCall, StreamListener {
  readonly #stream: Stream;
  readonly #headers: HeaderList;
  readonly #method: StreamMethod;
  readonly #memory: SessionMemory;
  readonly #flushes: DeferredCalls;
  readonly #timer: Timer | undefined;
  /** What has come and was not passed on: an incomplete message, or what a pause left. */
  readonly #partial: PartialMessage;
  /** The request of a call with one, decoded, until the client has ended its side. */
  #request: { readonly value: unknown; readonly bytes: number } | undefined;
  #isPaused = false;
  #isDecompressing = false;
  /** The client has ended its side. */
  #isReceived = false;
  /** A status was sent, or nobody is there to take one. */
  #isOver = false;
  #cancelled = false;
  /** Answers of this turn. */
  readonly #unsent = new AnswerFrames();
  readonly #flushSoon = (): void => this.#flush();

  constructor(
    stream: Stream,
    headers: HeaderList,
    method: StreamMethod,
    memory: SessionMemory,
    flushes: DeferredCalls,
  ) {
    super();
    this.#stream = stream;
    this.#headers = headers;
    this.#method = method;
    this.#memory = memory;
    this.#flushes = flushes;
    this.#partial = new PartialMessage(memory.requests);
    stream.listener = this;
    const timeout = headers.get('grpc-timeout');
    const timer =
      timeout === undefined
        ? undefined
        : deadlineOf(timeout, flushes.clock, () => this.#refuse(deadlineExceeded));
    if (timer !== undefined && !('code' in timer)) this.#timer = timer;
    if (method.requestStream) this.#serve();
    if (timer !== undefined && 'code' in timer) this.#refuse(timer);
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  metadata(name: string): string | undefined {
    return this.#headers.get(name.toLowerCase());
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.#isDecompressing) this.#stream.resume();
    // Not at once: whoever resumes is in the middle of taking a message.
    this.#flushes.clock.defer(() => this.#goOn());
  }

  write<T>(codec: Codec<T>, message: T): number {
    if (this.#isOver) return 0;
    const length = this.#unsent.add(codec, message);
    if (this.#unsent.messages === 1) this.#flushes.add(this.#flushSoon);
    return length;
  }

  finish(status: StatusObject | undefined): void {
    if (!this.#over()) return;
    const stream = this.#stream;
    this.#flush();
    const end = status ?? { code: StatusCode.ok, details: '' };
    if (stream.hasBegun) stream.end(trailersOf(end));
    else refuse(stream, end);
  }

  #flush(): void {
    const stream = this.#stream;
    const { messages, bytes } = this.#unsent;
    if (messages === 0 || stream.isClosed) return;
    const pieces = this.#unsent.take();
    const last = pieces.pop() as Uint8Array;
    stream.sendHead(answerHead);
    for (const piece of pieces) stream.write(piece);
    stream.write(last, () => this.emit('sent', messages, bytes));
  }

  data(bytes: Buffer, start: number, end: number): void {
    if (this.#isOver) return;
    const chunk = bytes.subarray(start, end);
    if (this.#partial.length === 0) {
      const passed = this.#pass(chunk);
      if (passed < chunk.length) this.#keep(chunk.subarray(passed));
    } else if (this.#keep(chunk)) this.#passKept();
  }

  #keep(piece: Buffer): boolean {
    if (this.#partial.append(piece)) return true;
    this.#refuse(tooManyIncomplete);
    return false;
  }

  #passKept(): void {
    this.#partial.drop(this.#pass(this.#partial.bytes));
  }

  /** Passes on whole messages until the handler has enough. Returns where the rest begins. */
  #pass(bytes: Buffer): number {
    const { maxMessageBytes } = this.#method;
    let start = 0;
    while (!this.#isOver && !this.#isPaused && !this.#isDecompressing) {
      if (bytes.length < start + prefixBytes) break;
      const messageBytes = messageBytesAt(bytes, start);
      const end = start + prefixBytes + messageBytes;
      if (messageBytes > maxMessageBytes) {
        this.#refuse(tooLarge(messageBytes, maxMessageBytes));
      } else if (bytes.length < end) {
        break;
      } else {
        this.#take(messageAt(bytes, start, end), bytes[start]);
        start = end;
      }
    }
    return this.#isOver ? bytes.length : start;
  }

  #take(message: Buffer, flag: number | undefined): void {
    if (isPlain(flag)) {
      this.#message(message);
      return;
    }
    this.#isDecompressing = true;
    this.#stream.pause();
    const { maxMessageBytes } = this.#method;
    const memory = this.#memory.requests;
    const encoding = this.#headers.get('grpc-encoding');
    const compressed = { bytes: message, flag, encoding, maxMessageBytes, memory };
    decompress(compressed, (refusal, plain) => {
      this.#isDecompressing = false;
      if (!this.#isPaused) this.#stream.resume();
      if (refusal !== undefined) this.#refuse(refusal);
      else if (!this.#isOver) this.#message(plain);
      this.#goOn();
    });
  }

  #message(message: Buffer): void {
    if (this.#method.requestStream) this.emit('data', this.#method.decode(message));
    else if (this.#request !== undefined) this.#refuse(secondMessage);
    else if (!this.#memory.requests.take(message.length)) this.#refuse(tooManyIncomplete);
    else this.#request = { value: this.#method.decode(message), bytes: message.length };
  }

  end(): void {
    this.#isReceived = true;
    this.#goOn();
  }

  /** Takes up where a pause or a compressed message has stopped it. */
  #goOn(): void {
    if (this.#partial.length > 0) this.#passKept();
    if (this.#isReceived) this.#received();
  }

  /** The client has said all; passes that on once the handler has everything. */
  #received(): void {
    if (this.#isOver || this.#isPaused || this.#isDecompressing) return;
    this.#isReceived = false;
    if (this.#partial.length > 0) this.#refuse(unexpectedEnd);
    else if (this.#method.requestStream) this.emit('end');
    else {
      const value = this.#takeRequest();
      if (value === undefined) this.#refuse(noMessage);
      else this.#serve(value);
    }
  }

  #serve(request?: unknown): void {
    const stream = this.#stream;
    stream.isWorkedOn = true;
    void this.#method.serve(this, this.#memory.answers, request).finally(() => {
      stream.isWorkedOn = false;
    });
  }

  #takeRequest(): unknown {
    const request = this.#request;
    this.#request = undefined;
    if (request !== undefined) this.#memory.requests.release(request.bytes);
    return request?.value;
  }

  /** Ends the call for a reason of its own, which the handler takes for the client's end. */
  #refuse(status: StatusObject): void {
    if (this.#isOver) return;
    this.finish(status);
    this.emit('refused', status);
    this.#cancel();
  }

  /** Whether the call was still open. */
  #over(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#partial.clear();
    this.#takeRequest();
    return true;
  }

  closed(): void {
    this.#over();
    this.#cancel();
    this.#unsent.clear();
    this.emit('closed');
  }

  #cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.emit('cancelled');
  }
}
