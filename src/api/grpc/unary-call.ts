/**
 * Calls with one message each way, answered straight on their HTTP/2 streams. They are almost all
 * of a store's load, and what grpc-js does around each (three stream objects, a dozen closures,
 * copies of headers) costs as much as HTTP/2 itself; so it serves only the streaming calls.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { gunzip, inflate } from 'node:zlib';
import { buffer } from '../../base/bytes.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { StatusCode, StatusError } from '../../base/errors.ts';
import type { CallContext } from '../handler.ts';
import { CallMemory } from './call-memory.ts';
import type { SessionMemory } from './connection-memory.ts';
import { timeoutMsOf } from './deadline.ts';
import { PartialMessage, PREFIX_BYTES, TOO_MANY_INCOMPLETE } from './partial-message.ts';
import { messageHeader, type StatusObject } from './status.ts';

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

const COMPRESSED = 1;
/** A longer answer is not copied behind its prefix, but written after it. */
const MAX_COPIED_BYTES = 64 * 1024;
const CONTENT_TYPE = 'application/grpc';
const NO_ERROR = 0;

const answerHeaders = { ':status': 200, 'content-type': CONTENT_TYPE };
/** Without a date, as from grpc-go. */
const answerOptions = { waitForTrailers: true, sendDate: false };
const refusalOptions = { endStream: true, sendDate: false };
const okTrailers = { 'grpc-status': '0' };

const decompressors = { gzip: gunzip, deflate: inflate } as const;

/** Under this key a stream carries its call, so that listeners need not be made for each. */
const callOf = Symbol('call');

interface Stream extends ServerHttp2Stream {
  [callOf]: UnaryCall;
}

function onData(this: Stream, chunk: Buffer): void {
  this[callOf].receive(chunk);
}

function onEnd(this: Stream): void {
  this[callOf].halfClosed();
}

function onClose(this: Stream): void {
  this[callOf].closed();
}

function onWantTrailers(this: Stream): void {
  this.sendTrailers(okTrailers);
}

/** A failed stream is closed as well, which says it all. */
function onError(): void {}

