/**
 * Calls with one message each way, answered straight on their HTTP/2 streams: they are almost all
 * of a store's load.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { StatusCode, StatusError } from '../../base/errors.ts';
import { answerMemory } from '../../base/reusable-memory.ts';
import type { HeaderList } from '../../http2/header-fields.ts';
import type { Stream, StreamListener } from '../../http2/stream.ts';
import { answerHead, okTrailers, refuse, type StatusObject } from '../../grpc/call.ts';
import {
  isPlain,
  messageAt,
  messageBytesAt,
  prefixBytes,
  writeMessage,
} from '../../grpc/message.ts';
import type { CallContext } from '../handler.ts';
import { CallMemory } from './call-memory.ts';
import type { SessionMemory } from './connection-memory.ts';
import { deadlineExceeded, deadlineOf } from './deadline.ts';
import { PartialMessage, tooManyIncomplete } from './partial-message.ts';
import { decompress, tooLarge, unexpectedEnd } from './request-message.ts';

/** What a handler may know of its call, and what serves the call knows of its answer's memory. */
export interface UnaryContext extends CallContext {
  readonly memory: CallMemory;
}

/** How the adapter serves a method; every function is called at most once for each call. */
export interface UnaryMethod {
  readonly clock: Clock;
  /** Messages larger than this are refused before they are read. */
  readonly maxMessageBytes: number;
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

export class UnaryCall implements UnaryContext, StreamListener {
  readonly #stream: Stream;
  readonly #headers: HeaderList;
  readonly #method: UnaryMethod;
  readonly #sessionMemory: SessionMemory;
  #memory: CallMemory | undefined;
  /** What has come of a message that comes in pieces. */
  #partial: PartialMessage | undefined;
  #taken = false;
  #ended = false;
  #cancelled = false;
  /** Its memory is given back when the stream has no use for it any more. */
  #answer: Uint8Array | undefined;
  #controller: AbortController | undefined;
  #timer: Timer | undefined;

  constructor(stream: Stream, headers: HeaderList, method: UnaryMethod, memory: SessionMemory) {
    this.#stream = stream;
    this.#headers = headers;
    this.#method = method;
    this.#sessionMemory = memory;
    method.started();
    const timeout = headers.get('grpc-timeout');
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
    return this.#headers.get(name.toLowerCase());
  }

  data(bytes: Buffer, start: number, end: number): void {
    if (this.#ended) return;
    if (this.#taken) {
      this.#refuse(secondMessage);
    } else if (this.#partial !== undefined) {
      if (!this.#keep(bytes, start, end)) return;
      const kept = this.#partial.bytes;
      if (kept.length >= prefixBytes) this.#framed(kept, 0, kept.length);
    } else if (end - start < prefixBytes) {
      this.#keep(bytes, start, end);
    } else {
      this.#framed(bytes, start, end);
    }
  }

  end(): void {
    if (this.#taken || this.#ended) return;
    this.#refuse(this.#partial === undefined ? noMessage : unexpectedEnd);
  }

  /** Without an answer, that is a cancellation. */
  closed(): void {
    this.#memory?.close();
    if (this.#answer !== undefined) answerMemory.giveBack(this.#answer);
    this.#answer = undefined;
    if (!this.#ended) this.#cancel();
  }

  /** Keeps a piece of an incomplete message; refuses the call if there is no memory for it. */
  #keep(bytes: Buffer, start: number, end: number): boolean {
    this.#partial ??= new PartialMessage(this.#sessionMemory.requests);
    if (this.#partial.append(bytes.subarray(start, end))) return true;
    this.#refuse(tooManyIncomplete);
    return false;
  }

  #forgetPartial(): void {
    this.#partial?.clear();
    this.#partial = undefined;
  }

  #framed(bytes: Buffer, start: number, end: number): void {
    const { maxMessageBytes } = this.#method;
    const messageBytes = messageBytesAt(bytes, start);
    const messageEnd = start + prefixBytes + messageBytes;
    if (messageBytes > maxMessageBytes) {
      this.#refuse(tooLarge(messageBytes, maxMessageBytes));
    } else if (end < messageEnd) {
      if (this.#partial === undefined) this.#keep(bytes, start, end);
    } else if (end > messageEnd) {
      this.#refuse(secondMessage);
    } else {
      this.#taken = true;
      const flag = bytes[start];
      const message = this.#partial?.take().subarray(prefixBytes) ?? messageAt(bytes, start, end);
      this.#partial = undefined;
      if (isPlain(flag)) this.#handle(message);
      else this.#decompress(message, flag);
    }
  }

  #decompress(bytes: Buffer, flag: number | undefined): void {
    const encoding = this.#headers.get('grpc-encoding');
    const { maxMessageBytes } = this.#method;
    const memory = this.#sessionMemory.requests;
    this.#stream.isWorkedOn = true;
    decompress({ bytes, flag, encoding, maxMessageBytes, memory }, (refusal, message) => {
      this.#stream.isWorkedOn = false;
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
    this.#stream.isWorkedOn = true;
    answer.then(
      (bytes) => {
        this.#stream.isWorkedOn = false;
        this.#succeed(bytes);
      },
      (error: unknown) => {
        this.#stream.isWorkedOn = false;
        this.#fail(error);
      },
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
    this.#answer = bytes;
    this.#end(StatusCode.ok, bytes.length);
    const stream = this.#stream;
    stream.sendHead(answerHead);
    writeMessage(stream, bytes);
    stream.end(okTrailers);
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
    if (this.#ended) return;
    this.#end(status.code, 0);
    this.#memory?.close();
    refuse(this.#stream, status);
  }

  #end(code: StatusCode, sentBytes: number): void {
    this.#ended = true;
    this.#forgetPartial();
    this.#timer?.cancel();
    this.#method.ended(code, sentBytes);
  }

  #cancel(): void {
    this.#end(StatusCode.cancelled, 0);
    this.#cancelled = true;
    this.#controller?.abort();
  }

  #startTimer(header: string): void {
    const timer = deadlineOf(header, this.#method.clock, () => this.#expire());
    if (timer === undefined) return;
    if ('code' in timer) this.#refuse(timer);
    else this.#timer = timer;
  }

  #expire(): void {
    this.#refuse(deadlineExceeded);
    this.#cancelled = true;
    this.#controller?.abort();
  }
}
