/** Sends the answers of a stream no faster than the client takes them. */
import type { Counter } from '../../base/metrics.ts';
import type { StatusObject } from './status.ts';

/** Bytes of one stream that may wait to be sent; a larger message waits alone. */
export const MAX_UNSENT_BYTES = 1024 * 1024;
/** grpc-js queues messages one by one: more of them would wait without use. */
const MAX_UNSENT_MESSAGES = 128;

/** The part of a grpc-js stream call that is needed here. */
export interface WritableCall {
  write(bytes: Uint8Array, written: (error?: Error | null) => void): boolean;
  end(): unknown;
  emit(event: 'error', status: StatusObject): boolean;
}

export class ResponseWriter {
  readonly #call: WritableCall;
  readonly #sentBytes: Counter;
  #unsentBytes = 0;
  #unsentMessages = 0;
  #closed = false;
  #waiter: (() => void) | undefined;

  constructor(call: WritableCall, sentBytes: Counter) {
    this.#call = call;
    this.#sentBytes = sentBytes;
  }

  /** Whether nobody listens any more. */
  isClosed(): boolean {
    return this.#closed;
  }

  /** Queues one message. Returns undefined if the next may follow at once, else when it may. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#closed) return undefined;
    const { length } = bytes;
    this.#unsentBytes += length;
    this.#unsentMessages++;
    this.#call.write(bytes, () => {
      this.#unsentBytes -= length;
      this.#unsentMessages--;
      this.#sentBytes.increment(length);
      if (!this.#full) this.#wake();
    });
    if (!this.#full) return undefined;
    return new Promise((resolve) => {
      this.#waiter = resolve;
    });
  }

  /** Ends the stream with a status, after what is queued. */
  finish(status: StatusObject | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    if (status === undefined) this.#call.end();
    else this.#call.emit('error', status);
    this.#wake();
  }

  /** The client is gone: nothing more can be sent. */
  abandon(): void {
    this.#closed = true;
    this.#wake();
  }

  get #full(): boolean {
    return this.#unsentBytes > MAX_UNSENT_BYTES || this.#unsentMessages > MAX_UNSENT_MESSAGES;
  }

  #wake(): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.();
  }
}
