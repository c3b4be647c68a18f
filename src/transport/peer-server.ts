/** Accepts connections of peers, and hands over the calls of gRPC that are made on them. */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { isGrpcRequest, refuse } from '../grpc/call.ts';
import type { HeaderList } from '../http2/header-fields.ts';
import { Liveness } from '../http2/liveness.ts';
import { limitedMemory, uncountedMemory } from '../http2/memory.ts';
import { ServerConnection } from '../http2/server-connection.ts';
import type { Stream } from '../http2/stream.ts';
import { certificatesOf, type PeerTls } from './peer-tls.ts';
import { hostOf, peerUrl, portOf } from './peer-url.ts';

/** Each dial has a connection of its own; anything above a few is a stranger. */
const streamsPerConnection = 8;
/** A connection may hold so much of frames of HTTP/2 that have come in part, other than data. */
const heldBytes = 256 * 1024;
/** Time for a stranger to agree on TLS. */
const tlsTimeoutMs = 10_000;
/** Frees connections of strangers that are gone; members notice on their streams, and sooner. */
const liveness = { idleMs: 10_000, timeoutMs: 5_000 };

export interface PeerServerOptions {
  readonly clock: Clock;
  /** Needed for https URLs. */
  readonly tls: PeerTls | undefined;
  /** Serves a call to a path, which may be one that nobody knows. */
  serve(stream: Stream, path: string): void;
}

export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #listeners: Server[] = [];
  /** Those that have not agreed on TLS yet, too. */
  readonly #sockets = new Set<Socket>();

  constructor(options: PeerServerOptions) {
    this.#options = options;
  }

  /** Listens on a URL; `done` gets the one that was bound, as port 0 chooses one. */
  listen(url: string, done: (error: Error | undefined, at: string) => void): void {
    let address: URL;
    let listener: Server;
    try {
      address = peerUrl(url);
      listener = this.#listener(address);
    } catch (error) {
      done(error as Error, url);
      return;
    }
    listener.on('connection', (socket: Socket) => this.#accepted(socket));
    this.#listeners.push(listener);
    const refused = (error: Error): void => {
      done(error, url);
    };
    listener.once('error', refused);
    listener.listen(portOf(address), hostOf(address), () => {
      listener.off('error', refused);
      // A connection that could not be accepted is its dialler's to try again.
      listener.on('error', () => {});
      const at = listener.address();
      const port = at === null || typeof at === 'string' ? portOf(address) : at.port;
      done(undefined, `${address.protocol}//${address.hostname}:${port}`);
    });
  }

  /** Takes no more connections and cuts off those that there are. */
  stop(): void {
    for (const listener of this.#listeners) listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @throws Error if it needs certificates that are not there */
  #listener(address: URL): Server {
    const serve = (socket: Socket): void => this.#serve(socket);
    if (address.protocol === 'http:') return createServer({ noDelay: true }, serve);
    const { tls } = this.#options;
    if (tls === undefined) throw new Error(`${address.href} needs a certificate and a key`);
    return createTlsServer(
      {
        ...certificatesOf(tls),
        noDelay: true,
        ALPNProtocols: ['h2'],
        handshakeTimeout: tlsTimeoutMs,
        requestCert: tls.requireCertificate,
        rejectUnauthorized: tls.requireCertificate,
      },
      serve,
    );
  }

  #accepted(socket: Socket): void {
    this.#sockets.add(socket);
    // An error without a listener would end the process; the end of the connection tells of it.
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #serve(socket: Socket): void {
    const { clock } = this.#options;
    const connection: ServerConnection = new ServerConnection(socket, {
      clock,
      maxConcurrentStreams: streamsPerConnection,
      received: limitedMemory(heldBytes),
      sent: uncountedMemory,
      request: (stream, headers) => this.#request(stream, headers),
      pinged() {},
      failed() {},
      closed: () => alive.stop(),
    });
    const alive = new Liveness(connection, liveness, clock);
  }

  #request(stream: Stream, headers: HeaderList): void {
    if (headers.method !== 'POST') refuse(stream, { httpStatus: 405 });
    else if (!isGrpcRequest(headers)) refuse(stream, { httpStatus: 415 });
    else this.#options.serve(stream, headers.path);
  }
}
