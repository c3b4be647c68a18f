/**
 * Calls with one message each way, answered straight on their HTTP/2 streams. They are almost all
 * of a store's load, and what grpc-js does around each (three stream objects, a dozen closures,
 * copies of headers) costs as much as HTTP/2 itself.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Clock, Timer } from '../../base/clock.ts';
import { StatusCode, StatusError } from '../../base/errors.ts';
import { answerMemory } from '../../base/reusable-memory.ts';
import type { CallContext } from '../handler.ts';
import { CallMemory } from './call-memory.ts';
import type { SessionMemory } from './connection-memory.ts';
import { deadlineExceeded, deadlineOf } from './deadline.ts';
import {
  beginAnswer,
  closeAfterwards,
  closeUnread,
  destroySoon,
  endWith,
  firstValue,
  ignoreFailure,
  refuse,
} from './http2-answer.ts';
import { OkTrailersSender } from './ok-trailers.ts';
import { PartialMessage, PREFIX_BYTES, tooManyIncomplete } from './partial-message.ts';
import {
  decompress,
  framed,
  isPlain,
  messageAt,
  messageBytesAt,
  tooLarge,
  unexpectedEnd,
} from './request-message.ts';
import type { StatusObject } from './status.ts';

/** What a handler may know of its call, and what serves the call knows of its answer's memory. */
export interface UnaryContext extends CallContext {
  readonly memory: CallMemory;
}

/** How the adapter serves a method; every function is called at most once for each call. */
export interface UnaryMethod {
  readonly clock: Clock;
  /** Messages larger than this are refused before they are read. */
  readonly maxMessageBytes: number;
  /** Of the connection on which a call came. */
  memoryOf(stream: ServerHttp2Stream): SessionMemory;
  /** Decodes and handles the message. May throw or reject. */
  handle(message: Uint8Array, context: UnaryContext): Promise<Uint8Array>;
  statusOf(error: unknown): StatusObject;
  started(): void;
  ended(code: StatusCode, sentBytes: number): void;
}

const noMessage: StatusObject = {
  code: StatusCode.unimplemented,
  details: 'received no message for a unary call',
};
const secondMessage: StatusObject = {
  code: StatusCode.unimplemented,
  details: 'received a second message for a unary call',
};

/**
 * An answer that goes in one piece is gone for Node, and so for what counts memory, when its
 * connection has it. Beyond so much of a connection the others go in pieces, and count until the
 * client has taken them.
 */
const MOST_UNCOUNTED_BYTES = 256 * 1024;

/**
 * Under this key a stream carries its call, so that listeners need not be made for each; until it
 * is closed, so that whatever keeps a stream for longer does not keep its call.
 */
const callOf = Symbol('call');

interface Stream extends ServerHttp2Stream {
  [callOf]: UnaryCall | undefined;
}

function onData(this: Stream, chunk: Buffer): void {
  this[callOf]?.receive(chunk);
}

function onEnd(this: Stream): void {
  this[callOf]?.halfClosed();
}

function onAborted(this: Stream): void {
  this[callOf]?.aborted();
}

function onClose(this: Stream): void {
  this[callOf]?.closed();
  this[callOf] = undefined;
}

const okTrailers = new OkTrailersSender();

function onWantTrailers(this: Stream): void {
  okTrailers.send(this);
  this[callOf]?.answered();
}

