/**
 * One port for gRPC and plain HTTP. The first bytes of a connection tell which it is: gRPC begins
 * with HTTP/2's preface, of which no HTTP/1 request can be the beginning.
 */
import { lookup } from 'node:dns/promises';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { preface } from '../../http2/frames.ts';
import type { SessionMemory } from '../grpc/connection-memory.ts';
import type { HttpRouter } from './router.ts';
import { WebSockets } from './web-sockets.ts';

/** Time for a new connection to say what it wants. */
const FIRST_BYTES_TIMEOUT_MS = 10_000;
/** Time for the first HTTP/1 request of a connection, from its first byte to its end. */
const HTTP_REQUEST_TIMEOUT_MS = 30_000;
/** The same for later ones, from the answer before: clients keep connections for the next call. */
const HTTP_NEXT_REQUEST_TIMEOUT_MS = 120_000;
/** Time for the client to take an answer, a slow read included. */
const HTTP_ANSWER_TIMEOUT_MS = 60_000;
/** Request line and headers of one HTTP/1 request. */
const MAX_HTTP_HEADER_BYTES = 16 * 1024;
const MAX_HTTP_HEADERS = 100;
/** Requests that a client may send ahead of the answers; no known client sends any. */
const MAX_PIPELINED_REQUESTS = 32;
/** Plain connections at a time: watches of the gateway have their own; gRPC must not run out. */
const MAX_HTTP_CONNECTIONS = 10_000;
/** Connections of both kinds at a time. */
const MAX_CONNECTIONS = 100_000;

/** What a port serves; `metrics` is plain HTTP without the gateway. */
export type PortProtocols = 'both' | 'grpc' | 'http' | 'metrics';

export interface ClientPortOptions {
  readonly router: HttpRouter;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Largest request, on the wire. */
  readonly maxMessageBytes: number;
  /** A share of the memory of all connections for one that `close` ends. */
  openMemory(close: () => void): SessionMemory;
  /** Takes over a connection that speaks HTTP/2. @param received its first bytes */
  acceptGrpc(socket: Socket, received: Buffer): void;
  /** For tests; the defaults are named above. */
  readonly firstBytesTimeoutMs?: number;
  readonly httpRequestTimeoutMs?: number;
  readonly httpAnswerTimeoutMs?: number;
  readonly maxHttpConnections?: number;
}

export class ClientPort {
  readonly #options: ClientPortOptions;
  readonly #http: HttpServer;
  readonly #webSockets: WebSockets;
  readonly #servers: Server[] = [];
  /** Connections that do not speak HTTP/2, or not yet. */
  readonly #sockets = new Set<Socket>();
  readonly #timers = new WeakMap<Socket, Timer>();
  /** Connections of ports for metrics. */
  readonly #metricsOnly = new WeakSet<Socket>();
  /** Requests of a connection that wait for the answer to the one before them. */
  readonly #waiting = new WeakMap<Socket, (() => void)[]>();
  #httpConnections = 0;
  #stopping = false;

