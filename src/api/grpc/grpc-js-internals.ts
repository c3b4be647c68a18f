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
  Http2Session,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { StatusCode } from '../../base/errors.ts';
import { http2ServersOf, takeStreams } from '../../transport/grpc-js-streams.ts';
import { MemoryBudget, type MemoryLimits, type SessionMemory } from './connection-memory.ts';
import { timeoutMsOf } from './deadline.ts';
import { PartialMessage, PREFIX_BYTES, TOO_MANY_INCOMPLETE } from './partial-message.ts';
import { enforcePingPolicy } from './ping-policy.ts';

interface Status {
  code: number;
  details: string;
}

const TOO_LARGE = /^Received message larger than max \((\d+) vs (\d+)\)$/;

interface CallInternals {
  readonly call: { readonly stream?: ServerHttp2Stream; checkCancelled(): boolean };
}

/** The methods of grpc-js's calls that are patched, and what they use. */
interface PatchedCall {
  readonly stream: ServerHttp2Stream;
  readonly maxReceiveMessageSize: number;
  checkCancelled(): boolean;
  sendStatus(status: Status): void;
  handleDataFrame(data: Buffer): void;
  handleEndEvent(): void;
}

/** Messages that have come in part, by the streams of calls that grpc-js serves for us. */
const partials = new WeakMap<ServerHttp2Stream, PartialMessage>();

/** What is patched once for the whole process, because it is the class that is patched. */
let patched = false;

function patchCalls(): void {
  if (patched) return;
  patched = true;
  const prototype = BaseServerInterceptingCall.prototype as unknown as PatchedCall;
  rewordRefusals(prototype);
  joinPieces(prototype);
}

/** A message over the limit is refused in grpc-go's words: clients look for them. */
function rewordRefusals(prototype: PatchedCall): void {
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

/**
 * grpc-js keeps the pieces of a message apart and without a limit for all calls together. So it
 * gets whole messages only; of those that are too large the beginning, which it refuses.
 */
function joinPieces(prototype: PatchedCall): void {
  const handleDataFrame: (data: Buffer) => void = Reflect.get(prototype, 'handleDataFrame');
  const handleEndEvent: () => void = Reflect.get(prototype, 'handleEndEvent');
  assert(typeof handleDataFrame === 'function' && typeof handleEndEvent === 'function', 'grpc-js');
  prototype.handleDataFrame = function (data) {
    const partial = partials.get(this.stream);
    if (partial === undefined) {
      handleDataFrame.call(this, data);
      return;
    }
    if (this.checkCancelled()) {
      partial.clear();
      return;
    }
    let bytes = data;
    if (partial.length > 0) {
      if (!keep(this, partial, data)) return;
      bytes = partial.bytes;
    }
    const end = endOfMessages(bytes, this.maxReceiveMessageSize);
    if (end === 0) {
      if (partial.length === 0) keep(this, partial, bytes);
      return;
    }
    const whole = partial.length > 0 ? partial.take() : bytes;
    handleDataFrame.call(this, whole.subarray(0, end));
    if (end < whole.length) keep(this, partial, whole.subarray(end));
  };
  prototype.handleEndEvent = function () {
    const incomplete = partials.get(this.stream)?.length ?? 0;
    if (incomplete === 0) handleEndEvent.call(this);
    else this.sendStatus({ code: StatusCode.internal, details: 'unexpected EOF' });
  };
}

/** Where the last whole message ends; the end of all bytes if one is too large. */
function endOfMessages(bytes: Buffer, maxMessageBytes: number): number {
  let end = 0;
  while (end + PREFIX_BYTES <= bytes.length) {
    const length = bytes.readUInt32BE(end + 1);
    if (length > maxMessageBytes) return bytes.length;
    if (end + PREFIX_BYTES + length > bytes.length) break;
    end += PREFIX_BYTES + length;
  }
  return end;
}

function keep(call: PatchedCall, partial: PartialMessage, piece: Buffer): boolean {
  if (partial.append(piece)) return true;
  call.sendStatus({ code: StatusCode.resourceExhausted, details: TOO_MANY_INCOMPLETE });
  return false;
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
  readonly requestLimits: MemoryLimits;
  readonly answerLimits: MemoryLimits;
  /** A connection is closed for the memory that it holds. */
  closingFor(heldBytes: number): void;
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
    patchCalls();
    const [http2Server, ...others] = http2ServersOf(server);
    assert(http2Server !== undefined && others.length === 0, 'there are several injectors');
    interceptStreams(http2Server, access, (stream) => this.memoryOf(stream));
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

  /** The same for a call that grpc-js serves. */
  memoryOfCall(call: object): SessionMemory {
    const { stream } = (call as CallInternals).call;
    assert(stream !== undefined, 'grpc-js hides the stream of a call');
    return this.memoryOf(stream);
  }

  /**
   * Whether a call that grpc-js serves is over. Of one that ends while its message is being read,
   * grpc-js tells nobody, and calls the handler after that.
   */
  isOver(call: object): boolean {
    return (call as CallInternals).call.checkCancelled();
  }

  destroy(): void {
    this.#requests.stop();
    this.#answers.stop();
    for (const session of this.#open) session.destroy();
  }

  #opened(session: ServerHttp2Session, access: Http2Access): void {
    this.#open.add(session);
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

function interceptStreams(
  http2Server: Http2Server,
  access: Http2Access,
  memoryOf: (stream: ServerHttp2Stream) => SessionMemory,
): void {
  takeStreams(http2Server, (stream, headers, grpcJs) => {
    if (access.intercept(stream, headers)) return;
    const timeout = headers['grpc-timeout'];
    // grpc-js lets limits beyond 24 days overflow, and cuts the call off at once.
    if (typeof timeout === 'string' && timeoutMsOf(timeout) === Infinity) {
      delete headers['grpc-timeout'];
    }
    const partial = new PartialMessage(memoryOf(stream).requests);
    partials.set(stream, partial);
    stream.once('close', () => partial.clear());
    grpcJs(stream, headers);
  });
}
