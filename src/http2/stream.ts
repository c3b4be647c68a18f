/** A stream of a connection as one of its ends sees it (RFC 9113 section 5). */
import { ErrorCode } from './frames.ts';
import type { SentField } from './header-encoder.ts';
import type { HeaderList } from './header-fields.ts';

/** Who is told of a stream. */
export interface StreamListener {
  /** The head of the answer has come. For a client. */
  head?(fields: HeaderList): void;
  /** A part of `bytes` has come; they are the listener's until it returns. */
  data(bytes: Buffer, start: number, end: number): void;
  /** What comes after the answer's body; the end follows. For a client. */
  trailers?(fields: HeaderList): void;
  /** The other end has said all. */
  end(): void;
  /**
   * The stream is over: all is said, or it was cut off. Nothing follows, and what was written is
   * not used any more.
   */
  closed(): void;
}

/** What a stream needs of its connection. */
export interface StreamHost {
  /** There is something to send, or more of it. */
  sends(stream: Stream): void;
  /** The other end may send so many bytes more on the stream. */
  credits(stream: Stream, bytes: number): void;
  /** Cuts the stream off. */
  resets(stream: Stream, code: ErrorCode): void;
  /** What was asked for on a stream that is closed already is no longer worked on. */
  isDoneWith(stream: Stream): void;
}

/** What is sent on a stream, one after the other. */
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

export class Stream {
  readonly id: number;
  readonly #host: StreamHost;
  /** Without one, what the other end says is read and forgotten. */
  listener: StreamListener | undefined;
  /** No frame of it is sent or taken any more. */
  isClosed = false;
  /** The other end has said all. */
  isReceived = false;
  /** The other end has cut it off. */
  isReset = false;
  /** With what it was cut off for what the other end did. */
  fault: ErrorCode | undefined;
  #isPaused = false;
  /** We have said all. */
  #isEnded = false;
  /** Whether somebody still works on what was asked. */
  #isWorkedOn = false;

  /** For a client's connection: the head of the answer has come. */
  hasHead = false;
  /** For the connection: what the other end may still send. */
  receiveWindow: number;
  /** For the connection: bytes that came and were not credited to the other end yet. */
  uncreditedBytes = 0;
  /** For the connection: what may be sent beyond what holds for all streams. */
  extraSendWindow = 0;
  /** For the connection: memory that is held for the request's fields. */
  heldBytes = 0;
  /** For the connection: whether it is in the line of those that send. */
  isInLine = false;
  sendState: SendState = SendState.silent;
  head: readonly SentField[] | undefined;
  /** After them comes the end. */
  trailers: readonly SentField[] | undefined;
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

  /** Bytes that wait to be sent. */
  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Whether we have said anything. */
  get hasBegun(): boolean {
    return this.sendState !== SendState.silent;
  }

  /** Whether all that we have to say was sent. */
  get isSent(): boolean {
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

  /** Begins; a body may follow. */
  sendHead(head: readonly SentField[]): void {
    if (this.isClosed || this.hasBegun) return;
    this.head = head;
    this.sendState = SendState.head;
    this.#host.sends(this);
  }

  /** Says nothing but a head. */
  sendOnlyHead(head: readonly SentField[]): void {
    if (this.isClosed || this.hasBegun) return;
    this.#isEnded = true;
    this.head = head;
    this.sendState = SendState.only;
    this.#host.sends(this);
  }

  /**
   * Sends a piece of the body, after `sendHead`. It must not change until it was sent or the stream
   * is closed.
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

  /** Ends what we say. @param trailers none if there is nothing to say after the body */
  end(trailers: readonly SentField[]): void {
    if (this.isClosed || this.#isEnded) return;
    this.#isEnded = true;
    this.trailers = trailers;
    this.#host.sends(this);
  }

  reset(code: ErrorCode = ErrorCode.noError): void {
    if (!this.isClosed) this.#host.resets(this, code);
  }

  /** Keeps the other end from sending more than its window. */
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
