/** A request and its answer on a connection, as its server sees it (RFC 9113 section 5). */
import type { AnswerField } from './header-encoder.ts';
import { ErrorCode } from './frames.ts';

/** Who serves a stream. */
export interface StreamListener {
  /** A part of `bytes` has come; they are the listener's until it returns. */
  data(bytes: Buffer, start: number, end: number): void;
  /** The client has said all. */
  end(): void;
  /**
   * The stream is over: its answer is sent, or it was cut off. Nothing follows, and what was
   * written is not used any more.
   */
  closed(): void;
}

/** What a stream needs of its connection. */
export interface StreamHost {
  /** There is something to send, or more of it. */
  sends(stream: ServerStream): void;
  /** The client may send so many bytes more on the stream. */
  credits(stream: ServerStream, bytes: number): void;
  /** Cuts the stream off. */
  resets(stream: ServerStream, code: ErrorCode): void;
  /** What was asked for on a stream that is closed already is no longer worked on. */
  isDoneWith(stream: ServerStream): void;
}

/** What is sent of an answer, one after the other. */
export const SendState = {
  /** Nothing yet. */
  silent: 0,
  /** The head has to be sent. */
  head: 1,
  /** Only a head, which is the end as well. */
  only: 2,
  body: 3,
  ended: 4,
} as const;

export type SendState = (typeof SendState)[keyof typeof SendState];

export class ServerStream {
  readonly id: number;
  readonly #host: StreamHost;
  /** Without one, what the client says is read and forgotten. */
  listener: StreamListener | undefined;
  /** No frame of it is sent or taken any more. */
  isClosed = false;
  /** The client has said all. */
  isReceived = false;
  #isPaused = false;
  /** We have said all. */
  #isEnded = false;
  /** Whether somebody still works on what was asked. */
  #isWorkedOn = false;

  /** For the connection: what the client may still send. */
  receiveWindow: number;
  /** For the connection: bytes that came and were not credited to the client yet. */
  uncreditedBytes = 0;
  /** For the connection: what may be sent beyond what holds for all streams. */
  extraSendWindow = 0;
  /** For the connection: memory that is held for the request's fields. */
  heldBytes = 0;
  /** For the connection: whether it is in the line of those that send. */
  isInLine = false;
  sendState: SendState = SendState.silent;
  head: readonly AnswerField[] | undefined;
  /** After them comes the end. */
  trailers: readonly AnswerField[] | undefined;
  #chunks: Uint8Array[] = [];
  /** What to call when all of a chunk was sent. */
  #told: ((() => void) | undefined)[] | undefined;
  #toTell: (() => void)[] | undefined;
  #firstChunk = 0;
  /** Of the first chunk, what was sent. */
  #sentOfFirst = 0;
  #unsentBytes = 0;

  constructor(id: number, host: StreamHost, receiveWindow: number) {
    this.id = id;
    this.#host = host;
    this.receiveWindow = receiveWindow;
  }

  /** Bytes of the answer that wait to be sent. */
  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Whether an answer has begun. */
  get isAnswered(): boolean {
    return this.sendState !== SendState.silent;
  }

  /** Whether all of the answer was sent. */
  get isAnswerSent(): boolean {
    return this.sendState === SendState.ended;
  }

  /** Whether somebody still works on what was asked, which counts as a stream meanwhile. */
  get isWorkedOn(): boolean {
    return this.#isWorkedOn;
  }