export class UnaryCall implements UnaryContext {
  readonly #stream: Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #method: UnaryMethod;
  readonly #sessionMemory: SessionMemory;
  #memory: CallMemory | undefined;
  /** What has come of a message that comes in pieces. */
  #partial: PartialMessage | undefined;
  #taken = false;
  #ended = false;
  #cancelled = false;
  #handedOver = false;
  #controller: AbortController | undefined;
  #timer: Timer | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, method: UnaryMethod) {
    this.#stream = stream as Stream;
    this.#headers = headers;
    this.#method = method;
    this.#sessionMemory = method.memoryOf(stream);
    this.#stream[callOf] = this;
    method.started();
    stream.on('data', onData);
    stream.on('end', onEnd);
    stream.on('aborted', onAborted);
    stream.on('close', onClose);
    stream.on('error', ignoreFailure);
    const timeout = headers['grpc-timeout'];
    if (timeout !== undefined) this.#startTimer(timeout);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  get memory(): CallMemory {
    this.#memory ??= new CallMemory(this.#sessionMemory.answers);
    return this.#memory;
  }

  metadata(name: string): string | undefined {
    return firstValue(this.#headers, name);
  }

  /** Takes bytes of the request. */
  receive(chunk: Buffer): void {
    if (this.#ended) return;
    if (this.#taken) {
      this.#refuse(secondMessage);
      return;
    }
    let bytes = chunk;
    if (this.#partial !== undefined) {
      if (!this.#keep(chunk)) return;
      bytes = this.#partial.bytes;
    }
    if (bytes.length < PREFIX_BYTES) {
      if (this.#partial === undefined) this.#keep(bytes);
      return;
    }
    this.#framed(bytes);
  }

  halfClosed(): void {
    if (this.#taken || this.#ended) return;
    // Node ends a stream that was reset as if the client had ended it; the reset follows.
    this.#method.clock.defer(() => {
      this.#refuse(this.#partial === undefined ? noMessage : unexpectedEnd);
    });
  }

  aborted(): void {
    destroySoon(this.#stream, this.#method.clock);
  }

  /** All of the answer is with HTTP/2, and nothing waits within the stream any more. */
  answered(): void {
    this.#handedOver = true;
    if (!this.#stream.readableEnded) closeUnread(this.#stream, this.#method.clock);
  }

  /** The stream is gone; without an answer, that is a cancellation. */
  closed(): void {
    this.#memory?.close();
    if (!this.#ended) this.#cancel(StatusCode.cancelled);
  }

  /** Keeps a piece of an incomplete message; refuses the call if there is no memory for it. */
  #keep(piece: Buffer): boolean {
    this.#partial ??= new PartialMessage(this.#sessionMemory.requests);
    if (this.#partial.append(piece)) return true;
    this.#refuse(tooManyIncomplete);
    return false;
  }

  #forgetPartial(): void {
    this.#partial?.clear();
    this.#partial = undefined;
  }

  #framed(bytes: Buffer): void {
    const { maxMessageBytes } = this.#method;
    const messageBytes = messageBytesAt(bytes, 0);
    const total = PREFIX_BYTES + messageBytes;
    if (messageBytes > maxMessageBytes) {
      this.#refuse(tooLarge(messageBytes, maxMessageBytes));
    } else if (bytes.length < total) {
      if (this.#partial === undefined) this.#keep(bytes);
    } else if (bytes.length > total) {
      this.#refuse(secondMessage);
    } else {
      this.#taken = true;
      const [flag] = bytes;
      const message = this.#partial?.take().subarray(PREFIX_BYTES) ?? messageAt(bytes, 0, total);
      this.#partial = undefined;
      if (isPlain(flag)) this.#handle(message);
      else this.#decompress(message, flag);
    }
  }

  #decompress(bytes: Buffer, flag: number | undefined): void {
    const encoding = this.#headers['grpc-encoding'];
    const { maxMessageBytes } = this.#method;
    const memory = this.#sessionMemory.requests;
    decompress({ bytes, flag, encoding, maxMessageBytes, memory }, (refusal, message) => {
      if (refusal === undefined) this.#handle(message);
      else this.#refuse(refusal);
    });
  }

  #handle(message: Uint8Array): void {
    if (this.#ended) return;
    let answer: Promise<Uint8Array>;
    try {
      answer = this.#method.handle(message, this);
    } catch (error) {
      this.#fail(error);
      return;
    }
    answer.then(
      (bytes) => this.#succeed(bytes),
      (error: unknown) => this.#fail(error),
    );
  }

  #succeed(bytes: Uint8Array): void {
    if (this.#ended) return;
    try {
      this.memory.encoded(bytes.length);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!this.#end(StatusCode.ok, bytes.length)) return;
    const stream = this.#stream;
    beginAnswer(stream);
    stream.on('wantTrailers', onWantTrailers);
    const [first, rest] = framed(bytes);
    if (rest === undefined && this.#sessionMemory.answers.heldBytes <= MOST_UNCOUNTED_BYTES) {
      endWith(stream, first, this.#whenWritten(first));
    } else {
      stream.write(first, this.#whenWritten(first));
      if (rest !== undefined) stream.write(rest, this.#whenWritten(rest));
      stream.end();
    }
  }

  /**
   * The memory of what was written may be used again once the connection has it. Of a stream that
   * was destroyed Node says that everything was written without an error, whatever is still on its
   * way out of the same memory. Only if all had been handed over before is that so.
   */
  #whenWritten(bytes: Uint8Array): (error?: Error | null) => void {
    if (!answerMemory.isLent(bytes)) return ignoreFailure;
    return (error) => {
      const failed = error !== undefined && error !== null;
      if (!failed && (this.#handedOver || !this.#stream.destroyed)) answerMemory.giveBack(bytes);
    };
  }

  #fail(error: unknown): void {
    if (this.#ended) {
      // Logs faults, even if nobody waits for the answer any more.
      if (!(error instanceof StatusError)) this.#method.statusOf(error);
      return;
    }
    this.#refuse(this.#method.statusOf(error));
  }

  #refuse(status: StatusObject): void {
    if (!this.#end(status.code, 0)) return;
    this.#memory?.close();
    refuse(this.#stream, status);
    closeAfterwards(this.#stream, this.#method.clock);
  }

  /** Whether the call was still open. */
  #end(code: StatusCode, sentBytes: number): boolean {
    if (this.#ended) return false;
    // One that the client reset without an error is closed, and destroyed only once it is read.
    if (this.#stream.destroyed || this.#stream.closed) {
      this.#cancel(StatusCode.cancelled);
      return false;
    }
    this.#ended = true;
    this.#forgetPartial();
    this.#timer?.cancel();
    this.#method.ended(code, sentBytes);
    return true;
  }

  #cancel(code: StatusCode): void {
    this.#ended = true;
    this.#forgetPartial();
    this.#cancelled = true;
    this.#timer?.cancel();
    this.#method.ended(code, 0);
    this.#controller?.abort();
  }

  #startTimer(header: string | string[]): void {
    const { clock } = this.#method;
    this.#timer = deadlineOf(header, clock, {
      malformed: (status) => this.#refuse(status),
      expired: () => this.#expire(),
    });
  }

  #expire(): void {
    this.#refuse(deadlineExceeded);
    this.#cancelled = true;
    this.#controller?.abort();
  }
}
