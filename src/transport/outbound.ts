/** Messages on their way to one peer over one channel. */
import type { Message } from '../raft/index.ts';
import { messageSizeLimit } from './codec.ts';
import { encodeBatch } from './frames.ts';
import type { TransportLimits } from './limits.ts';
import type { LiveStream } from './stream.ts';

/**
 * A bounded queue in front of a stream that the peer dialled. One frame is under way at a time;
 * what is sent meanwhile gathers and leaves as the next batch, so batches grow with load and a
 * quiet channel adds no delay. Without a stream nothing is queued: Raft sends anew, and a late
 * message would only be in its way.
 */
export class OutboundChannel {
  readonly #limits: TransportLimits;
  readonly #sentBytes: (count: number) => void;
  #stream: LiveStream | undefined;
  /** What both ends of the stream speak; 0 without a stream. */
  #version = 0;
  #queue: Message[] = [];
  #queueBytes = 0;
  #controlFrames: Uint8Array[] = [];
  #writing = false;
  /**
   * Number of the next message; goes on over streams, so that a receiver recognizes what it had.
   */
  #sequence = 1;

  constructor(limits: TransportLimits, sentBytes: (count: number) => void) {
    this.#limits = limits;
    this.#sentBytes = sentBytes;
  }

  get version(): number {
    return this.#version;
  }

  get attached(): boolean {
    return this.#stream !== undefined;
  }

  get queuedBytes(): number {
    return this.#queueBytes;
  }

  get queuedMessages(): number {
    return this.#queue.length;
  }

  /** False if the message was dropped. Nothing is written before {@link flush}. */
  offer(message: Message): boolean {
    if (this.#stream === undefined) return false;
    const size = messageSizeLimit(message);
    if (size > this.#limits.frameBytes) return false;
    if (this.#queue.length >= this.#limits.queueMessages) return false;
    if (this.#queueBytes + size > this.#limits.queueBytes && this.#queue.length > 0) return false;
    this.#queue.push(message);
    this.#queueBytes += size;
    return true;
  }

  /**
   * Sends a frame that is not a batch before the batches that wait; false if there is no stream, or
   * if too many wait.
   */
  sendFrame(frame: Uint8Array): boolean {
    if (this.#stream === undefined) return false;
    if (this.#controlFrames.length >= this.#limits.controlFrames) return false;
    this.#controlFrames.push(frame);
    this.flush();
    return true;
  }

  /** Writes the next frame unless one is under way. */
  flush(): void {
    if (this.#writing || this.#stream === undefined) return;
    const frame = this.#controlFrames.shift() ?? this.#nextBatch();
    if (frame === undefined) return;
    this.#writing = true;
    this.#sentBytes(frame.length);
    const stream = this.#stream;
    stream.write(frame, () => {
      if (stream !== this.#stream) return;
      this.#writing = false;
      this.flush();
    });
  }

  /** Takes a stream that the peer opened; an earlier one is closed. */
  attach(stream: LiveStream, version: number): void {
    this.#stream?.close();
    this.#reset();
    this.#stream = stream;
    this.#version = version;
  }

  /**
   * Gives up `stream` if it is the current one, with all that waits; true if messages were lost.
   */
  detach(stream: LiveStream): boolean {
    if (stream !== this.#stream) return false;
    const lost = this.#writing || this.#queue.length > 0;
    this.#stream = undefined;
    this.#version = 0;
    this.#reset();
    return lost;
  }

  close(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.detach(stream);
    stream.close();
  }

  #reset(): void {
    this.#queue = [];
    this.#queueBytes = 0;
    this.#controlFrames = [];
    this.#writing = false;
  }

  #nextBatch(): Uint8Array | undefined {
    if (this.#queue.length === 0) return undefined;
    let count = 0;
    let size = 0;
    for (const message of this.#queue) {
      if (count >= this.#limits.batchMessages) break;
      const next = messageSizeLimit(message);
      if (count > 0 && size + next > this.#limits.batchBytes) break;
      size += next;
      count++;
    }
    const all = count === this.#queue.length;
    const messages = all ? this.#queue : this.#queue.slice(0, count);
    this.#queue = all ? [] : this.#queue.slice(count);
    this.#queueBytes = all ? 0 : this.#queueBytes - size;
    const sequence = this.#sequence;
    this.#sequence += count;
    return encodeBatch(sequence, messages);
  }
}
