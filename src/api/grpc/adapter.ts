/** Serves handlers over gRPC, on HTTP/2 streams of our own. */
import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { DeferredCalls } from '../../base/deferred-calls.ts';
import { EtcdError, StatusCode, StatusError } from '../../base/errors.ts';
import { ExpectedWait } from '../../base/expected-wait.ts';
import type { Logger } from '../../base/logger.ts';
import { silentMetrics } from '../../base/metrics.ts';
import type { Codec } from '../../base/wire.ts';
import type { HeaderList } from '../../http2/header-fields.ts';
import type { Stream } from '../../http2/stream.ts';
import { isGrpcRequest, refuse, type StatusObject } from '../../grpc/call.ts';
import { Turns } from '../turns.ts';
import type {
  Answers,
  BidiHandler,
  CallContext,
  ServerStreamHandler,
  UnaryHandler,
} from '../handler.ts';
import {
  ANSWER_LIMITS,
  type GrpcAdapterOptions,
  livenessOf,
  MAX_STREAMS_PER_CONNECTION,
  REQUEST_LIMITS,
  REQUEST_OVERHEAD_BYTES,
} from './adapter-options.ts';
import { GrpcCallContext } from './call-context.ts';
import { CallMetrics, type MethodMetrics } from './call-metrics.ts';
import { ClientVersions } from './client-versions.ts';
import type { SessionMemory } from './connection-memory.ts';
import { Connections } from './connections.ts';
import { RequestQueue } from './request-queue.ts';
import { ResponseWriter } from './response-writer.ts';
import type { AnyService, ServiceHandlers } from './service.ts';
import type { StreamCall, StreamMethod } from './stream-method.ts';
import { malformedStatus, statusOf, unknownMethodText } from './status.ts';
import { StreamingCall } from './streaming-call.ts';
import { UnaryCall, type UnaryMethod } from './unary-call.ts';

/** From an answer to the next request of clients that ask again at once. */
const SHORT_PAUSE_MS = 0.15;
/** Calls that go on until somebody ends them: it is of no use to wait for their end. */
const ENDLESS_CALLS: ReadonlySet<string> = new Set([
  '/etcdserverpb.Watch/Watch',
  '/etcdserverpb.Lease/LeaseKeepAlive',
  '/v3electionpb.Election/Observe',
]);
/** From this size on, answers are encoded one in each turn of the event loop. */
const LARGE_ANSWER_BYTES = 256 * 1024;
const METHOD_NOT_ALLOWED = 405;
const UNSUPPORTED_MEDIA_TYPE = 415;

/** Stands in for a message that could not be decoded, so that the answer's words are ours. */
class Malformed {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** A method with its codecs, stripped of message types. */
interface Method {
  readonly name: string;
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: Codec<unknown>;
  readonly response: Codec<unknown>;
}

/** @throws StatusError with etcd's words for bytes that are no request */
function decodeWith(request: Codec<unknown>, message: Uint8Array): unknown {
  try {
    return request.decode(message);
  } catch (error) {
    const { code, details } = malformedStatus(error, false);
    throw new StatusError(code, details);
  }
}

export class GrpcAdapter {
  readonly #options: GrpcAdapterOptions;
  /** Calls at a time on one connection. */
  readonly maxConcurrentStreams: number;
  /** Largest request. */
  readonly maxMessageBytes: number;
  readonly #logger: Logger;
  readonly #metrics: CallMetrics;
  readonly #unaryVersions: ClientVersions;
  readonly #streamVersions: ClientVersions;
  readonly #slowCallMs: number;
  readonly #clock: Clock;
  readonly #services = new Set<string>();
  readonly #connections: Connections;
  readonly #turns: Turns;
  /** Of streams that were answered. */
  readonly #flushes: DeferredCalls;
  /** From an answer to the next request of any client. */
  readonly #nextRequest: ExpectedWait;
  /** Methods with one message each way, by path. */
  readonly #unaryMethods = new Map<string, UnaryMethod>();
  /** Methods with streams, by path. */
  readonly #streamMethods = new Map<string, StreamMethod>();
  /** How to end each open call that has no end. */
  readonly #endless = new Set<() => void>();

