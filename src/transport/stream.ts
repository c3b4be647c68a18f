/** What the transport needs of a network: streams of frames. gRPC provides them in production. */
import type { Clock, Timer } from '../base/clock.ts';
import { frameKinds, pingFrame } from './frames.ts';
import type { Channel } from './frames.ts';
import type { TransportLimits } from './limits.ts';

/** One end of an ordered stream of frames. */
export interface FrameStream {
  /**
   * Hands over one frame; `done` is called later, when the next may follow, and never if the stream
   * closes.
   */
  write(frame: Uint8Array, done: () => void): void;
  /** Stops and restarts reading, so that the other end has to wait. */
  pause(): void;
  resume(): void;
  /**
   * Asks the other end for a sign of life, on the connection of a dialled stream; `answered` is
   * called when it comes, or never. Absent where that cannot be asked.
   */
  probe?(answered: () => void): void;
  /** Ends the stream at once; events may still come and are ignored. */
  close(): void;
}

/** What happens on a stream; never called from within a call to it. */
export interface FrameStreamEvents {
  /** A part of a frame has come, or all of it. */
  alive?(): void;
  frame(bytes: Uint8Array): void;
  closed(reason: string): void;
}

/** Takes a stream that the other end has opened. */
export type Accept = (stream: FrameStream) => FrameStreamEvents;

/** Opens and accepts streams. */
export interface Carrier {
  /** Starts to accept; `done` gets the addresses bound, in the order of the URLs. */
  listen(accept: Accept, done: (error: Error | undefined, urls: readonly string[]) => void): void;
  dial(url: string, channel: Channel, events: FrameStreamEvents): FrameStream;
  stop(done: () => void): void;
}

/** The owner of a {@link LiveStream}. */
export interface LiveStreamOwner {
  /** Any frame came, pings included. */
  heard(sizeBytes: number): void;
  /** A frame that is not a ping. */
  frame(bytes: Uint8Array): void;
  /** Called once, unless the owner itself closed the stream. */
  closed(reason: string): void;
}

/**
 * A stream that notices when its other end has gone: both ends send a ping when they have been
 * quiet, and an end that hears nothing closes. A TCP connection over a cut cable would stay open
 * for many minutes.
 */
export class LiveStream implements FrameStreamEvents {
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #owner: LiveStreamOwner;
  #stream: FrameStream | undefined;
  #timer: Timer | undefined;
  #closed = false;
  #paused = false;
  #writes = 0;
  #wrote = false;
  #heardMs: number;
  #checkedMs: number;

  constructor(clock: Clock, limits: TransportLimits, owner: LiveStreamOwner) {
    this.#clock = clock;
    this.#limits = limits;
    this.#owner = owner;
    this.#heardMs = this.#checkedMs = clock.monotonicMs();
  }

  /**
   * Gives the stream its network; separate from construction because that needs this as its events.
   */
  bind(stream: FrameStream): void {
    this.#stream = stream;
    this.#schedule();
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  write(frame: Uint8Array, done?: () => void): void {
    if (this.#closed) return;
    this.#wrote = true;
    this.#writes++;
    this.#stream?.write(frame, () => {
      this.#writes--;
      if (!this.#closed) done?.();
    });
  }

  pause(): void {
    this.#paused = true;
    this.#stream?.pause();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#heardMs = this.#clock.monotonicMs();
    this.#stream?.resume();
  }

  probe(answered: () => void): void {
    if (!this.#closed) this.#stream?.probe?.(answered);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#stream?.close();
  }

  /** A large frame may take long on a slow way. */
  alive(): void {
    this.#heardMs = this.#clock.monotonicMs();
  }

  frame(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#heardMs = this.#clock.monotonicMs();
    this.#owner.heard(bytes.length);
    if (bytes.length === 1 && bytes[0] === frameKinds.ping) return;
    this.#owner.frame(bytes);
  }

  closed(reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#owner.closed(reason);
  }

  #schedule(): void {
    this.#timer = this.#clock.after(this.#limits.pingMs, () => {
      this.#check();
    });
  }

  #check(): void {
    const now = this.#clock.monotonicMs();
    // A process that was itself stopped has not read what waits in its sockets: it must not blame
    // the peer.
    if (now - this.#checkedMs > 2 * this.#limits.pingMs + 100) this.#heardMs = now;
    this.#checkedMs = now;
    if (!this.#paused && now - this.#heardMs > this.#limits.silenceMs) {
      this.closed(`nothing heard for ${Math.round(now - this.#heardMs)} ms`);
      return;
    }
    if (!this.#wrote && this.#writes === 0) this.write(pingFrame);
    this.#wrote = false;
    this.#schedule();
  }
}
