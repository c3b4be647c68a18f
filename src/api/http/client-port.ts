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
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { HttpRouter } from './router.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Time for a new connection to say what it wants. */
const FIRST_BYTES_TIMEOUT_MS = 10_000;
/** Time for one HTTP/1 request, from its first or the previous one's last byte to its end. */
const HTTP_REQUEST_TIMEOUT_MS = 30_000;
/** Time for the client to take an answer, a slow read included. */
const HTTP_ANSWER_TIMEOUT_MS = 60_000;
/** Request line and headers of one HTTP/1 request. */
const MAX_HTTP_HEADER_BYTES = 16 * 1024;
const MAX_HTTP_HEADERS = 100;
/** Requests that a client may send ahead of the answers; no known client sends any. */
const MAX_PIPELINED_REQUESTS = 32;
/** Plain connections at a time: probes and scrapers need few, and gRPC must not run out. */
const MAX_HTTP_CONNECTIONS = 1_000;
/** Connections of both kinds at a time. */
const MAX_CONNECTIONS = 100_000;

/** What a port serves. */
export type PortProtocols = 'both' | 'grpc' | 'http';

export interface ClientPortOptions {
  readonly router: HttpRouter;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Takes over a connection that speaks HTTP/2. */
  acceptGrpc(socket: Socket): void;
  /** For tests; the defaults are named above. */
  readonly firstBytesTimeoutMs?: number;
  readonly httpRequestTimeoutMs?: number;
}

export class ClientPort {
  readonly #options: ClientPortOptions;
  readonly #http: HttpServer;
  readonly #servers: Server[] = [];
  /** Connections that do not speak HTTP/2, or not yet. */
  readonly #sockets = new Set<Socket>();
  readonly #httpTimers = new WeakMap<Socket, Timer>();
  /** Requests of a connection that wait for the answer to the one before them. */
  readonly #waiting = new WeakMap<Socket, (() => void)[]>();
  #httpConnections = 0;
  #stopping = false;

  constructor(options: ClientPortOptions) {
    this.#options = options;
    this.#http = createHttpServer({ maxHeaderSize: MAX_HTTP_HEADER_BYTES });
    this.#http.maxHeadersCount = MAX_HTTP_HEADERS;
    this.#http.on('request', (request, response) => this.#requested(request, response));
    this.#http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      refuse(socket, error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400);
    });
    this.#http.on('connect', (_request, socket) => refuse(socket, 405));
    // Without a listener Node would hold the connection; requests to upgrade are answered plainly.
    this.#http.on('upgrade', (_request, socket) => refuse(socket, 400));
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

  /** Takes no new connections. Those that speak gRPC are the adapter's to end. */
  close(): void {
    this.#stopping = true;
    for (const server of this.#servers) server.close();
  }

  /** Cuts off what is still open of plain HTTP. */
  destroy(): void {
    this.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #connected(socket: Socket, protocols: PortProtocols): void {
    const { logger } = this.#options;
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#clear(socket);
    });
    const onError = (error: Error): void => logger.debug({ error }, 'client connection failed');
    socket.on('error', onError);
    this.#limit(socket, this.#options.firstBytesTimeoutMs ?? FIRST_BYTES_TIMEOUT_MS);
    const received: Buffer[] = [];
    let length = 0;
    const onReadable = (): void => {
      for (;;) {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null) return;
        received.push(chunk);
        length += chunk.length;
        const bytes = received.length === 1 ? chunk : Buffer.concat(received, length);
        const compared = Math.min(length, PREFACE.length);
        const matches = bytes.compare(PREFACE, 0, compared, 0, compared) === 0;
        if (matches && compared < PREFACE.length) continue;
        socket.off('readable', onReadable);
        socket.off('end', onEnd);
        socket.off('error', onError);
        socket.unshift(bytes);
        if (matches) this.#toGrpc(socket, protocols);
        else this.#toHttp(socket, protocols);
        return;
      }
    };
    const onEnd = (): void => {
      socket.destroy();
    };
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
  }

  #toGrpc(socket: Socket, protocols: PortProtocols): void {
    this.#clear(socket);
    this.#sockets.delete(socket);
    if (protocols === 'http' || this.#stopping) {
      socket.destroy();
      return;
    }
    socket.allowHalfOpen = false;
    this.#options.acceptGrpc(socket);
  }

  #toHttp(socket: Socket, protocols: PortProtocols): void {
    if (protocols === 'grpc') {
      socket.on('error', () => socket.destroy());
      refuse(socket, 404);
      return;
    }
    if (this.#httpConnections >= MAX_HTTP_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#httpConnections++;
    socket.once('close', () => {
      this.#httpConnections--;
      this.#clear(socket);
    });
    this.#limit(socket, this.#requestTimeoutMs);
    this.#http.emit('connection', socket);
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
    this.#limit(socket, HTTP_ANSWER_TIMEOUT_MS);
    if (this.#stopping) response.setHeader('connection', 'close');
    response.once('close', () => {
      if (socket.destroyed) return;
      this.#limit(socket, this.#requestTimeoutMs);
      const next = this.#waiting.get(socket)?.shift();
      if (next === undefined) this.#waiting.delete(socket);
      else next();
    });
    this.#options.router.handle(request, response);
  }

  get #requestTimeoutMs(): number {
    return this.#options.httpRequestTimeoutMs ?? HTTP_REQUEST_TIMEOUT_MS;
  }

  /** Cuts the connection off unless the next step comes within `timeoutMs`, however it trickles. */
  #limit(socket: Socket, timeoutMs: number): void {
    this.#clear(socket);
    if (socket.destroyed) return;
    const timer = this.#options.clock.after(timeoutMs, () => socket.destroy());
    this.#httpTimers.set(socket, timer);
  }

  #clear(socket: Socket): void {
    this.#httpTimers.get(socket)?.cancel();
    this.#httpTimers.delete(socket);
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
};

function refuse(
  socket: { writable: boolean; end(text: string, done: () => void): unknown; destroy(): unknown },
  status: number,
): void {
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
