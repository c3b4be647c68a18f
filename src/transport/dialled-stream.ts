/**
 * The dialling end of a stream between members: a gRPC call with messages both ways, on a
 * connection of its own, which ends with it.
 */
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { plainMessage, requestHead } from '../grpc/call.ts';
import { writeMessage } from '../grpc/message.ts';
import { ClientConnection } from '../http2/client-connection.ts';
import type { HeaderList } from '../http2/header-fields.ts';
import { limitedMemory, uncountedMemory } from '../http2/memory.ts';
import type { Stream, StreamListener } from '../http2/stream.ts';
import { MessageReader } from './message-reader.ts';
import { certificatesOf, type PeerTls } from './peer-tls.ts';
import { hostOf, portOf } from './peer-url.ts';
import type { FrameStream, FrameStreamEvents } from './stream.ts';

export interface DialOptions {
  readonly address: URL;
  readonly path: string;
  readonly tls: PeerTls | undefined;
  /** What may be under way before the sender waits. */
  readonly windowBytes: number;
  /** Longer frames end the stream. */
  readonly frameLimitBytes: number;
  readonly clock: Clock;
}

/** For the addresses of a name, one after the other: longer than a way there and back. */
const attemptMs = 1_000;
/** HTTP/2 may hold so much of frames that have come in part, other than data. */
const heldBytes = 256 * 1024;

export class DialledStream implements FrameStream, StreamListener {
  readonly #options: DialOptions;
  readonly #events: FrameStreamEvents;
  readonly #socket: Socket;
  readonly #connection: ClientConnection;
  readonly #stream: Stream;
  readonly #reader: MessageReader;
  #open = true;
  /** What ends the stream, as far as it is known. */
  #reason: string | undefined;
  /** The other end has said that it is done. */
  #isComplete = false;
  /** Nothing more comes. */
  #isOver = false;
  #isProbing = false;

  constructor(options: DialOptions, events: FrameStreamEvents) {
    this.#options = options;
    this.#events = events;
    const { address, path, tls, windowBytes, clock } = options;
    this.#socket = socketTo(address, tls);
    this.#connection = new ClientConnection(this.#socket, {
      clock,
      windowBytes,
      received: limitedMemory(heldBytes),
      sent: uncountedMemory,
      failed: (error) => (this.#reason ??= messageOf(error)),
      closed: () => this.#ended('connection ended'),
    });
    this.#stream = this.#connection.request(requestHead(address, path), this);
    this.#reader = new MessageReader(this.#stream, options, {
      frame: (bytes) => events.frame(bytes),
      malformed: (reason) => this.#ended(reason),
      caughtUp: () => {
        // It may have come to its end meanwhile.
        if (this.#isOver) this.#ended('stream closed');
      },
    });
  }

  write(frame: Uint8Array, done: () => void): void {
    if (!this.#open) return;
    writeMessage(this.#stream, frame, () => {
      if (this.#open) done();
    });
  }

  /** Says that nothing more will be written. */
  finish(): void {
    this.#stream.end([]);
  }

  pause(): void {
    this.#reader.pause();
  }

  resume(): void {
    this.#reader.resume();
  }

  probe(answered: () => void): void {
    if (!this.#open || this.#socket.connecting || this.#isProbing) return;
    this.#isProbing = true;
    this.#connection.ping(() => {
      this.#isProbing = false;
      if (this.#open) answered();
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#reader.close();
    this.#connection.destroy();
  }

  head(fields: HeaderList): void {
    const status = fields.get(':status');
    if (status === '200') this.#noteStatus(fields);
    else this.#reason = `HTTP status ${status}`;
  }

  data(bytes: Buffer, start: number, end: number): void {
    this.#events.alive?.();
    this.#reader.receive(bytes, start, end);
  }

  trailers(fields: HeaderList): void {
    this.#noteStatus(fields);
  }

  end(): void {
    this.#isOver = true;
    this.#ended('peer ended the stream');
  }

  closed(): void {
    this.#isOver = true;
    const { isReset, fault } = this.#stream;
    if (fault !== undefined) this.#reason ??= `peer broke HTTP/2: error ${fault}`;
    this.#ended(isReset ? 'peer reset the stream' : 'connection ended');
  }

  #noteStatus(fields: HeaderList): void {
    const status = fields.get('grpc-status');
    if (status === undefined) return;
    this.#isComplete = true;
    const details = fields.get('grpc-message') ?? '';
    if (status === '0') this.#reason = 'peer ended the stream';
    else this.#reason = details === '' ? `gRPC status ${status}` : plainMessage(details);
  }

  /** Told once, and not from within a call; an orderly end after what came before it. */
  #ended(reason: string): void {
    if (!this.#open) return;
    if (this.#isComplete && this.#reader.isHolding) return;
    this.close();
    const told = this.#reason ?? reason;
    this.#options.clock.defer(() => this.#events.closed(told));
  }
}

function socketTo(address: URL, tls: PeerTls | undefined): Socket {
  const target = {
    host: hostOf(address),
    port: portOf(address),
    autoSelectFamilyAttemptTimeout: attemptMs,
  };
  if (address.protocol === 'http:') return connectSocket(target).setNoDelay();
  const certificates = tls === undefined ? {} : certificatesOf(tls);
  return connectTls({
    ...target,
    ...certificates,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: true,
    // Names only may be given so (RFC 6066).
    ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
  }).setNoDelay();
}

/** Of the errors of a name's addresses the first one's. */
function messageOf(error: Error): string {
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  return first instanceof Error ? first.message : error.message;
}