  set isWorkedOn(value: boolean) {
    if (this.#isWorkedOn === value || (value && this.isClosed)) return;
    this.#isWorkedOn = value;
    if (!value && this.isClosed) this.#host.isDoneWith(this);
  }

  /** Begins the answer; a body follows. */
  respond(head: readonly AnswerField[]): void {
    if (this.isClosed || this.isAnswered) return;
    this.head = head;
    this.sendState = SendState.head;
    this.#host.sends(this);
  }

  /** Answers with nothing but a head. */
  respondOnly(head: readonly AnswerField[]): void {
    if (this.isClosed || this.isAnswered) return;
    this.#isEnded = true;
    this.head = head;
    this.sendState = SendState.only;
    this.#host.sends(this);
  }

  /**
   * Sends a piece of the body, after `respond`. It must not change until the stream is closed or it
   * was sent.
   * @param sent called when all of it was sent; never if the stream is closed before
   */
  write(chunk: Uint8Array, sent?: () => void): void {
    if (this.isClosed || this.#isEnded) return;
    if (chunk.length > 0) {
      this.#chunks.push(chunk);
      this.#unsentBytes += chunk.length;
    }
    if (sent !== undefined) this.#tellWith(this.#chunks.length - 1, sent);
    this.#host.sends(this);
  }

  /** Has `sent` called when a chunk is sent, after whoever else is told of that. */
  #tellWith(chunk: number, sent: () => void): void {
    if (chunk < this.#firstChunk) {
      (this.#toTell ??= []).push(sent);
      return;
    }
    this.#told ??= [];
    const first = this.#told[chunk];
    this.#told[chunk] =
      first === undefined
        ? sent
        : () => {
            first();
            sent();
          };
  }

  /** Ends the answer after its body. */
  end(trailers: readonly AnswerField[]): void {
    if (this.isClosed || this.#isEnded) return;
    this.#isEnded = true;
    this.trailers = trailers;
    this.#host.sends(this);
  }

  reset(code: ErrorCode = ErrorCode.noError): void {
    if (!this.isClosed) this.#host.resets(this, code);
  }

  /** Keeps the client from sending more than its window. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.isClosed) this.#host.credits(this, 0);
  }

  /** For the connection: moves so many unsent bytes to `out`; `tellSent` is to follow. */
  takeUnsent(out: Buffer, from: number, count: number): void {
    let at = from;
    let left = count;
    this.#unsentBytes -= count;
    while (left > 0) {
      const chunk = this.#chunks[this.#firstChunk] as Uint8Array;
      const taken = Math.min(left, chunk.length - this.#sentOfFirst);
      copy(chunk, this.#sentOfFirst, taken, out, at);
      at += taken;
      left -= taken;
      this.#sentOfFirst += taken;
      if (this.#sentOfFirst === chunk.length) this.#chunkSent();
    }
  }

  #chunkSent(): void {
    const told = this.#told?.[this.#firstChunk];
    this.#sentOfFirst = 0;
    this.#firstChunk++;
    if (this.#firstChunk === this.#chunks.length) {
      this.#chunks = [];
      this.#told = undefined;
      this.#firstChunk = 0;
    } else if (this.#firstChunk >= 1024) {
      this.#chunks = this.#chunks.slice(this.#firstChunk);
      this.#told = this.#told?.slice(this.#firstChunk);
      this.#firstChunk = 0;
    }
    if (told !== undefined) (this.#toTell ??= []).push(told);
  }

  /** For the connection: tells of what was sent. */
  tellSent(): void {
    const tell = this.#toTell;
    if (tell === undefined) return;
    this.#toTell = undefined;
    for (const told of tell) {
      // Whoever was told before may have ended it.
      if (!this.isClosed) told();
    }
  }

  /** For the connection: the stream is over. */
  close(): void {
    this.isClosed = true;
    this.head = undefined;
    this.trailers = undefined;
    this.#chunks = [];
    this.#told = undefined;
    this.#unsentBytes = 0;
    const { listener } = this;
    this.listener = undefined;
    listener?.closed();
  }
}

/** Of a small piece, its bytes one by one are faster than a call of the engine. */
const fewBytes = 32;

function copy(from: Uint8Array, start: number, count: number, to: Buffer, at: number): void {
  if (count <= fewBytes) {
    for (let i = 0; i < count; i++) to[at + i] = from[start + i] as number;
  } else if (count === from.length) {
    to.set(from, at);
  } else {
    to.set(new Uint8Array(from.buffer, from.byteOffset + start, count), at);
  }
}
