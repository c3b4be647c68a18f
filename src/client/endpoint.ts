/** One endpoint and the connection to it. */
import { checkServerIdentity } from 'node:tls';
import {
  type ChannelCredentials,
  Client as GrpcClient,
  type ClientDuplexStream,
  type ClientReadableStream,
  type Metadata,
  type VerifyOptions,
  connectivityState,
  credentials,
} from '@grpc/grpc-js';
import { buffer } from '../base/bytes.ts';
import type { MethodDefinition } from '../base/wire.ts';
import { type Address, parseAddress } from './address.ts';
import type { CallScope } from './call-scope.ts';
import { fromGrpc } from './errors.ts';
import type { Settings } from './options.ts';

/** Wait before the second attempt to connect, in milliseconds; a member restarts in about that. */
const reconnectFirstMs = 100;
/** Longest wait between attempts to connect: shorter than a call waits for a connection. */
const reconnectMaxMs = 1000;

/** A message and how large it was on the wire, in bytes. */
export interface Sized<T> {
  readonly message: T;
  readonly sizeBytes: number;
}

function buffered(bytes: Uint8Array | undefined): Buffer | null {
  return bytes === undefined ? null : buffer(bytes);
}

function credentialsOf(address: Address, { tls }: Settings): ChannelCredentials {
  if (address.tls === 'never' || (address.tls === 'configured' && tls === undefined)) {
    return credentials.createInsecure();
  }
  const verify = verifyOptionsOf(address, tls);
  return credentials.createSsl(buffered(tls?.ca), buffered(tls?.key), buffered(tls?.cert), verify);
}

function verifyOptionsOf({ ip }: Address, tls: Settings['tls']): VerifyOptions {
  if (tls?.insecureSkipVerify === true) {
    return { rejectUnauthorized: false, checkServerIdentity: () => undefined };
  }
  if (ip === undefined || tls?.serverName !== undefined) return {};
  return { checkServerIdentity: (_name, certificate) => checkServerIdentity(ip, certificate) };
}

const same = (bytes: Buffer): Buffer => bytes;

export class Endpoint {
  /** As the user wrote it. */
  readonly name: string;
  readonly #client: GrpcClient;
  readonly #listeners = new Set<() => void>();
  #closed = false;

  constructor(name: string, settings: Settings) {
    this.name = name;
    const address = parseAddress(name);
    const serverName = settings.tls?.serverName ?? address.serverName;
    this.#client = new GrpcClient(address.target, credentialsOf(address, settings), {
      'grpc.keepalive_time_ms': settings.keepaliveTimeMs,
      'grpc.keepalive_timeout_ms': settings.keepaliveTimeoutMs,
      'grpc.keepalive_permit_without_calls': 0,
      'grpc.max_send_message_length': settings.maxSendBytes,
      'grpc.max_receive_message_length': settings.maxReceiveBytes,
      'grpc.initial_reconnect_backoff_ms': reconnectFirstMs,
      'grpc.max_reconnect_backoff_ms': reconnectMaxMs,
      // What is closed here must not live on in another client, nor fail because of one.
      'grpc.use_local_subchannel_pool': 1,
      // A name server must not change how calls are repeated.
      'grpc.service_config_disable_resolution': 1,
      // Members are reached directly: what is set for the web rarely leads to them.
      'grpc.enable_http_proxy': 0,
      ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
    });
    this.#follow();
  }

  get #state(): connectivityState {
    if (this.#closed) return connectivityState.SHUTDOWN;
    return this.#client.getChannel().getConnectivityState(false);
  }

  /** Connected: calls are sent at once. */
  get isReady(): boolean {
    return this.#state === connectivityState.READY;
  }

  /** The last attempt to connect failed; the next one follows by itself. */
  get isFailing(): boolean {
    return this.#state === connectivityState.TRANSIENT_FAILURE;
  }

  /** Begins to connect, unless that is going on already. */
  connect(): void {
    if (!this.#closed) this.#client.getChannel().getConnectivityState(true);
  }

  /** Calls `listener` whenever the state of the connection may have changed, until `stop`. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Makes a call; never twice.
   *
   * @param request the encoded request
   * @throws ClientError, or the reason for which `scope` ended
   */
  unary<Response>(
    method: Pick<MethodDefinition<never, Response>, 'path' | 'response'>,
    request: Uint8Array,
    metadata: Metadata,
    { signal, deadlineMs }: CallScope,
  ): Promise<Response> {
    return new Promise<Response>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<Buffer, Response>(
        method.path,
        same,
        (bytes) => method.response.decode(bytes),
        buffer(request),
        metadata,
        { deadline: deadlineMs },
        (error, response) => {
          signal.removeEventListener('abort', stop);
          if (error) reject(fromGrpc(error));
          else resolve(response as Response);
        },
      );
      const stop = (): void => {
        reject(signal.reason as Error);
        call.cancel();
      };
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
    });
  }

  serverStream<Response>(
    method: Pick<MethodDefinition<never, Response>, 'path' | 'response'>,
    request: Uint8Array,
    metadata: Metadata,
  ): ClientReadableStream<Response> {
    return this.#client.makeServerStreamRequest<Buffer, Response>(
      method.path,
      same,
      (bytes) => method.response.decode(bytes),
      buffer(request),
      metadata,
    );
  }

  bidirectional<Request, Response>(
    method: MethodDefinition<Request, Response>,
    metadata: Metadata,
  ): ClientDuplexStream<Request, Sized<Response>> {
    return this.#client.makeBidiStreamRequest<Request, Sized<Response>>(
      method.path,
      (message) => buffer(method.request.encode(message)),
      (bytes) => ({ message: method.response.decode(bytes), sizeBytes: bytes.length }),
      metadata,
    );
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }

  /** Tells the listeners of every change, as long as the channel lives. */
  #follow(): void {
    if (this.#closed) return;
    const channel = this.#client.getChannel();
    channel.watchConnectivityState(channel.getConnectivityState(false), Infinity, () => {
      this.#follow();
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
