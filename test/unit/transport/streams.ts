/** Streams without a network, for tests of what is on top of them. */
import type {
  FrameStream,
  FrameStreamEvents,
  LiveStreamOwner,
} from '../../../src/transport/stream.ts';

/** One end: what is written is kept, and `done` waits until the test lets it go. */
export class TestStream implements FrameStream {
  readonly written: Uint8Array[] = [];
  closed = false;
  paused = false;
  events: FrameStreamEvents | undefined;
  #dones: (() => void)[] = [];

  write(frame: Uint8Array, done: () => void): void {
    this.written.push(frame);
    this.#dones.push(done);
  }

  /** The network has taken everything written so far. */
  taken(): void {
    for (const done of this.#dones.splice(0)) done();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  close(): void {
    this.closed = true;
  }
}

/** An owner that keeps what it is told. */
export class TestOwner implements LiveStreamOwner {
  readonly frames: Uint8Array[] = [];
  readonly reasons: string[] = [];

  heard(): void {}

  frame(bytes: Uint8Array): void {
    this.frames.push(bytes);
  }

  closed(reason: string): void {
    this.reasons.push(reason);
  }
}
