/** Makes calls: to which endpoint, with which token, how often. */
import { Metadata, type ClientDuplexStream, type ClientReadableStream } from '@grpc/grpc-js';
import { StatusCode } from '../base/errors.ts';
import type { MethodDefinition } from '../base/wire.ts';
import { AuthenticateRequest } from '../gen/rpc.ts';
import { Auth } from '../gen/services.ts';
import { CallScope } from './call-scope.ts';
import type { Endpoint, Sized } from './endpoint.ts';
import { EndpointSet } from './endpoint-set.ts';
import { ClientError, clientClosed, deadlineExceeded } from './errors.ts';
import type { CallOptions, Settings } from './options.ts';
import {
  type RetryPolicy,
  backoffMs,
  blamesEndpoint,
  isSafeRetry,
  isTokenRefused,
  isUnsent,
  triesMax,
} from './retry.ts';
import { TokenSource } from './token-source.ts';

/** A stream, and what its failure has to be reported with. */
export interface OpenStream<Stream> {
  readonly stream: Stream;
  readonly endpoint: Endpoint;
  readonly token: string;
  /** False: no endpoint could be connected; the stream fails at once and says why. */
  readonly connected: boolean;
}

/** @throws ClientError for a token that cannot be sent, without showing it */
function metadataOf(token: string, hasLeader: boolean | undefined): Metadata {
  const metadata = new Metadata();
  if (!/^[ -~]*$/.test(token)) {
    throw new ClientError(StatusCode.unauthenticated, 'the token has characters beyond ASCII');
  }
  if (token !== '') metadata.set('token', token);
  if (hasLeader === true) metadata.set('hasleader', 'true');
  return metadata;
}

export class Caller {
  readonly #settings: Settings;
  readonly #endpoints: EndpointSet;
  readonly #tokens: TokenSource;
  readonly #closing = new AbortController();
  /** By endpoint, for some of our own. */
  readonly #pinned = new Map<string, Caller>();
  /** For single calls in progress to other endpoints. */
  readonly #passing = new Set<Caller>();

  /** @throws RangeError for an endpoint that is not understood */
  constructor(settings: Settings, tokens?: TokenSource) {
    this.#settings = settings;
    this.#endpoints = new EndpointSet(settings.endpoints, settings);
    const { auth, token } = settings;
    const signIn = auth === undefined ? undefined : () => this.#signIn();
    this.#tokens = tokens ?? new TokenSource(token, signIn);
  }

  /**
   * One call to one endpoint and no other. Connections to the client's own endpoints are kept,
   * those to others end with the call, so that their number has a bound.
   *
   * @throws RangeError for an endpoint that is not understood, and as `unary`
   */
  async unaryAt<Request, Response>(
    endpoint: string,
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    this.closing.throwIfAborted();
    const { endpoints } = this.#settings;
    if (endpoints.includes(endpoint)) {
      return this.#own(endpoint).unary(method, request, 'repeatable', options);
    }
    const caller = this.#only(endpoint);
    this.#passing.add(caller);
    try {
      return await caller.unary(method, request, 'repeatable', options);
    } finally {
      this.#passing.delete(caller);
      caller.close();
    }
  }

  /** For one of our own endpoints. */
  #own(endpoint: string): Caller {
    if (this.#endpoints.size === 1) return this;
    const caller = this.#pinned.get(endpoint) ?? this.#only(endpoint);
    this.#pinned.set(endpoint, caller);
    return caller;
  }

  #only(endpoint: string): Caller {
    return new Caller({ ...this.#settings, endpoints: [endpoint] }, this.#tokens);
  }

  /** What a call may take that says nothing else. */
  get requestTimeoutMs(): number {
    return this.#settings.requestTimeoutMs;
  }

  /** Aborted, with an error as reason, when the client closes. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * The time of one call. To be ended by who asked for it.
   *
   * @throws RangeError for a time that is none
   */
  scope({ timeoutMs = this.#settings.requestTimeoutMs, signal }: CallOptions): CallScope {
    if (!(timeoutMs >= 0)) throw new RangeError(`timeoutMs must not be ${timeoutMs}`);
    return new CallScope(this.closing, timeoutMs, signal);
  }

  /**
   * One unary call, tried again where that is safe.
   *
   * @throws ClientError, or the reason of the caller's signal
   */
  async unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    policy: RetryPolicy,
    options: CallOptions = {},
  ): Promise<Response> {
    const bytes = method.request.encode(request);
    const scope = this.scope(options);
    try {
      return await this.#tries(scope, policy, async (endpoint, token) =>
        endpoint.unary(method, bytes, metadataOf(token, options.hasLeader), scope),
      );
    } finally {
      scope.end();
    }
  }

