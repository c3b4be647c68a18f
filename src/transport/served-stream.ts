/** The serving end of a stream between members: a gRPC call with messages both ways. */
import type { Timer } from '../base/clock.ts';
import { StatusCode } from '../base/errors.ts';
import { answerHead, refuse, trailersOf, type StatusObject } from '../grpc/call.ts';
import { writeMessage } from '../grpc/message.ts';
import { ErrorCode } from '../http2/frames.ts';
import type { Stream, StreamListener } from '../http2/stream.ts';
import { type MessageOptions, MessageReader } from './message-reader.ts';
import type { Accept, FrameStream, FrameStreamEvents } from './stream.ts';

/** Time for the end of a stream to arrive at a peer that may not read, before it is reset. */
const lingerMs = 1_000;

export class ServedStream implements FrameStream, StreamListener {
  readonly #stream: Stream;
  readonly #options: MessageOptions;
  readonly #reader: MessageReader;
  readonly #events: FrameStreamEvents;
  #open = true;
  /** The peer has ended its side. */
  #isReceived = false;
  #linger: Timer | undefined;

  constructor(stream: Stream, options: MessageOptions, accept: Accept) {
    this.#stream = stream;
    this.#options = options;
    this.#reader = new MessageReader(stream, options, {
      frame: (bytes) => this.#events.frame(bytes),
      malformed: (reason, tooLongBytes) => this.#refuse(reason, tooLongBytes),
      caughtUp: () => this.#endIfReceived(),
    });
    this.#events = accept(this);
    stream.listener = this;
  }

  write(frame: Uint8Array, done: () => void): void {
    const stream = this.#stream;
    if (!this.#open || stream.isClosed) return;
    if (!stream.hasBegun) stream.sendHead(answerHead);
    writeMessage(stream, frame, () => {
      if (this.#open) done();
    });
  }

  pause(): void {
    this.#reader.pause();
  }

  resume(): void {
    this.#reader.resume();
  }

  close(): void {
    this.#end({ code: StatusCode.ok, details: '' });
  }

  data(bytes: Buffer, start: number, end: number): void {
    this.#events.alive?.();
    this.#reader.receive(bytes, start, end);
  }

  end(): void {
    this.#isReceived = true;
    this.#endIfReceived();
  }

  closed(): void {
    this.#linger?.cancel();
    this.#over(this.#stream.isReset ? 'peer cancelled the stream' : 'connection ended');
  }

  /** What waits comes before the end. */
  #endIfReceived(): void {
    if (this.#isReceived && !this.#reader.isHolding) this.#over('peer ended the stream');
  }

  #over(reason: string): void {
    if (!this.#open) return;
    this.close();
    this.#events.closed(reason);
  }

  #refuse(reason: string, tooLongBytes: number | undefined): void {
    const isTooLong = tooLongBytes !== undefined;
    const details = isTooLong
      ? `Received message larger than max (${tooLongBytes} vs. ${this.#options.frameLimitBytes})`
      : 'compressed messages are not taken here';
    this.#end({
      code: isTooLong ? StatusCode.resourceExhausted : StatusCode.unimplemented,
      details,
    });
    this.#events.closed(reason);
  }

  /** Says how it ends after what was written; what still comes is read and forgotten. */
  #end(status: StatusObject): void {
    if (!this.#open) return;
    this.#open = false;
    this.#reader.close();
    const stream = this.#stream;
    if (stream.isClosed) return;
    if (stream.hasBegun) stream.end(trailersOf(status));
    else refuse(stream, status);
    this.#linger = this.#options.clock.after(lingerMs, () => stream.reset(ErrorCode.cancel));
  }
}
