/**
 * Frames as gRPC's messages on one end of an HTTP/2 stream (gRPC's PROTOCOL-HTTP2.md,
 * Length-Prefixed-Message), without compression.
 */
import type { Http2Stream } from 'node:http2';
import type { Clock } from '../base/clock.ts';

/** Before each message: whether it is compressed (1 byte), and its length (4 bytes). */
const prefixBytes = 5;
/** Pieces of a frame that are kept as they came: tiny ones weigh many times their bytes. */
const piecesMost = 1024;

export interface MessageOptions {
  /** Longer frames are malformed. */
  readonly frameLimitBytes: number;
  readonly clock: Clock;
}

/** What happens on a {@link MessageStream}; nothing of it once it is closed. */
export interface MessageEvents {
  frame(bytes: Uint8Array): void;
  /**
   * Something came that is no frame; no more are handed over.
   * @param tooLongBytes its length if that is above the limit
   */
  malformed(reason: string, tooLongBytes: number | undefined): void;
  /** After {@link MessageStream.resume} some of what had waited was handed over, or all of it. */
  caughtUp(): void;
}

export class MessageStream {
  readonly #stream: Http2Stream;
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

  constructor(stream: Http2Stream, options: MessageOptions, events: MessageEvents) {
    this.#stream = stream;
    this.#options = options;
    this.#events = events;
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  /** Whether whole frames wait for {@link resume}. */
  get isHolding(): boolean {
    return this.#paused && this.#pieceBytes >= this.#neededBytes;
  }

  /** `done` is called later, when the next frame may follow, and never after {@link close}. */
  write(frame: Uint8Array, done: () => void): void {
    if (!this.#open) return;
    const message = Buffer.allocUnsafe(prefixBytes + frame.length);
    message[0] = 0;
    message.writeUInt32BE(frame.length, 1);
    message.set(frame, prefixBytes);
    this.#stream.write(message, (error) => {
      if (!error && this.#open) done();
    });
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  /** Frames that have waited are handed over later, not from within this call. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#delivering || this.#pieceBytes < this.#neededBytes) {
      this.#stream.resume();
      return;
    }
    // Before what comes next, which may be the end.
    this.#options.clock.defer(() => {
      if (this.#paused || !this.#open) return;
      this.#deliver();
      this.#readOn();
    });
  }

  #readOn(): void {
    // What was handed over may have led to another pause, or to the end.
    if (!this.#open) return;
    if (!this.#paused) this.#stream.resume();
    this.#events.caughtUp();
  }

  /** Nothing is handed over, written or told from now on. The HTTP/2 stream stays as it is. */
  close(): void {
    this.#open = false;
    this.#pieces = [];
    this.#pieceBytes = 0;
  }

  #receive(chunk: Buffer): void {
    if (!this.#open) return;
    if (this.#pieces.length === piecesMost) this.#pieces = [Buffer.concat(this.#pieces)];
    this.#pieces.push(chunk);
    this.#pieceBytes += chunk.length;
    if (!this.#paused && this.#pieceBytes >= this.#neededBytes) this.#deliver();
  }

  /** Hands over the whole frames that are there. */
  #deliver(): void {
    const [first] = this.#pieces;
    const isWhole = first?.length === this.#pieceBytes;
    const bytes = isWhole ? first : Buffer.concat(this.#pieces);
    let at = 0;
    this.#delivering = true;
    for (let end = this.#deliverAt(bytes, at); end !== undefined;) {
      at = end;
      end = this.#deliverAt(bytes, at);
    }
    this.#delivering = false;
    this.#keep(bytes.subarray(at));
  }

  /** Where the frame at `at` ends, which was handed over; undefined if it has to wait. */
  #deliverAt(bytes: Buffer, at: number): number | undefined {
    this.#neededBytes = prefixBytes;
    const start = at + prefixBytes;
    if (!this.#open || this.#paused || start > bytes.length) return undefined;
    const length = bytes.readUInt32BE(at + 1);
    if (length > this.#options.frameLimitBytes) {
      this.close();
      this.#events.malformed(`a frame of ${length} bytes`, length);
      return undefined;
    }
    if (bytes[at] !== 0) {
      this.close();
      this.#events.malformed('a compressed frame', undefined);
      return undefined;
    }
    this.#neededBytes = prefixBytes + length;
    const end = start + length;
    if (end > bytes.length) return undefined;
    // A copy: what is kept of a frame must not keep all that was read with it.
    this.#events.frame(Buffer.from(bytes.subarray(start, end)));
    return end;
  }

  #keep(rest: Buffer): void {
    this.#pieces = this.#open && rest.length > 0 ? [rest] : [];
    this.#pieceBytes = this.#open ? rest.length : 0;
  }
}
