/** Sends the answers of a stream no faster than the client takes them. */
import type { Counter } from '../../base/metrics.ts';
import type { Codec } from '../../base/wire.ts';
import type { StatusObject } from '../../grpc/call.ts';
import type { AnswerMemory } from '../handler.ts';

/** Bytes of one stream that may wait to be sent; a larger message waits alone. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** Small ones weigh more than their bytes. */
const MAX_UNSENT_MESSAGES = 1024;

/** What takes the answers of a stream. */
export interface WritableCall {
  /**
   * Returns the length of the message. Does nothing, returns 0 and tells nobody, if the call is
   * over.
   */
  write<T>(codec: Codec<T>, message: T): number;
  /**
   * So many messages, of so many bytes together, were sent, or could not be. Of what still waits
   * when the call is closed nothing is told.
   */
  on(event: 'sent', listener: (messages: number, bytes: number) => void): unknown;
  /** Ends the call, well if there is no status. */
  finish(status: StatusObject | undefined): void;
}

export class ResponseWriter {
  readonly #call: WritableCall;
  readonly #memory: AnswerMemory;
  #unsentBytes = 0;
  #unsentMessages = 0;
  #reservedBytes = 0;
  #closed = false;
  #abandoned = false;
  #stopWaiting: (() => void) | undefined;
  #waiter: (() => void) | undefined;

  constructor(call: WritableCall, sentBytes: Counter, memory: AnswerMemory) {
    this.#call = call;
    this.#memory = memory;
    call.on('sent', (messages, bytes) => {
      sentBytes.increment(bytes);
      this.#release(messages, bytes);
      if (!this.#full) this.#wake();
    });
  }

  /** Whether nobody listens any more. */
  isClosed(): boolean {
    return this.#closed;
  }

  /** Queues one message. Returns its length. */
  write<T>(codec: Codec<T>, message: T): number {
    if (this.#closed) return 0;
    this.#returnReserved();
    const length = this.#call.write(codec, message);
    this.#unsentBytes += length;
    this.#unsentMessages++;
    this.#memory.add(length);
    return length;
  }

  #release(messages: number, bytes: number): void {
    if (this.#abandoned) return;
    this.#unsentBytes -= bytes;
    this.#unsentMessages -= messages;
    this.#memory.release(bytes);
  }

  /** Undefined if the next message may follow at once, else resolves when it may, or never will. */
  room(): Promise<void> | undefined {
    if (this.#closed || !(this.#full || this.#memory.isFull)) return undefined;
    return this.#whenRoom();
  }

  async #whenRoom(): Promise<void> {
    // Others may have taken the room by the time that it is this stream's turn.
    while (!this.#closed && (this.#full || this.#memory.isFull)) {
      await new Promise<void>((resolve) => {
        this.#waiter = resolve;
        if (!this.#full) this.#stopWaiting = this.#memory.onRoom(() => this.#wake());
      });
    }
    if (this.#closed) return;
    // All who wait are told at once: until it has written, each counts as if it had.
    this.#reservedBytes = MAX_UNSENT_BYTES;
    this.#memory.add(this.#reservedBytes);
  }

  #returnReserved(): void {
    if (this.#reservedBytes === 0) return;
    this.#memory.release(this.#reservedBytes);
    this.#reservedBytes = 0;
  }

  /** Ends the stream with a status, after what is queued. */
  finish(status: StatusObject | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#returnReserved();
    this.#call.finish(status);
    this.#wake();
  }

  /** The call is over: nothing more is to be sent. What is queued may be on its way. */
  close(): void {
    this.#closed = true;
    this.#returnReserved();
    this.#wake();
  }

  /** The stream is gone, and what was queued with it, which is not reported as sent. */
  abandon(): void {
    this.close();
    if (this.#abandoned) return;
    this.#release(this.#unsentMessages, this.#unsentBytes);
    this.#abandoned = true;
  }

  get #full(): boolean {
    return this.#unsentBytes > MAX_UNSENT_BYTES || this.#unsentMessages > MAX_UNSENT_MESSAGES;
  }

  #wake(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.();
  }
}
