/**
 * Frames as gRPC's messages, as they come on a stream between members, without compression (gRPC's
 * PROTOCOL-HTTP2.md, Length-Prefixed-Message).
 */
import type { Clock } from '../base/clock.ts';
import { isPlain, messageAt, messageBytesAt, prefixBytes } from '../grpc/message.ts';

/** Pieces of a frame that are kept as they came: tiny ones weigh many times their bytes. */
const piecesMost = 1024;

export interface MessageOptions {
  /** Longer frames are malformed. */
  readonly frameLimitBytes: number;
  readonly clock: Clock;
}

/** Where bytes come from. */
export interface MessageSource {
  /** Stops and restarts what comes; what is under way still comes. */
  pause(): void;
  resume(): void;
}

/** What happens on a {@link MessageReader}; nothing of it once it is closed. */
export interface MessageEvents {
  frame(bytes: Uint8Array): void;
  /**
   * Something came that is no frame; no more are handed over.
   * @param tooLongBytes its length if that is above the limit
   */
  malformed(reason: string, tooLongBytes: number | undefined): void;
  /** After {@link MessageReader.resume} some of what had waited was handed over, or all of it. */
  caughtUp(): void;
}

export class MessageReader {
  readonly #source: MessageSource;
  readonly #options: MessageOptions;
  readonly #events: MessageEvents;
  #open = true;
  #paused = false;
  #delivering = false;
  /** What has come and makes no whole frame yet, or waits for {@link resume}. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  /** So many of these bytes it takes to go on. */
  #neededBytes = prefixBytes;

  constructor(source: MessageSource, options: MessageOptions, events: MessageEvents) {
    this.#source = source;
    this.#options = options;
    this.#events = events;
  }

  /** Whether whole frames wait for {@link resume}, or to be handed over after it. */
  get isHolding(): boolean {
    return this.#pieceBytes >= this.#neededBytes;
  }

  pause(): void {
    this.#paused = true;
    this.#source.pause();
  }

  /** Frames that have waited are handed over later, not from within this call. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#delivering || this.#pieceBytes < this.#neededBytes) {
      this.#source.resume();
      return;
    }
    // Before what comes next, which may be the end.
    this.#options.clock.defer(() => {
      if (this.#paused || !this.#open) return;
      if (this.#pieceBytes >= this.#neededBytes) this.#deliverKept();
      this.#readOn();
    });
  }

  #readOn(): void {
    // What was handed over may have led to another pause, or to the end.
    if (!this.#open) return;
    if (!this.#paused) this.#source.resume();
    this.#events.caughtUp();
  }

  /** Nothing is handed over or told from now on. */
  close(): void {
    this.#open = false;
    this.#pieces = [];
    this.#pieceBytes = 0;
  }

  /** Takes a part of `bytes`, which are the caller's again when it returns. */
  receive(bytes: Buffer, start: number, end: number): void {
    if (!this.#open) return;
    if (this.#pieceBytes === 0 && !this.#paused) {
      this.#deliver(bytes, start, end);
      return;
    }
    this.#keep(bytes, start, end);
    if (!this.#paused && this.#pieceBytes >= this.#neededBytes) this.#deliverKept();
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    if (!this.#open || start === end) return;
    if (this.#pieces.length === piecesMost) this.#pieces = [Buffer.concat(this.#pieces)];
    this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
    this.#pieceBytes += end - start;
  }

  #deliverKept(): void {
    const [first] = this.#pieces;
    const isWhole = first?.length === this.#pieceBytes;
    const bytes = isWhole ? first : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#deliver(bytes, 0, bytes.length);
  }

  /** Hands over the whole frames that are there, and keeps the rest. */
  #deliver(bytes: Buffer, start: number, end: number): void {
    let at = start;
    this.#delivering = true;
    for (let next = this.#deliverAt(bytes, at, end); next !== undefined;) {
      at = next;
      next = this.#deliverAt(bytes, at, end);
    }
    this.#delivering = false;
    this.#keep(bytes, at, end);
  }

  /** Where the frame at `at` ends, which was handed over; undefined if it has to wait. */
  #deliverAt(bytes: Buffer, at: number, end: number): number | undefined {
    this.#neededBytes = prefixBytes;
    if (!this.#open || this.#paused || at + prefixBytes > end) return undefined;
    const length = messageBytesAt(bytes, at);
    if (length > this.#options.frameLimitBytes) {
      this.close();
      this.#events.malformed(`a frame of ${length} bytes`, length);
      return undefined;
    }
    if (!isPlain(bytes[at])) {
      this.close();
      this.#events.malformed('a compressed frame', undefined);
      return undefined;
    }
    this.#neededBytes = prefixBytes + length;
    const frameEnd = at + prefixBytes + length;
    if (frameEnd > end) return undefined;
    this.#events.frame(messageAt(bytes, at, frameEnd));
    return frameEnd;
  }
}
