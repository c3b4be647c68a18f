/** A plain gRPC client: grpc-js with the generated codecs and nothing in between. */
import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type Metadata,
  Metadata as MetadataClass,
  type ServiceError,
  credentials,
} from '@grpc/grpc-js';
import { buffer } from '../../src/base/bytes.ts';
import type { Codec, MethodDefinition } from '../../src/base/wire.ts';

/** A refusal as it arrived. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: number;
  readonly details: string;

  constructor(code: number, details: string) {
    super(`${code}: ${details}`);
    this.code = code;
    this.details = details;
  }
}

export type CallMetadata = Readonly<Record<string, string>>;

export interface CallOptions {
  readonly metadata?: CallMetadata;
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 20_000;

const serializer =
  <T>(codec: Codec<T>) =>
  (message: T): Buffer =>
    buffer(codec.encode(message));

const deserializer =
  <T>(codec: Codec<T>) =>
  (bytes: Buffer): T =>
    codec.decode(bytes);

function metadataOf(entries: CallMetadata = {}): Metadata {
  const metadata = new MetadataClass();
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value);
  return metadata;
}

const callError = ({ code, details }: ServiceError): CallError => new CallError(code, details);

/** Messages from the server, taken one by one with a time limit. */
export class MessageStream<Request, Response> {
  readonly #call: ClientReadableStream<Response>;
  readonly #write: ((message: Request) => void) | undefined;
  readonly #end: (() => void) | undefined;
  readonly #arrived: Response[] = [];
  #finished: { readonly error: CallError | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(call: ClientReadableStream<Response> | ClientDuplexStream<Request, Response>) {
    this.#call = call;
    if ('write' in call) {
      this.#write = (message) => void call.write(message);
      this.#end = () => void call.end();
    }
    call.on('data', (message: Response) => {
      this.#arrived.push(message);
      this.#wake?.();
    });
    call.on('error', (error: ServiceError) => this.#finish(callError(error)));
    call.on('end', () => this.#finish(undefined));
  }

  send(message: Request): void {
    if (this.#write === undefined) throw new Error('the client does not stream');
    this.#write(message);
  }

  /** Ends our side; the server may go on. */
  end(): void {
    this.#end?.();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** What has arrived and was not taken. */
  get pending(): number {
    return this.#arrived.length;
  }

  /** The next message; undefined at the end. Throws {@link CallError} if the stream failed. */
  async next(timeoutMs = defaultTimeoutMs): Promise<Response | undefined> {
    const message = await this.tryNext(timeoutMs);
    if (message === 'silence') throw new Error(`no message within ${timeoutMs} ms`);
    return message;
  }

  /** As `next`, but silence is an answer too. */
  async tryNext(timeoutMs: number): Promise<Response | undefined | 'silence'> {
    if (this.#arrived.length === 0 && this.#finished === undefined) await this.#wait(timeoutMs);
    if (this.#arrived.length > 0) return this.#arrived.shift();
    if (this.#finished === undefined) return 'silence';
    if (this.#finished.error !== undefined) throw this.#finished.error;
    return undefined;
  }

  /** Everything up to the end. */
  async all(): Promise<Response[]> {
    const messages: Response[] = [];
    for (;;) {
      const message = await this.next();
      if (message === undefined) return messages;
      messages.push(message);
    }
  }

  #wait(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#wake = done;
    });
  }

  #finish(error: CallError | undefined): void {
    this.#finished ??= { error };
    this.#wake?.();
  }
}

/** One channel to one server. */
export class GrpcClient {
  readonly #client: Client;

  constructor(address: string, options: ChannelOptions = {}) {
    this.#client = new Client(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      // Channels to one address would otherwise share a connection.
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    });
  }

  close(): void {
    this.#client.close();
  }

  unary<Request extends object, Response extends object>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    { metadata, timeoutMs = defaultTimeoutMs }: CallOptions = {},
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        serializer(method.request),
        deserializer(method.response),
        request,
        metadataOf(metadata),
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          if (error) reject(callError(error));
          else if (response === undefined) reject(new Error('neither answer nor error'));
          else resolve(response);
        },
      );
    });
  }

  /** Sends bytes that need not be a message and returns the answer's bytes. */
  raw(path: string, request: Uint8Array, metadata?: CallMetadata): Promise<Uint8Array> {
    const same: Codec<Uint8Array> = {
      encode: (bytes) => bytes,
      write: (writer, bytes) => writer.raw(bytes),
      decode: (bytes) => bytes,
      create: () => new Uint8Array(0),
    };
    const method = {
      name: path,
      path,
      requestStream: false,
      responseStream: false,
      request: same,
      response: same,
    };
    return this.unary(method, request, metadata === undefined ? {} : { metadata });
  }

  serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    { metadata }: CallOptions = {},
  ): MessageStream<never, Response> {
    return new MessageStream(
      this.#client.makeServerStreamRequest(
        method.path,
        serializer(method.request),
        deserializer(method.response),
        request,
        metadataOf(metadata),
      ),
    );
  }

  bidirectional<Request, Response>(
    method: MethodDefinition<Request, Response>,
    { metadata }: CallOptions = {},
  ): MessageStream<Request, Response> {
    return new MessageStream(
      this.#client.makeBidiStreamRequest(
        method.path,
        serializer(method.request),
        deserializer(method.response),
        metadataOf(metadata),
      ),
    );
  }
}
