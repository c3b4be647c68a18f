/** The client's end of a connection: makes requests. */
import type { Socket } from 'node:net';
import { assert } from '../base/assert.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { ConnectionError, ErrorCode, preface, SettingId } from './frames.ts';
import type { SentField } from './header-encoder.ts';
import type { HeaderList } from './header-fields.ts';
import { SendState, type Stream, type StreamListener } from './stream.ts';

export interface ClientConnectionOptions extends ConnectionOptions {
  /** What the server may send before we say more, on a stream and on all of them. */
  readonly windowBytes: number;
}

export class ClientConnection extends Connection {
  readonly #options: ClientConnectionOptions;

  /** @param socket may still be connecting */
  constructor(socket: Socket, options: ClientConnectionOptions) {
    super(socket, options, {
      sentPreface: preface,
      settings: [[SettingId.enablePush, 0]],
      streamWindowBytes: options.windowBytes,
      windowBytes: options.windowBytes,
    });
    this.#options = options;
  }

  /** Begins a request on a connection that is not about to end; what it has to say may follow. */
  request(head: readonly SentField[], listener: StreamListener): Stream {
    assert(!this.isLeaving, 'a connection that ends takes no more requests');
    const stream = this.opened(this.lastStreamId === 0 ? 1 : this.lastStreamId + 2);
    stream.listener = listener;
    stream.sendHead(head);
    return stream;
  }

  /** The server begins no streams. */
  protected override get lastHeardStreamId(): number {
    return 0;
  }

  override dataBegins(streamId: number, bytes: number): Stream | undefined {
    const stream = super.dataBegins(streamId, bytes);
    if (stream?.hasHead !== false) return stream;
    this.abort(stream, ErrorCode.protocolError);
    return undefined;
  }

  protected override fields(streamId: number, list: HeaderList | undefined, isLast: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (streamId > this.lastStreamId) {
        throw new ConnectionError(ErrorCode.protocolError, `HEADERS on stream ${streamId}`);
      }
      this.isUnexpected(streamId);
    } else if (stream.isReceived) {
      this.abort(stream, ErrorCode.streamClosed);
    } else if (list === undefined) {
      this.abort(stream, ErrorCode.enhanceYourCalm);
    } else if (stream.hasHead) {
      this.#trailers(stream, list, isLast);
    } else {
      this.#head(stream, list, isLast);
    }
  }

  #head(stream: Stream, list: HeaderList, isLast: boolean): void {
    const isInterim = list.get(':status')?.startsWith('1') === true;
    if (!list.isAnswer || (isInterim && isLast)) {
      this.abort(stream, ErrorCode.protocolError);
      return;
    }
    // Section 8.1: the real head follows.
    if (isInterim) return;
    stream.hasHead = true;
    stream.listener?.head?.(list);
    if (isLast) this.received(stream);
  }

  #trailers(stream: Stream, list: HeaderList, isLast: boolean): void {
    if (!isLast || !list.areTrailers) {
      this.abort(stream, ErrorCode.protocolError);
      return;
    }
    stream.listener?.trailers?.(list);
    this.received(stream);
  }

  /** Whoever asked hears of the end even if he had nothing more to say. */
  protected override received(stream: Stream): void {
    if (stream.isClosed || stream.isReceived) return;
    stream.isReceived = true;
    stream.listener?.end();
    if (stream.isSent) this.close(stream);
  }

  /** The server has not heard of a stream whose head has not left. */
  override resets(stream: Stream, code: ErrorCode): void {
    if (stream.sendState === SendState.head) this.close(stream);
    else super.resets(stream, code);
  }

  protected override allSent(stream: Stream): void {
    if (stream.isReceived) this.close(stream);
  }

  /** Streams that the server says nothing of any more are over (section 6.8). */
  override goAway(lastStreamId: number, code: number, reason: string): void {
    if (code !== ErrorCode.noError) {
      const why = reason === '' ? `error ${code}` : reason;
      this.#options.failed(new Error(`the other end ended the connection: ${why}`));
      this.destroy();
      return;
    }
    for (const stream of [...this.streams.values()]) {
      if (stream.id > lastStreamId) this.close(stream);
    }
    this.leave();
  }
}
