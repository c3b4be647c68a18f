/**
 * Reaches into grpc-js where its interface offers no way: to the HTTP/2 server behind it, for
 * calls that are answered without it, for sessions, of which it shows nothing, and for the words
 * of refusals that clients know from grpc-go. A version of grpc-js that looks different inside is
 * refused at the start.
 */
import type { Server } from '@grpc/grpc-js';
import { BaseServerInterceptingCall } from '@grpc/grpc-js/build/src/server-interceptors.js';
import type {
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { StatusCode } from '../../base/errors.ts';
import { timeoutMsOf } from './deadline.ts';
import { enforcePingPolicy } from './ping-policy.ts';

interface Status {
  code: number;
  details: string;
}

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

interface ServerInternals {
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>;
}

const TOO_LARGE = /^Received message larger than max \((\d+) vs (\d+)\)$/;

/** What is patched once for the whole process, because it is the class that is patched. */
let reworded = false;

/** A message over the limit is refused in grpc-go's words: clients look for them. */
function rewordRefusals(): void {
  if (reworded) return;
  reworded = true;
  const prototype = BaseServerInterceptingCall.prototype as {
    sendStatus(status: Status): void;
  };
  const sendStatus: (status: Status) => void = Reflect.get(prototype, 'sendStatus');
  prototype.sendStatus = function (status) {
    const match = status.code === StatusCode.resourceExhausted && TOO_LARGE.exec(status.details);
    if (match) {
      const [, size = '', limit = ''] = match;
      status.details = `grpc: received message larger than max (${size} vs. ${limit})`;
    }
    sendStatus.call(this, status);
  };
}

export interface Http2Access {
  /** Takes a call over; false leaves it to grpc-js. */
  intercept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean;
  readonly clock: Clock;
  /** Shortest time between a client's pings; 0 allows any. */
  readonly minPingTimeMs: number;
  /** Whether to count a call as open for the ping policy. */
  isLong(path: string): boolean;
  failed(error: Error): void;
  /** A connection on which nothing moves for so long is asked whether it lives. */
  readonly idleProbeMs: number;
  /** How long it may take to answer that. */
  readonly probeTimeoutMs: number;
}

/** The sessions of one server. */
export class Sessions {
  readonly #clock: Clock;
  readonly #open = new Set<ServerHttp2Session>();
  #whenEmpty: (() => void) | undefined;

  /** @param server has one injector */
  constructor(server: Server, access: Http2Access) {
    this.#clock = access.clock;
    rewordRefusals();
    const http2Servers = [...((server as unknown as ServerInternals).http2Servers?.keys() ?? [])];
    const [http2Server] = http2Servers;
    assert(http2Servers.length === 1 && http2Server !== undefined, 'grpc-js hides its server');
    interceptStreams(http2Server, access);
    http2Server.on('session', (session) => this.#opened(session, access));
    http2Server.on('sessionError', (error: Error) => access.failed(error));
  }

  get count(): number {
    return this.#open.size;
  }

  /** Refuses new calls and lets open ones end; resolves when all sessions are closed. */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    const empty = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
    });
    for (const session of this.#open) session.close();
    const timer = this.#clock.after(timeoutMs, () => this.destroy());
    await empty;
    timer.cancel();
  }

  destroy(): void {
    for (const session of this.#open) session.destroy();
  }

  #opened(session: ServerHttp2Session, access: Http2Access): void {
    this.#open.add(session);
    session.once('close', () => {
      this.#open.delete(session);
      if (this.#open.size === 0) this.#whenEmpty?.();
    });
    const { idleProbeMs, probeTimeoutMs } = access;
    session.setTimeout(idleProbeMs);
    session.on('timeout', () => {
      // Node does not count the answer to a ping as a movement, so the clock is set anew.
      this.#probe(session, probeTimeoutMs, () => session.setTimeout(idleProbeMs));
    });
    if (access.minPingTimeMs <= 0) return;
    let longCalls = 0;
    session.on('stream', (stream, headers) => {
      if (!access.isLong(headers[':path'] ?? '')) return;
      longCalls++;
      stream.once('close', () => longCalls--);
    });
    const bytesWritten = (): number => (session.destroyed ? 0 : session.socket.bytesWritten);
    enforcePingPolicy(session, {
      minTimeMs: access.minPingTimeMs,
      clock: this.#clock,
      longCalls: () => longCalls,
      bytesWritten,
    });
  }

  /**
   * Closes a session that does not answer. Without that, Node would keep a connection for ever
   * whose client broke the protocol: it says so in a GOAWAY, then neither reads nor closes.
   */
  #probe(session: ServerHttp2Session, timeoutMs: number, alive: () => void): void {
    if (session.destroyed) return;
    const timer = this.#clock.after(timeoutMs, () => session.destroy());
    const sent = session.ping((error) => {
      timer.cancel();
      if (error === null) alive();
    });
    if (!sent) session.destroy();
  }
}

function interceptStreams(http2Server: Http2Server, access: Http2Access): void {
  const listeners = http2Server.listeners('stream') as StreamListener[];
  const [grpcJs] = listeners;
  assert(listeners.length === 1 && grpcJs !== undefined, 'grpc-js takes no HTTP/2 streams');
  http2Server.removeAllListeners('stream');
  http2Server.on('stream', (stream, headers) => {
    if (access.intercept(stream, headers)) return;
    const timeout = headers['grpc-timeout'];
    // grpc-js lets limits beyond 24 days overflow, and cuts the call off at once.
    if (typeof timeout === 'string' && timeoutMsOf(timeout) === Infinity) {
      delete headers['grpc-timeout'];
    }
    grpcJs(stream, headers);
  });
}
