/**
 * The serving end of a stream between members: a gRPC call with messages both ways, on the HTTP/2
 * stream of grpc-js's server, which would take each message through a dozen layers.
 */
import {
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Timer } from '../base/clock.ts';
import { StatusCode } from '../base/errors.ts';
import { type MessageOptions, MessageStream } from './message-stream.ts';
import type { Accept, FrameStream, FrameStreamEvents } from './stream.ts';

const contentType = 'application/grpc';
/** Time for the end of a stream to arrive at a peer that may not read, before it is reset. */
const lingerMs = 1_000;

/** Whether this is a call of gRPC to `path`. */
export function isCallTo(path: string, headers: IncomingHttpHeaders): boolean {
  const isGrpc = headers['content-type']?.startsWith(contentType) === true;
  return isGrpc && headers[':path'] === path && headers[':method'] === 'POST';
}

export class ServedStream implements FrameStream {
  readonly #stream: ServerHttp2Stream;
  /** The connection that it is on; undefined if it has ended already. */
  readonly #socket: Socket | undefined;
  readonly #options: MessageOptions;
  readonly #messages: MessageStream;
  readonly #events: FrameStreamEvents;
  readonly #broken = (): void => this.#closed('connection ended');
  #open = true;
  /** The peer has ended its side. */
  #isReceived = false;
  #linger: Timer | undefined;

  constructor(
    stream: ServerHttp2Stream,
    socket: Socket | undefined,
    options: MessageOptions,
    accept: Accept,
  ) {
    this.#stream = stream;
    this.#socket = socket;
    this.#options = options;
    this.#messages = new MessageStream(stream, options, {
      frame: (bytes) => this.#events.frame(bytes),
      malformed: (reason, tooLongBytes) => this.#refuse(reason, tooLongBytes),
      caughtUp: () => this.#endIfReceived(),
    });
    // Known here at once, while the stream is told some turns of the event loop later, and what is
    // sent meanwhile is lost.
    socket?.once('end', this.#broken).once('error', this.#broken);
    this.#events = accept(this);
    stream.once('aborted', () => this.#aborted());
    stream.once('end', () => {
      this.#isReceived = true;
      this.#endIfReceived();
    });
    stream.on('error', () => this.#closed('stream failed'));
    stream.once('close', () => {
      this.#linger?.cancel();
      this.#closed('stream closed');
    });
  }

  write(frame: Uint8Array, done: () => void): void {
    if (!this.#open || this.#stream.destroyed || this.#stream.closed) return;
    if (!this.#stream.headersSent) {
      const options = { waitForTrailers: true, sendDate: false };
      this.#stream.respond({ 'content-type': contentType }, options);
    }
    this.#messages.write(frame, done);
  }

  pause(): void {
    this.#messages.pause();
  }

  resume(): void {
    this.#messages.resume();
  }

  close(): void {
    this.#end({ 'grpc-status': String(StatusCode.ok) });
  }

  /** What waits comes before the end. */
  #endIfReceived(): void {
    if (this.#isReceived && !this.#messages.isHolding) this.#closed('peer ended the stream');
  }

  #closed(reason: string): void {
    if (!this.#open) return;
    this.close();
    this.#events.closed(reason);
  }

  /** The peer has reset the stream: Node would wait until all is read that came before. */
  #aborted(): void {
    this.#closed('peer cancelled the stream');
    this.#options.clock.defer(() => this.#stream.destroy());
  }

  #refuse(reason: string, tooLongBytes: number | undefined): void {
    const isTooLong = tooLongBytes !== undefined;
    const text = isTooLong
      ? `Received message larger than max (${tooLongBytes} vs. ${this.#options.frameLimitBytes})`
      : 'compressed messages are not taken here';
    const code = isTooLong ? StatusCode.resourceExhausted : StatusCode.unimplemented;
    this.#end({ 'grpc-status': String(code), 'grpc-message': text });
    this.#events.closed(reason);
  }

  /** Says how it ends after what was written; what still comes is read and forgotten. */
  #end(trailers: OutgoingHttpHeaders): void {
    if (!this.#open) return;
    this.#open = false;
    this.#messages.close();
    // The connection may last, and see any number of streams.
    this.#socket?.off('end', this.#broken).off('error', this.#broken);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    stream.resume();
    this.#linger = this.#options.clock.after(lingerMs, () => stream.destroy());
    if (!stream.headersSent) {
      const options = { endStream: true, sendDate: false };
      stream.respond({ 'content-type': contentType, ...trailers }, options);
      return;
    }
    stream.once('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end();
  }
}