  constructor(options: GrpcAdapterOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#turns = new Turns(options.clock);
    this.#flushes = new DeferredCalls(options.clock);
    this.#nextRequest = new ExpectedWait(options.clock, SHORT_PAUSE_MS);
    this.#slowCallMs = options.slowCallMs ?? 0;
    const { metrics = silentMetrics, extensiveMetrics = false } = options;
    this.#metrics = new CallMetrics(metrics, extensiveMetrics);
    this.#unaryVersions = new ClientVersions(metrics, 'unary');
    this.#streamVersions = new ClientVersions(metrics, 'stream');
    this.maxConcurrentStreams = Math.min(options.maxConcurrentStreams, MAX_STREAMS_PER_CONNECTION);
    this.maxMessageBytes = options.maxRequestBytes + REQUEST_OVERHEAD_BYTES;
    this.#connections = new Connections({
      serve: (stream, headers, memory) => this.#serve(stream, headers, memory),
      maxConcurrentStreams: this.maxConcurrentStreams,
      minPingTimeMs: options.keepaliveMinTimeMs,
      clock: options.clock,
      liveness: livenessOf(options),
      openingTimeoutMs: options.openingTimeoutMs,
      failed: (error) => this.#logger.debug({ error }, 'client connection failed'),
      requestLimits: options.requestLimits ?? REQUEST_LIMITS,
      answerLimits: options.answerLimits ?? ANSWER_LIMITS,
      closingFor: (heldBytes) =>
        this.#logger.warn({ heldBytes }, 'client connection closed: it holds too much memory'),
    });
  }

  /** Serves a service. Its methods without handler are answered as unknown. */
  add<Service extends AnyService>(service: Service, handlers: ServiceHandlers<Service>): void {
    this.#services.add(service.name);
    for (const [key, definition] of Object.entries(service.methods)) {
      const handler = (handlers as Readonly<Record<string, unknown>>)[key];
      const method = definition as Method;
      if (typeof handler === 'function') {
        // A service may be an object with methods, which need their `this`.
        this.#register(service.name, method, handler.bind(handlers));
      } else {
        // Dashboards divide by series that must be there, if only at zero.
        this.#metrics.forMethod(kindOf(method), service.name, method.name);
      }
    }
  }

  /** The method with one message each way at a path, for calls that come otherwise. */
  unaryMethod(path: string): UnaryMethod | undefined {
    return this.#unaryMethods.get(path);
  }

  /** The method with streams at a path, for calls that come otherwise. */
  streamMethod(path: string): StreamMethod | undefined {
    return this.#streamMethods.get(path);
  }

  /** Why a call of a path is refused that has no method. */
  refusalOf(path: string): StatusObject {
    const details = unknownMethodText(path, this.#services);
    return { code: StatusCode.unimplemented, details };
  }

  /** A share of the memory of all connections for one that comes otherwise. */
  openMemory(close: () => void): SessionMemory {
    return this.#connections.openMemory(close);
  }

  /** Memory of answers that are being made or not sent yet. */
  get unsentBytes(): number {
    return this.#connections.unsentBytes;
  }

  /** Takes over a connection that speaks HTTP/2. @param received its first bytes */
  accept(socket: Socket, received: Buffer): void {
    this.#connections.accept(socket, received);
  }

  /**
   * Ends calls that have no end, and lets others finish for up to `graceMs`, then cuts them off.
   * New calls are refused.
   */
  async stop(graceMs: number): Promise<void> {
    const drained = this.#connections.drain(graceMs);
    for (const end of [...this.#endless]) end();
    await drained;
  }

  #serve(stream: Stream, headers: HeaderList, memory: SessionMemory): void {
    const { path, method } = headers;
    if (!isGrpcRequest(headers)) {
      refuse(stream, { httpStatus: UNSUPPORTED_MEDIA_TYPE });
    } else if (method !== 'POST') {
      const name = JSON.stringify(method);
      const details = `Received a HEADERS frame with :method ${name} which should be POST`;
      refuse(stream, { httpStatus: METHOD_NOT_ALLOWED, code: StatusCode.internal, details });
    } else this.#call(stream, headers, memory, path);
  }

  #call(stream: Stream, headers: HeaderList, memory: SessionMemory, path: string): void {
    const unary = this.#unaryMethods.get(path);
    if (unary !== undefined) {
      stream.listener = new UnaryCall(stream, headers, unary, memory);
      return;
    }
    const method = this.#streamMethods.get(path);
    if (method === undefined) refuse(stream, this.refusalOf(path));
    else new StreamingCall(stream, headers, method, memory, this.#flushes);
  }

  #register(service: string, method: Method, handler: unknown): void {
    const { name, path, requestStream, responseStream } = method;
    const metrics = this.#metrics.forMethod(kindOf(method), service, name);
    if (!requestStream && !responseStream) {
      const unary = this.#unary(method, handler as UnaryHandler<unknown, unknown>, metrics);
      this.#unaryMethods.set(path, unary);
      return;
    }
    const decode = this.#decoder(method);
    const serve = requestStream
      ? this.#bidi(method, handler as BidiHandler<unknown, unknown>, metrics)
      : this.#stream(method, handler as ServerStreamHandler<unknown, unknown>, metrics);
    const { maxMessageBytes } = this;
    this.#streamMethods.set(path, { requestStream, maxMessageBytes, decode, serve });
  }

  #decoder(method: Method): (bytes: Buffer) => unknown {
    const { receivedBytes } = this.#metrics;
    return (bytes) => {
      receivedBytes.increment(bytes.length);
      try {
        return method.request.decode(bytes);
      } catch (error) {
        return new Malformed(error);
      }
    };
  }

  #unary(
    method: Method,
    handler: UnaryHandler<unknown, unknown>,
    metrics: MethodMetrics,
  ): UnaryMethod {
    const { path, request, response } = method;
    const { sentBytes, receivedBytes } = this.#metrics;
    const timed = this.#slowCallMs > 0 || metrics.handlingSeconds !== undefined;
    const handle: UnaryMethod['handle'] = async (message, context) => {
      receivedBytes.increment(message.length);
      metrics.messagesReceived.increment();
      const startMs = timed ? this.#clock.monotonicMs() : 0;
      try {
        const decoded = decodeWith(request, message);
        this.#admit(path, context, this.#unaryVersions, decoded);
        const answer = await handler(decoded, context);
        if (context.memory.heldBytes > LARGE_ANSWER_BYTES) await this.#turns.next();
        return response.encode(answer);
      } finally {
        if (timed) this.#measure(path, metrics, startMs);
      }
    };
    return {
      clock: this.#clock,
      maxMessageBytes: this.maxMessageBytes,
      handle,
      statusOf: (error) => statusOf(error, path, this.#logger),
      started: () => {
        this.#nextRequest.end();
        metrics.started.increment();
      },
      ended: (code, bytes) => {
        this.#nextRequest.begin();
        countHandled(metrics, code);
        if (code !== StatusCode.ok) return;
        metrics.messagesSent.increment();
        sentBytes.increment(bytes);
      },
    };
  }

  /** @throws EtcdError if the request does not even count (etcd: v3rpc/interceptor.go) */
  #admit(path: string, context: CallContext, versions: ClientVersions, request?: unknown): void {
    const counter = versions.counterOf(context.metadata('client-api-version'));
    const refusal = this.#options.refusal?.(path, request);
    if (refusal !== undefined) throw new EtcdError(refusal);
    counter.increment();
    if (context.metadata('hasleader') !== 'true') return;
    if (this.#options.hasLeader?.() === false) throw new EtcdError('noLeader');
  }

  #measure(path: string, metrics: MethodMetrics, startMs: number): void {
    const tookMs = this.#clock.monotonicMs() - startMs;
    metrics.handlingSeconds?.observe(tookMs / 1000);
    if (this.#slowCallMs > 0 && tookMs > this.#slowCallMs) {
      this.#logger.warn({ path, tookMs, expectedMs: this.#slowCallMs }, 'request took too long');
    }
  }

  #stream(
    method: Method,
    handler: ServerStreamHandler<unknown, unknown>,
    metrics: MethodMetrics,
  ): StreamMethod['serve'] {
    return (call, memory, request) => {
      metrics.started.increment();
      metrics.messagesReceived.increment();
      const context = new GrpcCallContext(call, memory);
      const writer = new ResponseWriter(call, this.#metrics.sentBytes, context.memory);
      this.#follow(call, writer, context, metrics);
      if (request instanceof Malformed) {
        this.#finish(writer, context, metrics, malformedStatus(request.error, false));
        return Promise.resolve();
      }
      this.#endWithServer(method, writer, context, metrics);
      return this.#pump(method, () => handler(request, context), writer, context, metrics);
    };
  }

  #bidi(
    method: Method,
    handler: BidiHandler<unknown, unknown>,
    metrics: MethodMetrics,
  ): StreamMethod['serve'] {
    return (call, memory) => {
      metrics.started.increment();
      const context = new GrpcCallContext(call, memory);
      const writer = new ResponseWriter(call, this.#metrics.sentBytes, context.memory);
      const requests = new RequestQueue<unknown>(call);
      call.on('data', (request: unknown) => {
        metrics.messagesReceived.increment();
        if (request instanceof Malformed) {
          if (!writer.isClosed()) metrics.receiveFailures?.increment();
          requests.abandon();
          this.#finish(writer, context, metrics, malformedStatus(request.error, true));
          context.cut();
        } else {
          requests.push(request);
        }
      });
      call.on('end', () => requests.end());
      this.#follow(call, writer, context, metrics);
      call.once('cancelled', () => requests.abandon());
      this.#endWithServer(method, writer, context, metrics, requests);
      return this.#pump(method, () => handler(requests, context), writer, context, metrics);
    };
  }

  /** Ends what serves a call when the call ends. */
  #follow(
    call: StreamCall,
    writer: ResponseWriter,
    context: GrpcCallContext,
    metrics: MethodMetrics,
  ): void {
    call.once('refused', (status) => {
      this.#finish(writer, context, metrics, status);
      context.cut();
    });
    call.once('cancelled', () => writer.close());
    call.once('closed', () => writer.abandon());
  }

  /** A client whose watch ends goes on with it at another member, the sooner the better. */
  #endWithServer(
    method: Method,
    writer: ResponseWriter,
    context: GrpcCallContext,
    metrics: MethodMetrics,
    requests?: RequestQueue<unknown>,
  ): void {
    if (!ENDLESS_CALLS.has(method.path)) return;
    const end = (): void => {
      const status = statusOf(new EtcdError('stopped'), method.path, this.#logger);
      this.#finish(writer, context, metrics, status);
      context.cut();
      requests?.abandon();
    };
    this.#endless.add(end);
    context.onEnd(() => this.#endless.delete(end));
  }

  /** Sends what a handler yields until it ends, fails, or nobody listens any more. */
  async #pump(
    method: Method,
    start: () => Answers<unknown>,
    writer: ResponseWriter,
    context: GrpcCallContext & CallContext,
    metrics: MethodMetrics,
  ): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    let status: StatusObject | undefined;
    try {
      this.#admit(method.path, context, this.#streamVersions);
      const answers = start();
      for await (const first of answers) {
        let answer: unknown = first;
        while (answer !== undefined) {
          const room = writer.room();
          if (room !== undefined) await room;
          if (writer.isClosed()) break;
          metrics.messagesSent.increment();
          const length = writer.write(method.response, answer);
          if (length > LARGE_ANSWER_BYTES) await this.#turns.next();
          answer = answers.ready?.();
        }
        if (writer.isClosed()) break;
      }
    } catch (error) {
      if (!context.cancelled) status = statusOf(error, method.path, this.#logger);
    }
    metrics.handlingSeconds?.observe((this.#clock.monotonicMs() - startMs) / 1000);
    this.#finish(writer, context, metrics, status);
  }

  /** Ends a stream once, however many reasons to end it there are. */
  #finish(
    writer: ResponseWriter,
    context: GrpcCallContext,
    metrics: MethodMetrics,
    status: StatusObject | undefined,
  ): void {
    if (!context.end()) return;
    const code = context.cancelled ? StatusCode.cancelled : (status?.code ?? StatusCode.ok);
    countHandled(metrics, code);
    writer.finish(status);
  }
}

/** As go-grpc-prometheus names the kinds of calls. */
function kindOf(method: Method): string {
  if (method.requestStream) return 'bidi_stream';
  return method.responseStream ? 'server_stream' : 'unary';
}

function countHandled(metrics: MethodMetrics, code: StatusCode): void {
  metrics.handled[code]?.increment();
}