export class UnaryCall implements UnaryContext {
  readonly #stream: Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #method: UnaryMethod;
  readonly #sessionMemory: SessionMemory;
  #memory: CallMemory | undefined;
  /** What has come of a message that comes in pieces. */
  #partial: PartialMessage | undefined;
  #taken = false;
  #halfClosed = false;
  #ended = false;
  #cancelled = false;
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
    stream.on('close', onClose);
    stream.on('error', onError);
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
    const value = this.#headers[name.toLowerCase()];
    return typeof value === 'object' ? value[0] : value;
  }

  /** Takes bytes of the request. */
  receive(chunk: Buffer): void {
    if (this.#ended) return;
    if (this.#taken) {
      this.#refuse(StatusCode.unimplemented, 'received a second message for a unary call');
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
    this.#halfClosed = true;
    if (this.#taken || this.#ended) return;
    // Node ends a stream that was reset as if the client had ended it; the reset follows.
    this.#method.clock.defer(() => {
      if (this.#partial === undefined) {
        this.#refuse(StatusCode.unimplemented, 'received no message for a unary call');
      } else {
        this.#refuse(StatusCode.internal, 'unexpected EOF');
      }
    });
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
    this.#refuse(StatusCode.resourceExhausted, TOO_MANY_INCOMPLETE);
    return false;
  }

  #forgetPartial(): void {
    this.#partial?.clear();
    this.#partial = undefined;
  }

  #framed(bytes: Buffer): void {
    const { maxMessageBytes } = this.#method;
    const total = totalBytes(bytes);
    if (total - PREFIX_BYTES > maxMessageBytes) {
      this.#refuse(
        StatusCode.resourceExhausted,
        `grpc: received message larger than max (${total - PREFIX_BYTES} vs. ${maxMessageBytes})`,
      );
    } else if (bytes.length < total) {
      if (this.#partial === undefined) this.#keep(bytes);
    } else if (bytes.length > total) {
      this.#refuse(StatusCode.unimplemented, 'received a second message for a unary call');
    } else {
      this.#taken = true;
      const message = this.#partial?.take().subarray(PREFIX_BYTES) ?? messageOf(bytes);
      this.#partial = undefined;
      if (bytes[0] === 0) this.#handle(message);
      else this.#decompress(message, bytes[0]);
    }
  }

  #decompress(bytes: Buffer, format: number | undefined): void {
    if (format !== COMPRESSED) {
      const text = `grpc: received unexpected payload format ${format}`;
      this.#refuse(StatusCode.internal, text);
      return;
    }
    const encoding = this.#headers['grpc-encoding'] ?? 'identity';
    if (encoding === 'identity') {
      this.#refuse(
        StatusCode.internal,
        'grpc: compressed flag set with identity or empty encoding',
      );
      return;
    }
    if (encoding !== 'gzip' && encoding !== 'deflate') {
      const name = JSON.stringify(encoding);
      this.#refuse(
        StatusCode.unimplemented,
        `grpc: Decompressor is not installed for grpc-encoding ${name}`,
      );
      return;
    }
    const { maxMessageBytes } = this.#method;
    decompressors[encoding](bytes, { maxOutputLength: maxMessageBytes }, (error, message) => {
      if (error === null) this.#handle(message);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
        this.#refuse(
          StatusCode.resourceExhausted,
          `grpc: received message after decompression larger than max ${maxMessageBytes}`,
        );
      } else {
        const text = `grpc: failed to decompress the received message: ${error.message}`;
        this.#refuse(StatusCode.internal, text);
      }
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
    stream.respond(answerHeaders, answerOptions);
    stream.on('wantTrailers', onWantTrailers);
    const copied = bytes.length <= MAX_COPIED_BYTES;
    const frame = Buffer.allocUnsafe(PREFIX_BYTES + (copied ? bytes.length : 0));
    frame[0] = 0;
    frame.writeUInt32BE(bytes.length, 1);
    if (copied) {
      frame.set(bytes, PREFIX_BYTES);
      stream.end(frame);
    } else {
      stream.write(frame);
      stream.end(buffer(bytes));
    }
    this.#closeAfterwards();
  }

  #fail(error: unknown): void {
    if (this.#ended) {
      // Logs faults, even if nobody waits for the answer any more.
      if (!(error instanceof StatusError)) this.#method.statusOf(error);
      return;
    }
    const { code, details } = this.#method.statusOf(error);
    this.#refuse(code, details);
  }

  #refuse(code: StatusCode, details: string): void {
    if (!this.#end(code, 0)) return;
    this.#memory?.close();
    respondWith(this.#stream, { code, details });
    this.#closeAfterwards();
  }

  /** A client that goes on sending after its answer is told that nobody listens. */
  #closeAfterwards(): void {
    if (this.#halfClosed || this.#stream.readableEnded) return;
    const stream = this.#stream;
    stream.once('finish', () => {
      // One turn for the client's own end, which is usually on its way.
      this.#method.clock.defer(() => {
        if (!stream.readableEnded && !stream.destroyed) stream.close(NO_ERROR);
      });
    });
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
    const timeoutMs = typeof header === 'string' ? timeoutMsOf(header) : undefined;
    if (timeoutMs === undefined) {
      // Refused once the call has been set up.
      this.#method.clock.defer(() => {
        this.#refuse(StatusCode.internal, `malformed grpc-timeout: ${String(header)}`);
      });
    } else if (timeoutMs !== Infinity) {
      this.#timer = this.#method.clock.after(timeoutMs, () => this.#expire());
    }
  }

  #expire(): void {
    this.#refuse(StatusCode.deadlineExceeded, 'context deadline exceeded');
    this.#cancelled = true;
    this.#controller?.abort();
  }
}

/** What a call is refused with that has not begun. */
export interface Refusal {
  readonly httpStatus?: number;
  readonly code?: StatusCode;
  readonly details?: string;
}

function respondWith(stream: ServerHttp2Stream, refusal: Refusal): void {
  const { httpStatus, code, details = '' } = refusal;
  const headers: OutgoingHttpHeaders = { ':status': httpStatus ?? 200 };
  if (code !== undefined) {
    headers['content-type'] = CONTENT_TYPE;
    headers['grpc-status'] = String(code);
    headers['grpc-message'] = messageHeader(details);
  }
  stream.respond(headers, refusalOptions);
}

/** Refuses a call that cannot begin: nobody serves it, or it is no call. */
export function refuseStream(stream: ServerHttp2Stream, refusal: Refusal): void {
  stream.on('error', onError);
  stream.resume();
  respondWith(stream, refusal);
}

/** A copy, because the frame is part of all that was read from the connection at once. */
function messageOf(frame: Buffer): Buffer {
  const message = Buffer.allocUnsafe(frame.length - PREFIX_BYTES);
  frame.copy(message, 0, PREFIX_BYTES);
  return message;
}

function totalBytes(frame: Buffer): number {
  return PREFIX_BYTES + frame.readUInt32BE(1);
}

/** Whether a request says that it is one of gRPC. */
export function isGrpcRequest(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type'];
  if (type?.startsWith(CONTENT_TYPE) !== true) return false;
  const next = type[CONTENT_TYPE.length];
  return next === undefined || next === '+' || next === ';';
}