  /** Tries `attempt` on one endpoint after the other, as far as `policy` and `scope` allow. */
  async #tries<T>(
    scope: CallScope,
    policy: RetryPolicy,
    attempt: (endpoint: Endpoint, token: string) => Promise<T>,
    withToken = true,
  ): Promise<T> {
    let last: unknown;
    let renewed = false;
    try {
      for (let failures = 1; ; failures++) {
        const token = withToken ? await scope.race(this.#tokens.get()) : '';
        const { endpoint, connected } = await this.#endpoints.pick(scope);
        try {
          return await attempt(endpoint, token);
        } catch (error) {
          if (!(error instanceof ClientError)) throw error;
          this.#judge(endpoint, error);
          if (isDeadline(error)) throw error;
          last = error;
          if (!renewed && withToken && this.#refused(error, token)) {
            renewed = true;
            continue;
          }
          const hopeless = !connected && isUnsent(error);
          const safe = isSafeRetry(error, policy, this.#endpoints.size);
          if (hopeless || !safe || failures >= triesMax) throw error;
        }
        await scope.sleep(backoffMs(failures));
      }
    } catch (error) {
      // That the time was up says little; what kept the call busy says more.
      throw last !== undefined && isDeadline(error) ? deadlineExceeded(last) : error;
    }
  }

  /**
   * Begins a call with many answers, which outlives `scope`.
   *
   * @throws ClientError if there is no endpoint or no token, or the reason for which `scope` ended
   */
  async serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    scope: CallScope,
    hasLeader?: boolean,
  ): Promise<OpenStream<ClientReadableStream<Response>>> {
    const bytes = method.request.encode(request);
    return this.#open(scope, (endpoint, token) =>
      endpoint.serverStream(method, bytes, metadataOf(token, hasLeader)),
    );
  }

  /** As `serverStream`, with many requests too. */
  async bidirectional<Request, Response>(
    method: MethodDefinition<Request, Response>,
    scope: CallScope,
    hasLeader?: boolean,
  ): Promise<OpenStream<ClientDuplexStream<Request, Sized<Response>>>> {
    return this.#open(scope, (endpoint, token) =>
      endpoint.bidirectional(method, metadataOf(token, hasLeader)),
    );
  }

  /** Learns from the failure of a stream. True if it was the token, which is replaced next time. */
  streamFailed(
    { endpoint, token }: Omit<OpenStream<unknown>, 'stream'>,
    error: ClientError,
  ): boolean {
    this.#judge(endpoint, error);
    return this.#refused(error, token);
  }

  get endpointCount(): number {
    return this.#endpoints.size;
  }

  /** Ends everything in progress and the connections. */
  close(): void {
    if (this.closing.aborted) return;
    this.#closing.abort(clientClosed());
    for (const caller of [...this.#pinned.values(), ...this.#passing]) caller.close();
    this.#endpoints.close();
  }

  async #open<Stream>(
    scope: CallScope,
    open: (endpoint: Endpoint, token: string) => Stream,
  ): Promise<OpenStream<Stream>> {
    const token = await scope.race(this.#tokens.get());
    const { endpoint, connected } = await this.#endpoints.pick(scope);
    return { stream: open(endpoint, token), endpoint, token, connected };
  }

  #judge(endpoint: Endpoint, error: ClientError): void {
    if (blamesEndpoint(error)) this.#endpoints.leave(endpoint);
  }

  #refused(error: ClientError, token: string): boolean {
    if (!this.#tokens.renews || !isTokenRefused(error)) return false;
    this.#tokens.refuse(token);
    return true;
  }

  async #signIn(): Promise<string> {
    const { user: name = '', password = '' } = this.#settings.auth ?? {};
    const method = Auth.methods.authenticate;
    const bytes = method.request.encode(AuthenticateRequest.create({ name, password }));
    const scope = this.scope({});
    const attempt = (endpoint: Endpoint): Promise<{ token: string }> =>
      endpoint.unary(method, bytes, new Metadata(), scope);
    try {
      const { token } = await this.#tries(scope, 'repeatable', attempt, false);
      return token;
    } finally {
      scope.end();
    }
  }
}

const isDeadline = (error: unknown): boolean =>
  error instanceof ClientError && error.code === StatusCode.deadlineExceeded;
