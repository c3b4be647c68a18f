/** A call with one message each way: a body, and an answer that is sent as the client takes it. */
import { StatusCode, StatusError } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';
import { CallMemory } from '../grpc/call-memory.ts';
import { deadlineExceeded } from '../grpc/deadline.ts';
import type { UnaryContext, UnaryMethod } from '../grpc/unary-call.ts';
import { HeaderMetadata } from './call-headers.ts';
import {
  Deadline,
  respondWithError,
  statusObject,
  type Exchange,
  type ExchangeOptions,
} from './exchange.ts';
import { JsonBody } from './json-body.ts';
import { jsonOf, jsonPieces } from './wire-to-json.ts';

/** An answer of so many bytes on the wire is sent in pieces. */
const largeAnswerBytes = 64 * 1024;

export class UnaryExchange implements UnaryContext, Exchange {
  readonly memory: CallMemory;
  readonly #options: ExchangeOptions;
  readonly #method: UnaryMethod;
  readonly #metadata: HeaderMetadata;
  readonly #controller = new AbortController();
  readonly #body: JsonBody;
  readonly #deadline: Deadline;
  #message: Buffer | undefined;
  /** Goes on with an answer that waits for its client. */
  #wake: (() => void) | undefined;
  #isStarted = false;
  #isOver = false;

  /** @throws StatusError if the headers are malformed */
  constructor(options: ExchangeOptions, method: UnaryMethod) {
    const { request, response, memory, clock, types } = options;
    this.#options = options;
    this.#method = method;
    this.memory = new CallMemory(memory.answers);
    this.#metadata = new HeaderMetadata(request);
    const { maxMessageBytes } = method;
    this.#body = new JsonBody({ memory: memory.requests, type: types.request, maxMessageBytes });
    this.#deadline = new Deadline(request, clock, () => this.#expire());
    request.on('data', (chunk: Buffer) => this.#receive(chunk));
    request.on('end', () => this.#received());
    response.once('close', () => this.#closed());
    response.on('drain', () => this.#wake?.());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  metadata(name: string): string | undefined {
    return this.#metadata.first(name);
  }

  refuse(status: StatusObject): void {
    if (!this.#end(status.code, 0)) return;
    this.memory.close();
    this.#options.time.restart();
    respondWithError(this.#options.response, status);
  }

  /** The first value of the body is the request; what follows is ignored, as etcd does. */
  #receive(chunk: Buffer): void {
    if (this.#isOver || this.#message !== undefined) return;
    this.#body.push(chunk);
    this.#reading(() => {
      this.#message = this.#body.next();
      if (this.#message !== undefined) this.#body.clear();
    });
  }

  #received(): void {
    if (this.#isOver) return;
    this.#reading(() => {
      // A request without a body is one without fields.
      this.#handle(this.#message ?? this.#body.end() ?? Buffer.alloc(0));
    });
  }

  #reading(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.refuse(statusObject(error));
    }
  }

  #handle(message: Buffer): void {
    this.#options.time.lift();
    this.#isStarted = true;
    this.#method.started();
    this.#method.handle(message, this).then(
      (answer) => this.#succeed(answer),
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    // Logs faults, even if nobody waits for the answer any more.
    const status = this.#method.statusOf(error);
    this.refuse(status);
  }

  #succeed(answer: Uint8Array): void {
    if (this.#isOver) return;
    try {
      this.memory.encoded(answer.length);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!this.#end(StatusCode.ok, answer.length)) return;
    const { response, types, time } = this.#options;
    time.restart();
    if (answer.length >= largeAnswerBytes) {
      response.writeHead(200, { 'content-type': 'application/json' });
      void this.#send(jsonPieces(answer, types.response));
      return;
    }
    const json = jsonOf(answer, types.response);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': json.length });
    response.end(json);
  }

  /** Makes each piece when the client has taken those before it. */
  async #send(pieces: Iterable<Buffer>): Promise<void> {
    const { response, time } = this.#options;
    for (const piece of pieces) {
      if (response.destroyed) return;
      if (response.write(piece)) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      time.restart();
    }
    response.end();
  }

  /** Whether the call was still open. */
  #end(code: StatusCode, sentBytes: number): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#body.clear();
    this.#deadline.cancel();
    if (this.#isStarted) this.#method.ended(code, sentBytes);
    return true;
  }

  /** The answer is sent, or the client is gone. */
  #closed(): void {
    this.memory.close();
    this.#wake?.();
    if (this.#end(StatusCode.cancelled, 0)) this.#controller.abort();
  }

  #expire(): void {
    this.refuse(deadlineExceeded);
    this.#controller.abort();
  }
}