  constructor(options: ClientPortOptions) {
    this.#options = options;
    // Our own limits of time hold: Node's would end bodies that are streams of requests, and close
    // connections between two calls of a client.
    this.#http = createHttpServer({
      maxHeaderSize: MAX_HTTP_HEADER_BYTES,
      requestTimeout: 0,
      keepAliveTimeout: 0,
    });
    this.#http.maxHeadersCount = MAX_HTTP_HEADERS;
    this.#http.on('request', (request, response) => this.#requested(request, response));
    this.#http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      refuse(socket, error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400);
    });
    this.#http.on('connect', (_request, socket) => refuse(socket, 405));
    this.#http.on('upgrade', (request, _socket, head) => this.#upgrade(request, head));
    const { clock, logger, maxMessageBytes } = options;
    this.#webSockets = new WebSockets({
      clock,
      logger,
      maxMessageBytes,
      openMemory: (close) => options.openMemory(close),
      serve: (connection) => {
        this.#sockets.add(connection);
        connection.once('close', () => this.#sockets.delete(connection));
        this.#serveHttp(connection);
      },
    });
  }

  /** Listens on a URL (http://host:port or unix://path); resolves to where it listens. */
  async listen(url: string, protocols: PortProtocols = 'both'): Promise<AddressInfo | string> {
    // A client may half-close after its request and still wait for the answer.
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#connected(socket, protocols),
    );
    server.maxConnections = MAX_CONNECTIONS;
    const target = await listenTarget(url);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(target, () => {
        server.off('error', reject);
        server.on('error', (error) =>
          this.#options.logger.error({ error, url }, 'listener failed'),
        );
        resolve();
      });
    });
    this.#servers.push(server);
    const address = server.address();
    if (address === null) throw new Error(`not listening on ${url}`);
    return address;
  }

  /** Takes no new connections. Those over HTTP/2 are the adapter's to end. */
  close(): void {
    this.#stopping = true;
    for (const server of this.#servers) server.close();
  }

  /** Cuts off what is still open of plain HTTP. */
  async destroy(): Promise<void> {
    this.close();
    await this.#webSockets.drain();
    for (const socket of this.#sockets) socket.destroy();
  }

  #connected(socket: Socket, protocols: PortProtocols): void {
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#clear(socket);
    });
    this.#limit(socket, this.#firstBytesTimeoutMs);
    let bytes: Buffer = Buffer.alloc(0);
    const stop = this.#readChunks(socket, (chunk) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const compared = Math.min(bytes.length, preface.length);
      const isHttp2 = bytes.compare(preface, 0, compared, 0, compared) === 0;
      if (isHttp2 && compared < preface.length) return;
      stop();
      if (!isHttp2) {
        socket.unshift(bytes);
        this.#toHttp(socket, protocols);
      } else if (protocols === 'http' || protocols === 'metrics' || this.#stopping) {
        socket.destroy();
      } else {
        this.#toGrpc(socket, bytes);
      }
    });
  }

  /** Hands over what arrives until the returned function is called. */
  #readChunks(socket: Socket, take: (chunk: Buffer) => void): () => void {
    let isStopped = false;
    const onReadable = (): void => {
      while (!isStopped) {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null) return;
        take(chunk);
      }
    };
    const onEnd = (): void => {
      socket.destroy();
    };
    const onError = (error: Error): void =>
      this.#options.logger.debug({ error }, 'client connection failed');
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.on('error', onError);
    return () => {
      isStopped = true;
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('error', onError);
    };
  }

  #toGrpc(socket: Socket, received: Buffer): void {
    this.#clear(socket);
    this.#sockets.delete(socket);
    socket.allowHalfOpen = false;
    this.#options.acceptGrpc(socket, received);
  }

  #toHttp(socket: Socket, protocols: PortProtocols): void {
    if (protocols === 'grpc') {
      refuse(socket, 404);
      return;
    }
    if (this.#httpConnections >= (this.#options.maxHttpConnections ?? MAX_HTTP_CONNECTIONS)) {
      socket.destroy();
      return;
    }
    if (protocols === 'metrics') this.#metricsOnly.add(socket);
    this.#httpConnections++;
    socket.once('close', () => this.#httpConnections--);
    this.#serveHttp(socket);
  }

  #serveHttp(socket: Socket): void {
    socket.once('close', () => this.#clear(socket));
    this.#limit(socket, this.#requestTimeoutMs);
    this.#http.emit('connection', socket);
  }

  #upgrade(request: IncomingMessage, head: Buffer): void {
    const { socket } = request;
    const kind = this.#metricsOnly.has(socket)
      ? undefined
      : this.#options.router.webSocketOf(request);
    // One behind another request would mix its frames with that one's answer.
    if (kind === undefined || this.#stopping || this.#waiting.has(socket)) {
      refuse(socket, 400);
      return;
    }
    this.#clear(socket);
    this.#webSockets.accept({ request, socket, head, ...kind });
  }

  /** Takes one request of a connection at a time: all at once would starve other clients. */
  #requested(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) {
      this.#waiting.set(socket, []);
      this.#answer(request, response);
    } else if (waiting.length < MAX_PIPELINED_REQUESTS) {
      waiting.push(() => this.#answer(request, response));
    } else {
      socket.destroy();
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const restart = (): void =>
      this.#limit(socket, this.#options.httpAnswerTimeoutMs ?? HTTP_ANSWER_TIMEOUT_MS);
    restart();
    if (this.#stopping) response.setHeader('connection', 'close');
    response.once('close', () => {
      if (socket.destroyed) return;
      this.#limit(socket, this.#options.httpRequestTimeoutMs ?? HTTP_NEXT_REQUEST_TIMEOUT_MS);
      const next = this.#waiting.get(socket)?.shift();
      if (next === undefined) this.#waiting.delete(socket);
      else next();
    });
    this.#options.router.handle(request, response, {
      isMetricsOnly: this.#metricsOnly.has(socket),
      time: { restart, lift: () => this.#clear(socket) },
    });
  }

  get #firstBytesTimeoutMs(): number {
    return this.#options.firstBytesTimeoutMs ?? FIRST_BYTES_TIMEOUT_MS;
  }

  get #requestTimeoutMs(): number {
    return this.#options.httpRequestTimeoutMs ?? HTTP_REQUEST_TIMEOUT_MS;
  }

  /**
   * Cuts the connection off, or does what else is `due`, unless the next step comes within
   * `timeoutMs`, however it trickles.
   */
  #limit(socket: Socket, timeoutMs: number, due = (): void => void socket.destroy()): void {
    this.#clear(socket);
    if (socket.destroyed) return;
    this.#timers.set(socket, this.#options.clock.after(timeoutMs, due));
  }

  #clear(socket: Socket): void {
    this.#timers.get(socket)?.cancel();
    this.#timers.delete(socket);
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
};

function refuse(socket: Duplex, status: number): void {
  // Node leaves sockets of CONNECT and of upgrades without a listener: a reset would be fatal.
  socket.on('error', () => socket.destroy());
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const head = `HTTP/1.1 ${status} ${reasons[status] ?? ''}\r\n`;
  socket.end(`${head}Connection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}

/** Names are resolved to one address, IPv4 first, as Go's listeners do. */
async function listenTarget(
  url: string,
): Promise<{ host: string; port: number } | { path: string }> {
  const unix = /^unix:(?:\/\/)?(.+)$/.exec(url);
  if (unix?.[1] !== undefined) return { path: unix[1] };
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const numericPort = port === '' ? 80 : Number(port);
  const addresses = await lookup(host, { all: true });
  const address = addresses.find(({ family }) => family === 4) ?? addresses[0];
  return { host: address?.address ?? host, port: numericPort };
}
