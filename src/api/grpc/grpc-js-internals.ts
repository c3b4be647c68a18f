/**
 * Reaches into grpc-js where its interface offers no way: to the HTTP/2 server behind it, for
 * calls, which are answered without it, and for sessions, of which it shows nothing. A version of
 * grpc-js that looks different inside is refused at the start.
 */
import type { Server } from '@grpc/grpc-js';
import type {
  Http2Session,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import { assert } from '../../base/assert.ts';
import { ChurnMap, ChurnSet } from '../../base/churn.ts';
import type { Clock } from '../../base/clock.ts';
import { http2ServersOf, takeStreams } from '../../transport/grpc-js-streams.ts';
import { MemoryBudget, type MemoryLimits, type SessionMemory } from './connection-memory.ts';
import { enforcePingPolicy } from './ping-policy.ts';

export interface Http2Access {
  /** Serves a call. */
  serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void;
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
  readonly requestLimits: MemoryLimits;
  readonly answerLimits: MemoryLimits;
  /** A connection is closed for the memory that it holds. */
  closingFor(heldBytes: number): void;
}

interface SessionState {
  streams: Map<number, unknown>;
  pendingStreams: Set<unknown>;
}

/** The name that Node gives to the key of a session's state. */
const stateName = 'state';

/**
 * Has a session without streams keep them in collections that leave nothing behind, see churn.ts. A
 * version of Node that looks different inside goes on as it is.
 */
export function forgetStreamsSooner(session: Http2Session): boolean {
  const key = Object.getOwnPropertySymbols(session).find(
    ({ description }) => description === stateName,
  );
  const state = key && (session as unknown as Record<symbol, Partial<SessionState>>)[key];
  // They are of Node's own kinds of Map and Set. Anything else has no size.
  if (state?.streams?.size !== 0 || state.pendingStreams?.size !== 0) return false;
  state.streams = new ChurnMap();
  state.pendingStreams = new ChurnSet();
  return true;
}

/** The sessions of one server. */
export class Sessions {
  readonly #clock: Clock;
  readonly #open = new Set<ServerHttp2Session>();
  readonly #requests: MemoryBudget;
  readonly #answers: MemoryBudget;
  readonly #memory = new WeakMap<Http2Session, SessionMemory>();
  /** Of streams whose connection is gone already. */
  readonly #lost: SessionMemory;
  #whenEmpty: (() => void) | undefined;

  /** @param server has one injector */
  constructor(server: Server, access: Http2Access) {
    const { clock } = access;
    this.#clock = clock;
    const closing = (heldBytes: number): void => access.closingFor(heldBytes);
    this.#requests = new MemoryBudget({ limits: access.requestLimits, clock, closing });
    this.#answers = new MemoryBudget({ limits: access.answerLimits, clock, closing });
    this.#lost = this.openMemory(() => {});
    const [http2Server, ...others] = http2ServersOf(server);
    assert(http2Server !== undefined && others.length === 0, 'there are several injectors');
    takeStreams(http2Server, (stream, headers) => access.serve(stream, headers));
    http2Server.on('session', (session) => this.#opened(session, access));
    http2Server.on('sessionError', (error: Error) => access.failed(error));
  }

  get count(): number {
    return this.#open.size;
  }

  get unsentBytes(): number {
    return this.#answers.heldBytes;
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

  /** Memory for a connection that ends itself when it must close; it is told of the end. */
  openMemory(close: () => void): SessionMemory {
    return { requests: this.#requests.open(close), answers: this.#answers.open(close) };
  }

  /** The memory of the connection that a stream came on. */
  memoryOf(stream: ServerHttp2Stream): SessionMemory {
    const { session } = stream;
    const memory = session && this.#memory.get(session);
    return memory ?? this.#lost;
  }

  destroy(): void {
    this.#requests.stop();
    this.#answers.stop();
    for (const session of this.#open) session.destroy();
  }

  #opened(session: ServerHttp2Session, access: Http2Access): void {
    this.#open.add(session);
    forgetStreamsSooner(session);
    const memory = this.openMemory(() => session.destroy());
    this.#memory.set(session, memory);
    session.once('close', () => {
      this.#open.delete(session);
      memory.requests.closed();
      memory.answers.closed();
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
