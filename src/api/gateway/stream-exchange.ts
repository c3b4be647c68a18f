/**
 * A call with streams: one JSON value in the body for each message, one line of the answer for each
 * of the server's, both as long as the client likes.
 */
import { EventEmitter } from 'node:events';
import { StatusError } from '../../base/errors.ts';
import type { Codec } from '../../base/wire.ts';
import type { StatusObject } from '../../grpc/call.ts';
import { deadlineExceeded } from '../grpc/deadline.ts';
import type { StreamCall, StreamMethod } from '../grpc/stream-method.ts';
import { HeaderMetadata } from './call-headers.ts';
import { errorLine, httpStatusOf } from './error-answer.ts';
import {
  Deadline,
  respondWithError,
  statusObject,
  type Exchange,
  type ExchangeOptions,
} from './exchange.ts';
import { JsonBody } from './json-body.ts';
import { jsonOf } from './wire-to-json.ts';

/** How soon a client that is gone without a word is found out (etcd's listeners do the same). */
const keepAliveMs = 30_000;

export class StreamExchange extends EventEmitter implements StreamCall, Exchange {
  readonly #metadata: HeaderMetadata;
  readonly #options: ExchangeOptions;
  readonly #method: StreamMethod;
  readonly #body: JsonBody;
  readonly #deadline: Deadline;
  /** What lines weigh beyond the messages in them, and are not sent yet. */
  #extraBytes = 0;
  #isServed = false;
  #isPaused = false;
  /** The body has ended. */
  #isReceived = false;
  #isOver = false;
  #cancelled = false;
  #isClosed = false;

  /** @throws StatusError if the headers are malformed */
  constructor(options: ExchangeOptions, method: StreamMethod) {
    super();
    const { request, response, memory, clock, types } = options;
    this.#options = options;
    this.#method = method;
    this.#metadata = new HeaderMetadata(request);
    const { maxMessageBytes } = method;
    this.#body = new JsonBody({ memory: memory.requests, type: types.request, maxMessageBytes });
    this.#deadline = new Deadline(request, clock, () => this.refuse(deadlineExceeded));
    response.once('close', () => this.#closed());
    request.on('data', (chunk: Buffer) => this.#receive(chunk));
    request.on('end', () => this.#received());
    if (method.requestStream) this.#serve();
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  metadata(name: string): string | undefined {
    return this.#metadata.first(name);
  }

  pause(): void {
    this.#isPaused = true;
    this.#options.request.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#options.request.resume();
    // Not at once: whoever resumes is in the middle of taking a message.
    this.#options.clock.defer(() => this.#read());
  }

  write<T>(codec: Codec<T>, answer: T): number {
    const { response, types, memory } = this.#options;
    if (this.#isOver || response.destroyed) return 0;
    const message = codec.encode(answer);
    const line = jsonOf(message, types.response, '{"result":', '}\n');
    const { length } = message;
    const extraBytes = line.length - length;
    this.#extraBytes += extraBytes;
    memory.answers.add(extraBytes);
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/json' });
    response.write(line, () => {
      if (!this.#isClosed) {
        this.#extraBytes -= extraBytes;
        memory.answers.release(extraBytes);
      }
      this.emit('sent', 1, length);
    });
    return length;
  }

  finish(status: StatusObject | undefined): void {
    if (!this.#over()) return;
    const { response } = this.#options;
    if (response.destroyed) return;
    if (!response.headersSent) {
      const code = status === undefined ? 200 : httpStatusOf(status.code);
      response.writeHead(code, { 'content-type': 'application/json' });
    }
    response.end(status === undefined ? undefined : errorLine(status));
    this.#options.time.restart();
  }

  /** Ends the call for a reason of the gateway's, which the handler takes for the client's end. */
  refuse(status: StatusObject): void {
    if (this.#isOver) return;
    if (this.#isServed) {
      this.finish(status);
      this.emit('refused', status);
    } else this.#refuseUnserved(status);
    this.#cancel();
  }

  #serve(request?: unknown): void {
    const { time, memory, request: http } = this.#options;
    time.lift();
    http.socket.setKeepAlive(true, keepAliveMs);
    this.#isServed = true;
    void this.#method.serve(this, memory.answers, request);
  }

  /** Where there is one request only, what follows it is ignored, as etcd does. */
  #receive(chunk: Buffer): void {
    if (this.#isOver || (this.#isServed && !this.#method.requestStream)) return;
    this.#body.push(chunk);
    this.#read();
  }

  #received(): void {
    this.#isReceived = true;
    this.#read();
  }

  /** Passes on the messages that have come, until the handler has enough of them. */
  #read(): void {
    try {
      while (!this.#isOver && !this.#isPaused) {
        const message = this.#body.next() ?? (this.#isReceived ? this.#body.end() : undefined);
        if (message === undefined) {
          if (this.#isReceived) this.#readAll();
          return;
        }
        if (this.#method.requestStream) {
          this.emit('data', this.#method.decode(message));
        } else {
          this.#body.clear();
          this.#serve(this.#method.decode(message));
          return;
        }
      }
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const { code, details } = statusObject(error);
      const words = this.#method.requestStream ? `Failed to decode request: ${details}` : details;
      this.refuse({ code, details: words });
    }
  }

  #readAll(): void {
    if (this.#method.requestStream) this.emit('end');
    // A request without a body is one without fields.
    else if (!this.#isServed) this.#serve(this.#method.decode(Buffer.alloc(0)));
  }

  #refuseUnserved(status: StatusObject): void {
    if (this.#over()) respondWithError(this.#options.response, status);
  }

  /** Whether the call was still open. */
  #over(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#deadline.cancel();
    this.#body.clear();
    // What the client goes on to say is read and forgotten.
    this.#options.request.resume();
    return true;
  }

  #closed(): void {
    this.#over();
    this.#cancel();
    this.#isClosed = true;
    this.#options.memory.answers.release(this.#extraBytes);
    this.#extraBytes = 0;
    this.emit('closed');
  }

  #cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.emit('cancelled');
  }
}
