/**
 * The dialling end of a stream between members: a gRPC call with messages both ways, made straight
 * on Node's HTTP/2. All messages of a peer arrive on one, and grpc-js's client would take each
 * through a dozen layers; it also finishes to connect for a call that has ended, and keeps that
 * connection. A stream has a connection of its own here, which ends with it.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { certificatesOf, type PeerTls } from './peer-tls.ts';
import { hostOf, portOf } from './peer-url.ts';
import { MessageStream } from './message-stream.ts';
import type { FrameStream, FrameStreamEvents } from './stream.ts';

export interface DialOptions {
  readonly address: URL;
  readonly path: string;
  readonly tls: PeerTls | undefined;
  /** What may be under way before the sender waits. */
  readonly windowBytes: number;
  /** What node:http2 may hold for the connection, in MiB. */
  readonly sessionMemoryMib: number;
  /** Longer frames end the stream. */
  readonly frameLimitBytes: number;
  readonly clock: Clock;
}

/** For the addresses of a name, one after the other: longer than a way there and back. */
const attemptMs = 1_000;

export class DialledStream implements FrameStream {
  readonly #options: DialOptions;
  readonly #events: FrameStreamEvents;
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  readonly #messages: MessageStream;
  #open = true;
  /** What ends the stream, as far as it is known. */
  #reason: string | undefined;
  /** The other end has said that it is done. */
  #isComplete = false;

  constructor(options: DialOptions, events: FrameStreamEvents) {
    this.#options = options;
    this.#events = events;
    const { address, path, tls, windowBytes, sessionMemoryMib } = options;
    const socket = socketTo(address, tls);
    this.#socket = socket;
    const session = connect(address, {
      createConnection: () => socket,
      maxSessionMemory: sessionMemoryMib,
      settings: { enablePush: false, initialWindowSize: windowBytes },
    });
    this.#session = session;
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(windowBytes);
    });
    session.on('error', (error: Error) => this.#ended(messageOf(error)));
    session.once('close', () => this.#ended('connection ended'));
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      ':authority': address.host,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream = stream;
    this.#messages = new MessageStream(stream, options, {
      frame: (bytes) => events.frame(bytes),
      malformed: (reason) => this.#ended(reason),
      caughtUp: () => {
        // It may have come to its end meanwhile.
        if (stream.destroyed) this.#ended('stream closed');
      },
    });
    stream.on('response', (headers) => {
      const httpStatus = headers[':status'];
      if (httpStatus !== 200) this.#reason = `HTTP status ${httpStatus}`;
      else this.#noteStatus(headers);
    });
    stream.on('trailers', (trailers) => this.#noteStatus(trailers as IncomingHttpHeaders));
    stream.on('error', (error: Error) => (this.#reason ??= messageOf(error)));
    // The other end has sent all that it will.
    stream.once('end', () => {
      const isBroken = session.destroyed || stream.aborted;
      this.#ended(isBroken ? 'connection ended' : 'peer ended the stream');
    });
    stream.once('close', () => this.#ended('stream closed'));
  }

  write(frame: Uint8Array, done: () => void): void {
    this.#messages.write(frame, done);
  }

  pause(): void {
    this.#messages.pause();
  }

  resume(): void {
    this.#messages.resume();
  }

  probe(answered: () => void): void {
    if (!this.#open || this.#session.connecting || this.#session.destroyed) return;
    this.#session.ping((error) => {
      if (error === null && this.#open) answered();
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#messages.close();
    const isConnecting = this.#session.connecting;
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#session.destroy();
    // Without a connection, the session would wait for one to end it.
    if (isConnecting) this.#socket.destroy();
  }

  #noteStatus(headers: IncomingHttpHeaders): void {
    const status = headers['grpc-status']?.toString();
    if (status === undefined) return;
    this.#isComplete = true;
    const details = headers['grpc-message']?.toString() ?? '';
    if (status === '0') this.#reason = 'peer ended the stream';
    else this.#reason = details === '' ? `gRPC status ${status}` : plain(details);
  }

  /** Told once, and not from within a call; an orderly end after what came before it. */
  #ended(reason: string): void {
    if (!this.#open) return;
    if (this.#isComplete && this.#messages.isHolding) return;
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
  if (address.protocol === 'http:') return connectSocket(target);
  const certificates = tls === undefined ? {} : certificatesOf(tls);
  return connectTls({
    ...target,
    ...certificates,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: true,
    // Names only may be given so (RFC 6066).
    ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
  });
}

/** Of what an error of HTTP/2 comes from; of those of a name's addresses the first one's. */
function messageOf(error: Error): string {
  if (error.cause instanceof Error) return messageOf(error.cause);
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  return first instanceof Error ? first.message : error.message;
}

/** Without the escapes of gRPC's status messages. */
function plain(details: string): string {
  try {
    return decodeURIComponent(details);
  } catch {
    return details;
  }
}
