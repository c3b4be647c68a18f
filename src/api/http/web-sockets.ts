/**
 * The gateway over WebSocket, as etcd serves it (its grpc-websocket-proxy): each message of the
 * client is a JSON value of a request's body, each line of the answer is a message back. Behind the
 * WebSocket is one request of HTTP/1.1 on a connection within the process, so that limits, origins
 * and errors are those of any other request.
 */
import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
} from 'node:http';
import type { Socket } from 'node:net';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { maxJsonBytes } from '../gateway/json-body.ts';
import type { ConnectionMemory, SessionMemory } from '../grpc/connection-memory.ts';
import { connectedPair } from './connected-pair.ts';

/** Answers that a client has not taken; more are not read before it has. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** Time for a client to take the last that was sent. */
const LAST_BYTES_MS = 60_000;
/** How soon a client that is gone without a word is found out. */
const KEEP_ALIVE_MS = 30_000;
/** Time for clients to take their last answers when the server stops. */
const DRAIN_MS = 1_000;
/** Close codes of RFC 6455, section 7.4.1. */
const NORMAL_CLOSURE = 1000;
const INTERNAL_ERROR = 1011;
const newline = '\n'.charCodeAt(0);

export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** What came after the headers. */
  readonly head: Buffer;
  /** Whether the call takes more than one request. */
  readonly takesMany: boolean;
}

export interface WebSocketsOptions {
  /** Answers the requests of HTTP/1.1 that come over a connection. */
  readonly serve: (connection: Socket) => void;
  /** Of the largest request, on the wire of gRPC. */
  readonly maxMessageBytes: number;
  /** A share of the memory of all connections for one that `close` ends. */
  readonly openMemory: (close: () => void) => SessionMemory;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class WebSockets {
  readonly #server: WebSocketServer;
  readonly #serve: (connection: Socket) => void;
  readonly #openMemory: (close: () => void) => SessionMemory;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #open = new Set<WebSocket>();
  #whenEmpty: (() => void) | undefined;

  constructor({ serve, maxMessageBytes, openMemory, clock, logger }: WebSocketsOptions) {
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: maxJsonBytes(maxMessageBytes),
      // Browsers can send a token in no other way than as `Sec-WebSocket-Protocol: Bearer, TOKEN`.
      handleProtocols: (protocols) => (protocols.has('Bearer') ? 'Bearer' : false),
    });
    this.#serve = serve;
    this.#openMemory = openMemory;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Waits a little for clients to take what they were answered, once their calls have ended. */
  async drain(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(DRAIN_MS, resolve);
      this.#whenEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Answers the handshake, or refuses it, and then serves the call. */
  accept({ request: upgrade, socket, head, takesMany }: Upgrade): void {
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#server.handleUpgrade(upgrade, socket, head, (client) => {
      // What goes wrong closes it, and that is all there is to do.
      client.on('error', () => undefined);
      client.pause();
      this.#open.add(client);
      const memory = this.#openMemory(() => client.terminate());
      countIncomplete(client, socket, memory.requests);
      client.on('close', () => {
        this.#open.delete(client);
        memory.requests.closed();
        memory.answers.closed();
        if (this.#open.size === 0) this.#whenEmpty?.();
      });
      this.#begin(client, upgrade, takesMany).catch((error: unknown) => {
        this.#logger.warn({ error }, 'cannot serve a WebSocket');
        close(client, INTERNAL_ERROR);
      });
    });
  }

  async #begin(client: WebSocket, upgrade: IncomingMessage, takesMany: boolean): Promise<void> {
    const [near, far] = await connectedPair();
    try {
      this.#serve(far);
      const call = request({
        createConnection: () => near,
        method: 'POST',
        path: upgrade.url,
        headers: headersOf(upgrade),
        setHost: false,
      });
      call.on('response', (answer) => this.#forward(answer, client));
      proxy(client, call, takesMany);
    } catch (error) {
      near.destroy();
      far.destroy();
      throw error;
    }
  }

  /**
   * Sends the answer's lines, in fragments as they come, so that no more than a little waits here;
   * the rest waits, and is counted, where any other answer does.
   */
  #forward(answer: IncomingMessage, client: WebSocket): void {
    let isBegun = false;
    let underWay = 0;
    let timer: Timer | undefined;
    const finish = (): void => {
      timer?.cancel();
      close(client, NORMAL_CLOSURE);
    };
    const send = (piece: Buffer, fin: boolean): void => {
      if (piece.length === 0 && !isBegun) return;
      isBegun = !fin;
      underWay++;
      client.send(piece, { binary: false, fin }, () => {
        underWay--;
        if (underWay === 0 && answer.readableEnded) finish();
        else if (client.bufferedAmount <= MAX_BUFFERED_BYTES) answer.resume();
      });
    };
    answer.on('data', (chunk: Buffer) => {
      let from = 0;
      for (let to = chunk.indexOf(newline); to >= 0; to = chunk.indexOf(newline, from)) {
        send(chunk.subarray(from, to), true);
        from = to + 1;
      }
      send(chunk.subarray(from), false);
      if (client.bufferedAmount > MAX_BUFFERED_BYTES) answer.pause();
    });
    answer.on('end', () => {
      send(Buffer.alloc(0), true);
      if (underWay === 0) finish();
      else timer = this.#clock.after(LAST_BYTES_MS, () => client.terminate());
    });
    answer.on('error', () => close(client, INTERNAL_ERROR));
    client.on('close', () => timer?.cancel());
  }
}

