/** A member that does what the test says: grpc-js's server with the generated codecs. */
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { buffer } from '../../src/base/bytes.ts';
import type { Codec, MethodDefinition } from '../../src/base/wire.ts';
import {
  ResponseHeader,
  type WatchCreateRequest,
  type WatchRequest,
  WatchResponse,
} from '../../src/gen/rpc.ts';
import { Watch } from '../../src/gen/services.ts';

/** A refusal. */
export class Refusal extends Error {
  readonly code: number;
  readonly details: string;

  constructor(code: number, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

export type UnaryHandler<Request, Response> = (
  request: Request,
  call: { readonly metadata: Metadata; cancelled(): boolean },
) => Response | Promise<Response>;

/** One Watch stream as the server has it. */
export class FakeWatch {
  readonly call: ServerDuplexStream<WatchRequest, WatchResponse>;
  /** Resolves when the client has gone. */
  readonly left: Promise<void>;
  readonly #requests: WatchRequest[] = [];
  readonly #waiting: ((request: WatchRequest) => void)[] = [];

  constructor(call: ServerDuplexStream<WatchRequest, WatchResponse>) {
    this.call = call;
    this.left = new Promise((resolve) => {
      call.on('cancelled', () => resolve());
    });
    call.on('error', () => undefined);
    call.on('data', (request: WatchRequest) => {
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#requests.push(request);
      else waiter(request);
    });
  }

  get metadata(): Metadata {
    return this.call.metadata;
  }

  next(): Promise<WatchRequest> {
    const request = this.#requests.shift();
    if (request !== undefined) return Promise.resolve(request);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The next request, which must be one to create a watch. */
  async createRequest(): Promise<WatchCreateRequest> {
    const { requestUnion } = await this.next();
    if (requestUnion?.case !== 'createRequest') throw new Error(`got ${requestUnion?.case ?? '-'}`);
    return requestUnion.value;
  }

  /** Reads the request to create a watch and confirms it at `revision`. */
  async confirm(revision: number, watchId = 0): Promise<WatchCreateRequest> {
    const request = await this.createRequest();
    this.send({ header: header(revision), watchId, created: true });
    return request;
  }

  /** False if the client reads too slowly. */
  send(response: Partial<WatchResponse>): boolean {
    return this.call.write(WatchResponse.create(response));
  }

  fail(code: number, details: string): void {
    this.call.emit('error', new Refusal(code, details));
  }
}

export const header = (revision: number): ResponseHeader =>
  ResponseHeader.create({ clusterId: 1n, memberId: 2n, revision, raftTerm: 3 });

const serializer =
  <T>(codec: Codec<T>) =>
  (message: T): Buffer =>
    buffer(codec.encode(message));

const definitionOf = <Request, Response>(method: MethodDefinition<Request, Response>): object => ({
  path: method.path,
  requestStream: method.requestStream,
  responseStream: method.responseStream,
  requestSerialize: serializer(method.request),
  requestDeserialize: (bytes: Buffer) => method.request.decode(bytes),
  responseSerialize: serializer(method.response),
  responseDeserialize: (bytes: Buffer) => method.response.decode(bytes),
});

export class FakeMember {
  readonly #server = new Server({
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
  });
  readonly #watches: FakeWatch[] = [];
  readonly #waiting: ((watch: FakeWatch) => void)[] = [];
  port = 0;

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  on<Request, Response>(
    method: MethodDefinition<Request, Response>,
    handler: UnaryHandler<Request, Response>,
  ): this {
    const handle = (
      call: ServerUnaryCall<Request, Response>,
      answer: sendUnaryData<Response>,
    ): void => {
      const state = { metadata: call.metadata, cancelled: () => call.cancelled };
      Promise.resolve()
        .then(() => handler(call.request, state))
        .then(
          (response) => answer(null, response),
          (error: unknown) => answer(error as Refusal),
        );
    };
    return this.#add(method, handle);
  }

  /** Answers each request of a stream, in their order; what the handler throws ends the stream. */
  onEach<Request, Response>(
    method: MethodDefinition<Request, Response>,
    handler: (request: Request) => Response | Promise<Response>,
  ): this {
    return this.#add(method, (call: ServerDuplexStream<Request, Response>) => {
      let answered = Promise.resolve();
      call.on('error', () => undefined);
      call.on('data', (request: Request) => {
        answered = answered
          .then(() => handler(request))
          .then((response) => void call.write(response))
          .catch((error: unknown) => void call.emit('error', error));
      });
      call.on('end', () => void answered.then(() => call.end()));
    });
  }

  onStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    handler: (call: ServerWritableStream<Request, Response>) => void,
  ): this {
    return this.#add(method, handler);
  }

  /** Lets the test serve Watch streams by {@link watch}. */
  onWatch(): this {
    return this.#add(
      Watch.methods.watch,
      (call: ServerDuplexStream<WatchRequest, WatchResponse>) => {
        const watch = new FakeWatch(call);
        const waiter = this.#waiting.shift();
        if (waiter === undefined) this.#watches.push(watch);
        else waiter(watch);
      },
    );
  }

  /** The next stream that a client opens. */
  watch(): Promise<FakeWatch> {
    const watch = this.#watches.shift();
    if (watch !== undefined) return Promise.resolve(watch);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** @param where a port on loopback, or a socket as `unix:path` */
  async listen(
    where = '127.0.0.1:0',
    credentials = ServerCredentials.createInsecure(),
  ): Promise<this> {
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(where, credentials, (error, port) => {
        if (error) reject(error);
        else resolve(port);
      });
    });
    return this;
  }

  /** Cuts all connections and listens no more. */
  stop(): void {
    this.#server.forceShutdown();
  }

  #add<Request, Response>(method: MethodDefinition<Request, Response>, handler: unknown): this {
    this.#server.addService(
      { [method.name]: definitionOf(method) } as never,
      { [method.name]: handler } as never,
    );
    return this;
  }
}
