/**
 * The JSON gateway: the calls of gRPC as requests over HTTP/1.1 (etcd: server/embed/serve.go and
 * grpc-gateway v2, behind which it puts its own gRPC server). The calls go to the methods that the
 * gRPC adapter serves, in the wire's encoding, and so have its limits, its metrics and its errors.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ChurnSet } from '../../base/churn.ts';
import type { Clock } from '../../base/clock.ts';
import { etcdErrors, StatusCode, StatusError } from '../../base/errors.ts';
import type { StatusObject } from '../../grpc/call.ts';
import type { SessionMemory } from '../grpc/connection-memory.ts';
import type { StreamMethod } from '../grpc/stream-method.ts';
import type { UnaryMethod } from '../grpc/unary-call.ts';
import type { AnswerTime } from '../http/answer.ts';
import { respondWithError, statusObject, type Exchange, type ExchangeOptions } from './exchange.ts';
import { methodTypes } from './message-type.ts';
import { presentPath, routes } from './routes.ts';
import { StreamExchange } from './stream-exchange.ts';
import { UnaryExchange } from './unary-exchange.ts';

/** The methods behind the gateway. */
export interface GatewayMethods {
  unaryMethod(path: string): UnaryMethod | undefined;
  streamMethod(path: string): StreamMethod | undefined;
  refusalOf(path: string): StatusObject;
  openMemory(close: () => void): SessionMemory;
}

const notFound: StatusObject = { code: StatusCode.notFound, details: 'Not Found' };
const wrongMethod: StatusObject = { code: StatusCode.unimplemented, details: 'Method Not Allowed' };
const [stoppedCode, stoppedText] = etcdErrors.stopped;
const stopped: StatusObject = { code: stoppedCode, details: stoppedText };

/** Whether a path is one of the gateway's, known or not. */
export function isGatewayPath(path: string): boolean {
  return presentPath(path).startsWith('/v3/');
}

export class Gateway {
  readonly #methods: GatewayMethods;
  readonly #clock: Clock;
  readonly #memories = new WeakMap<Socket, SessionMemory>();
  readonly #streams = new ChurnSet<Exchange>();
  readonly #calls = new ChurnSet<Exchange>();
  #isStopping = false;
  #whenEmpty: (() => void) | undefined;

  constructor(methods: GatewayMethods, clock: Clock) {
    this.#methods = methods;
    this.#clock = clock;
  }

  /** Answers a request for one of the gateway's paths. */
  handle(path: string, request: IncomingMessage, response: ServerResponse, time: AnswerTime): void {
    request.on('error', () => undefined);
    const route = routes.get(presentPath(path));
    if (route === undefined) this.refuse(request, response, notFound);
    else if (request.method !== 'POST') this.refuse(request, response, wrongMethod);
    else if (this.#isStopping) this.refuse(request, response, stopped);
    else this.#open(route, request, response, time);
  }

  /** Whether the call of a path takes more than one request. */
  takesMany(path: string): boolean {
    const route = routes.get(presentPath(path));
    return route !== undefined && this.#methods.streamMethod(route)?.requestStream === true;
  }

  /** Answers a request with a refusal. */
  refuse(request: IncomingMessage, response: ServerResponse, status: StatusObject): void {
    request.resume();
    respondWithError(response, status);
  }

  /** Ends streams, and lets other calls finish for up to `graceMs`. New calls are refused. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    for (const stream of [...this.#streams]) stream.refuse(stopped);
    if (this.#calls.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(graceMs, () => {
        for (const call of [...this.#calls]) call.refuse(stopped);
        resolve();
      });
      this.#whenEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #open(path: string, request: IncomingMessage, response: ServerResponse, time: AnswerTime): void {
    const unary = this.#methods.unaryMethod(path);
    const stream = this.#methods.streamMethod(path);
    const memory = this.#memoryOf(request.socket);
    const types = methodTypes(path);
    const options: ExchangeOptions = {
      request,
      response,
      types,
      memory,
      time,
      clock: this.#clock,
    };
    try {
      if (unary !== undefined)
        this.#track(this.#calls, new UnaryExchange(options, unary), response);
      else if (stream !== undefined) {
        this.#track(this.#streams, new StreamExchange(options, stream), response);
      } else this.refuse(request, response, this.#methods.refusalOf(path));
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.refuse(request, response, statusObject(error));
    }
  }

  #track(open: ChurnSet<Exchange>, exchange: Exchange, response: ServerResponse): void {
    open.add(exchange);
    response.once('close', () => {
      open.delete(exchange);
      if (this.#calls.size === 0) this.#whenEmpty?.();
    });
  }

  /** One share of memory for all calls of a connection. */
  #memoryOf(socket: Socket): SessionMemory {
    const found = this.#memories.get(socket);
    if (found !== undefined) return found;
    const memory = this.#methods.openMemory(() => socket.destroy());
    this.#memories.set(socket, memory);
    socket.once('close', () => {
      memory.requests.closed();
      memory.answers.closed();
    });
    return memory;
  }
}