/** Bytes around what a ping carries: a header and a mask (RFC 6455, section 5.2). */
const CONTROL_FRAME_BYTES = 6;

/** Counts what has come of messages that are not complete, and ends a client with too much. */
function countIncomplete(client: WebSocket, socket: Socket, memory: ConnectionMemory): void {
  let bytes = 0;
  const release = (most: number): void => {
    const released = Math.min(most, bytes);
    bytes -= released;
    memory.release(released);
  };
  // Before the listener that reads messages from it: what completes one counts with it.
  socket.prependListener('data', (chunk: Buffer) => {
    if (memory.take(chunk.length)) bytes += chunk.length;
    else client.terminate();
  });
  client.on('message', () => release(bytes));
  for (const name of ['ping', 'pong'] as const) {
    client.on(name, (data: Buffer) => release(data.length + CONTROL_FRAME_BYTES));
  }
  client.on('close', () => release(bytes));
}

/** Sends what the client says as the body of a request. */
function proxy(client: WebSocket, call: ClientRequest, takesMany: boolean): void {
  call.flushHeaders();
  call.on('error', () => close(client, INTERNAL_ERROR));
  call.on('drain', () => client.resume());
  client.on('message', (data: RawData) => {
    const isOver = call.destroyed || call.writableEnded;
    if (isOver || client.readyState !== WebSocket.OPEN) return;
    if (!takesMany) {
      call.end(data);
      return;
    }
    call.write(data);
    if (!call.write('\n')) client.pause();
  });
  client.on('close', () => call.destroy());
  if (client.readyState === WebSocket.OPEN) client.resume();
  else call.destroy();
}

/** A client that is not read from would never be heard to agree. */
function close(client: WebSocket, code: number): void {
  client.close(code);
  client.resume();
}

/** Without what only belongs to the handshake. */
function headersOf({ headers }: IncomingMessage): OutgoingHttpHeaders {
  const { 'sec-websocket-protocol': protocols = '', ...rest } = headers;
  const kept: OutgoingHttpHeaders = { 'content-type': 'application/json' };
  for (const [name, value] of Object.entries(rest)) {
    const isOurs = /^(connection|upgrade|content-|transfer-encoding$|sec-websocket-)/.test(name);
    if (!isOurs) kept[name] = value;
  }
  const token = /^Bearer\s*,\s*(.+)$/.exec(protocols)?.[1];
  if (token !== undefined) kept['authorization'] = `Bearer ${token.trim()}`;
  return kept;
}
