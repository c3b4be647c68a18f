/** The server's end of a connection: takes requests. */
import type { Socket } from 'node:net';
import { DeferredCalls } from '../base/deferred-calls.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { ErrorCode, Flag, preface, SettingId } from './frames.ts';
import type { HeaderList } from './header-fields.ts';
import type { Stream } from './stream.ts';

const streamWindowBytes = 256 * 1024;
const windowBytes = 1024 * 1024;
/** Of a request's fields, what is too little to be counted. */
const smallListBytes = 4 * 1024;
/** Requests whose streams are closed may be worked on beyond what may be open. */
const maxLingering = 1_000;

export interface ServerConnectionOptions extends ConnectionOptions {
  /** Streams that the client may have open at a time. */
  readonly maxConcurrentStreams: number;
  /** Serves a request: gives its stream a listener, or answers at once. */
  request(stream: Stream, headers: HeaderList): void;
  /** The client has sent a ping, which is answered. */
  pinged(): void;
}

export class ServerConnection extends Connection {
  readonly #options: ServerConnectionOptions;
  /** Resets of streams whose answers have ended before the client's side. */
  readonly #unread: DeferredCalls;

  /** @param socket whose first bytes may have been read, and are given to `receive` */
  constructor(socket: Socket, options: ServerConnectionOptions) {
    super(socket, options, {
      expectedPreface: preface,
      settings: [[SettingId.maxConcurrentStreams, options.maxConcurrentStreams]],
      streamWindowBytes,
      windowBytes,
    });
    this.#options = options;
    this.#unread = new DeferredCalls(options.clock);
  }

  protected override get lastHeardStreamId(): number {
    return this.lastStreamId;
  }

  protected override fields(streamId: number, list: HeaderList | undefined, isLast: boolean): void {
    if (streamId <= this.lastStreamId) {
      this.#trailers(streamId, list, isLast);
      return;
    }
    // What comes after we have said which stream is the last, the client repeats elsewhere.
    if (this.isLeaving) return;
    this.lastStreamId = streamId;
    if (!this.#hasRoom) this.refuse(streamId, ErrorCode.refusedStream);
    else if (list === undefined) this.refuse(streamId, ErrorCode.enhanceYourCalm);
    else if (list.fault !== undefined) this.refuse(streamId, ErrorCode.protocolError);
    else this.#open(streamId, list, isLast);
  }

  get #hasRoom(): boolean {
    const { maxConcurrentStreams } = this.#options;
    if (this.streams.size >= maxConcurrentStreams) return false;
    return this.streams.size + this.lingering < maxConcurrentStreams + maxLingering;
  }

  #open(streamId: number, list: HeaderList, isLast: boolean): void {
    const heldBytes = list.weight > smallListBytes ? list.weight : 0;
    if (heldBytes > 0 && !this.#options.received.take(heldBytes)) {
      this.refuse(streamId, ErrorCode.enhanceYourCalm);
      return;
    }
    const stream = this.opened(streamId);
    stream.heldBytes = heldBytes;
    this.#options.request(stream, list);
    if (isLast) this.received(stream);
  }

  #trailers(streamId: number, list: HeaderList | undefined, isLast: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) this.isUnexpected(streamId);
    else if (stream.isReceived) this.abort(stream, ErrorCode.streamClosed);
    else if (!isLast || list?.areTrailers !== true) this.abort(stream, ErrorCode.protocolError);
    else this.received(stream);
  }

  protected override allSent(stream: Stream): void {
    if (stream.isReceived) {
      this.close(stream);
      return;
    }
    // A client that goes on sending is told that nobody listens. One turn for its own end, which is
    // usually on its way.
    this.#unread.add(() => stream.reset());
  }

  override pinged(payload: Uint8Array, flags: number): void {
    super.pinged(payload, flags);
    if ((flags & Flag.acknowledgement) === 0) this.#options.pinged();
  }

  override goAway(): void {
    this.leave();
  }
}
