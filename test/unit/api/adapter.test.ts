import { connect } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { CallContext } from '../../../src/api/handler.ts';
import type { ServiceHandlers } from '../../../src/api/grpc/service.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { EtcdError, StatusCode, StatusError } from '../../../src/base/errors.ts';
import { KV, Lease, Watch } from '../../../src/gen/services.ts';
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RangeStreamResponse,
  type WatchRequest,
  WatchResponse,
} from '../../../src/gen/rpc.ts';
import { ApiPort, type ApiPortOptions } from '../../support/api-port.ts';
import { GrpcClient } from '../../support/grpc.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(
  handlers: ServiceHandlers<typeof KV>,
  options: ApiPortOptions = {},
  watch: ServiceHandlers<typeof Watch> = {},
): Promise<{ port: ApiPort; client: GrpcClient }> {
  const port = new ApiPort(options);
  port.adapter.add(KV, handlers);
  port.adapter.add(Watch, watch);
  await port.listen();
  const client = new GrpcClient(port.address);
  cleanups.push(
    () => port.stop(),
    () => client.close(),
  );
  return { port, client };
}

const putRequest = PutRequest.create({ key: Buffer.from('k'), value: Buffer.from('v') });
const okPut = (): Promise<PutResponse> => Promise.resolve(PutResponse.create());

/** A promise with its handles, which Node 20 lacks. */
function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe('calls with one message', () => {
  test('reach the handler of a class instance, decoded', async () => {
    class Service {
      readonly #suffix = '!';

      put(request: PutRequest): Promise<PutResponse> {
        const key = Buffer.from(`${Buffer.from(request.key).toString()}${this.#suffix}`);
        const prevKv = {
          key,
          createRevision: 1,
          modRevision: 2,
          version: 3,
          value: key,
          lease: 4n,
        };
        return Promise.resolve(PutResponse.create({ prevKv }));
      }
    }
    const { client } = await serve(new Service());
    const response = await client.unary(KV.methods.put, putRequest);
    expect(Buffer.from(response.prevKv?.key ?? []).toString()).toBe('k!');
  });

  test('may be empty both ways', async () => {
    const { client } = await serve({ range: () => Promise.resolve(RangeResponse.create()) });
    expect(await client.raw('/etcdserverpb.KV/Range', new Uint8Array(0))).toHaveLength(0);
  });

  test('show request headers', async () => {
    const seen: (string | undefined)[] = [];
    const { client } = await serve({
      put: (_request, context) => {
        seen.push(context.metadata('hasleader'), context.metadata('token'));
        return okPut();
      },
    });
    await client.unary(KV.methods.put, putRequest, { metadata: { hasleader: 'true' } });
    expect(seen).toEqual(['true', undefined]);
  });

  test('carry refusals with code and words', async () => {
    const { client } = await serve({ put: () => Promise.reject(new EtcdError('emptyKey')) });
    await expect(client.unary(KV.methods.put, putRequest)).rejects.toMatchObject({
      code: StatusCode.invalidArgument,
      details: 'etcdserver: key is not provided',
    });
  });

  test('carry any text, even one that is not well-formed', async () => {
    const text = '100% \u00e4 \ud800 \n"';
    const { client } = await serve({
      put: () => Promise.reject(new StatusError(StatusCode.aborted, text)),
    });
    await expect(client.unary(KV.methods.put, putRequest)).rejects.toMatchObject({
      code: StatusCode.aborted,
      details: '100% \u00e4 \ufffd \n"',
    });
  });

  test.each<[string, () => Promise<PutResponse>]>([
    ['rejects', () => Promise.reject(new Error('secret'))],
    [
      'throws',
      () => {
        throw new Error('secret');
      },
    ],
    ['answers with nonsense', () => Promise.resolve({ prevKv: 5 } as unknown as PutResponse)],
  ])('a handler that %s is a fault: logged, not told', async (_name, put) => {
    const { client, port } = await serve({ put });
    await expect(client.unary(KV.methods.put, putRequest)).rejects.toMatchObject({
      code: StatusCode.internal,
      details: 'etcdserver: internal error',
    });
    expect(port.logger.lines.filter((line) => line.level === 'error')).toHaveLength(1);
  });

  test('are refused in the words of grpc-go if malformed', async () => {
    const { client } = await serve({ put: okPut });
    const call = client.raw('/etcdserverpb.KV/Put', Buffer.from([0x0a, 0x7f, 0x01]));
    await expect(call).rejects.toMatchObject({
      code: StatusCode.internal,
      details: expect.stringMatching(/^grpc: error unmarshalling request: ./) as string,
    });
  });

  test('are refused in the words of grpc-go if too large', async () => {
    const { client } = await serve({ put: okPut }, { grpc: { maxRequestBytes: 1000 } });
    const limit = 1000 + 512 * 1024;
    const value = new Uint8Array(limit);
    await expect(client.unary(KV.methods.put, PutRequest.create({ value }))).rejects.toMatchObject({
      code: StatusCode.resourceExhausted,
      details: `grpc: received message larger than max (${limit + 4} vs. ${limit})`,
    });
    await client.unary(KV.methods.put, PutRequest.create({ value: value.subarray(8) }));
  });

  test('of methods and services that nobody serves are refused in the words of grpc-go', async () => {
    const { client } = await serve({ put: okPut });
    for (const [path, details] of [
      ['/etcdserverpb.KV/Nope', 'unknown method Nope for service etcdserverpb.KV'],
      ['/etcdserverpb.KV/Range', 'unknown method Range for service etcdserverpb.KV'],
      ['/a.b.C/D', 'unknown service a.b.C'],
    ] as const) {
      await expect(client.raw(path, new Uint8Array(0))).rejects.toMatchObject({
        code: StatusCode.unimplemented,
        details,
      });
    }
  });

  test('abort their signal when the client cancels or its deadline passes', async () => {
    const aborted = deferred();
    const { client } = await serve({
      put: (_request, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve());
        return new Promise(() => undefined);
      },
    });
    await expect(client.unary(KV.methods.put, putRequest, { timeoutMs: 50 })).rejects.toMatchObject(
      { code: StatusCode.deadlineExceeded },
    );
    await aborted.promise;
  });

  test('do not abort their signal by being answered', async () => {
    const contexts: CallContext[] = [];
    const { client } = await serve({
      put: (_request, context) => {
        contexts.push(context);
        return context.signal.aborted ? Promise.reject(new Error('aborted')) : okPut();
      },
    });
    await client.unary(KV.methods.put, putRequest);
    await client.unary(KV.methods.put, putRequest);
    expect(contexts.map(({ signal }) => signal.aborted)).toEqual([false, false]);
  });

  test('may be compressed', async () => {
    const { port } = await serve({
      put: (request) =>
        Promise.resolve(PutResponse.create({ prevKv: { ...emptyKv, key: request.key } })),
    });
    const message = gzipSync(PutRequest.encode(putRequest));
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt8(1, 0);
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, 5);
    const answer = await rawCall(port, '/etcdserverpb.KV/Put', frame, { 'grpc-encoding': 'gzip' });
    expect(answer.status).toBe('0');
    expect(PutResponse.decode(answer.body.subarray(5)).prevKv?.key).toEqual(Buffer.from('k'));
  });

  test('may come in pieces of any size', async () => {
    const { port } = await serve({ put: okPut });
    const message = PutRequest.encode(putRequest);
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    const pieces = [...frame].map((byte) => Buffer.from([byte]));
    const answer = await rawCall(port, '/etcdserverpb.KV/Put', pieces, {});
    expect(answer).toMatchObject({ status: '0' });
  });

  test.each([
    ['no message', Buffer.alloc(0)],
    ['two messages', Buffer.alloc(10)],
  ])('with %s are refused', async (_name, body) => {
    const { port } = await serve({ put: okPut });
    const answer = await rawCall(port, '/etcdserverpb.KV/Put', body, {});
    expect(answer.status).toBe(String(StatusCode.unimplemented));
  });

  test.each([
    ['20000000S', '0'],
    ['99999999H', '0'],
    ['5000m', '0'],
    ['0m', String(StatusCode.deadlineExceeded)],
    ['999u', String(StatusCode.deadlineExceeded)],
    ['nonsense', String(StatusCode.internal)],
  ])('with a time limit of %s end with status %s', async (timeout, status) => {
    const put = async (): Promise<PutResponse> => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return PutResponse.create();
    };
    const { port } = await serve({ put });
    const answer = await rawCall(port, '/etcdserverpb.KV/Put', Buffer.alloc(5), {
      'grpc-timeout': timeout,
    });
    expect(answer.status).toBe(status);
  });

  test('must be POSTed as gRPC', async () => {
    const { port } = await serve({ put: okPut });
    const answer = await rawCall(port, '/etcdserverpb.KV/Put', Buffer.alloc(5), {
      'content-type': 'application/json',
    });
    expect(answer.httpStatus).toBe(415);
  });

  test('are counted under the names that dashboards ask for', async () => {
    const { client, port } = await serve({ put: okPut });
    await client.unary(KV.methods.put, putRequest);
    await client.raw('/etcdserverpb.KV/Put', Buffer.from([0x0a])).catch(() => undefined);
    const labels = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
    expect(await port.metric(`grpc_server_started_total{${labels}}`)).toBe(2);
    expect(await port.metric(`grpc_server_handled_total{${labels},grpc_code="OK"}`)).toBe(1);
    expect(await port.metric(`grpc_server_handled_total{${labels},grpc_code="Internal"}`)).toBe(1);
    expect(await port.metric(`grpc_server_handled_total{${labels},grpc_code="Canceled"}`)).toBe(0);
    const bytes = PutRequest.encode(putRequest).length + 1;
    expect(await port.metric('etcd_network_client_grpc_received_bytes_total')).toBe(bytes);
  });

  test('that are slow are logged', async () => {
    let nowMs = 0;
    const { client, port } = await serve(
      {
        put: () => {
          nowMs += 301;
          return okPut();
        },
      },
      { grpc: { slowCallMs: 300, clock: { ...systemClock, monotonicMs: () => nowMs } } },
    );
    await client.unary(KV.methods.put, putRequest);
    expect(port.logger.lines).toContainEqual({
      level: 'warn',
      message: 'request took too long',
      fields: { path: '/etcdserverpb.KV/Put', tookMs: 301, expectedMs: 300 },
    });
  });
});

const emptyKv = {
  key: new Uint8Array(0),
  createRevision: 0,
  modRevision: 0,
  version: 0,
  value: new Uint8Array(0),
  lease: 0n,
};

interface RawAnswer {
  readonly httpStatus: number | undefined;
  readonly status: string | undefined;
  readonly body: Buffer;
}

/** A call made of frames, with whatever headers. */
function rawCall(
  port: ApiPort,
  path: string,
  body: Buffer | readonly Buffer[],
  headers: Record<string, string>,
): Promise<RawAnswer> {
  const session = connect(port.url);
  cleanups.push(() => session.destroy());
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const chunks: Buffer[] = [];
    let httpStatus: number | undefined;
    let status: string | undefined;
    stream.on('response', (answer) => {
      httpStatus = answer[':status'];
      status = answer['grpc-status'] as string | undefined;
    });
    stream.on('trailers', (trailers) => {
      status = (trailers as Record<string, string>)['grpc-status'];
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => resolve({ httpStatus, status, body: Buffer.concat(chunks) }));
    stream.on('error', reject);
    for (const piece of Array.isArray(body) ? (body as Buffer[]) : [body as Buffer]) {
      stream.write(piece);
    }
    stream.end();
  });
}

describe('streams of answers', () => {
  test('come in order and end', async () => {
    const { client } = await serve({
      async *rangeStream(request) {
        for (let count = 0; count < request.limit; count++) {
          const rangeResponse = RangeResponse.create({ count });
          yield await Promise.resolve(RangeStreamResponse.create({ rangeResponse }));
        }
      },
    });
    const request = RangeRequest.create({ limit: 1000 });
    const answers = await client.serverStream(KV.methods.rangeStream, request).all();
    expect(answers.map((answer) => answer.rangeResponse?.count)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });

  test('end with a refusal after what was sent before', async () => {
    const { client } = await serve({
      async *rangeStream() {
        yield RangeStreamResponse.create();
        await Promise.reject(new EtcdError('compacted'));
      },
    });
    const stream = client.serverStream(KV.methods.rangeStream, RangeRequest.create());
    expect(await stream.next()).toBeDefined();
    await expect(stream.next()).rejects.toMatchObject({ code: StatusCode.outOfRange });
  });

  test('are cut off when the client cancels', async () => {
    const ended = deferred();
    const { client } = await serve({
      async *rangeStream(_request, { signal }) {
        const aborted = deferred();
        signal.addEventListener('abort', () => aborted.resolve());
        try {
          yield RangeStreamResponse.create();
          await aborted.promise;
        } finally {
          ended.resolve();
        }
      },
    });
    const stream = client.serverStream(KV.methods.rangeStream, RangeRequest.create());
    await stream.next();
    stream.cancel();
    await ended.promise;
  });

  test('wait for a client that does not read', async () => {
    let produced = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const kvs = [{ ...emptyKv, key: Buffer.from('k'), value: chunk }];
    const rangeResponse = RangeResponse.create({ kvs });
    const { port } = await serve({
      async *rangeStream() {
        for (; produced < 1000; produced++) {
          yield await Promise.resolve(RangeStreamResponse.create({ rangeResponse }));
        }
      },
    });
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': '/etcdserverpb.KV/RangeStream',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.end(Buffer.alloc(5));
    await new Promise((resolve) => stream.once('response', resolve));
    // Nothing is read: 64 kB fit into the window, 1 MiB may wait in the server.
    let before = -1;
    while (produced !== before) {
      before = produced;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(produced).toBeLessThan(30);
    stream.resume();
    await new Promise((resolve) => stream.once('end', resolve));
    expect(produced).toBe(1000);
  });
});

describe('streams both ways', () => {
  /** Answers each request with as many events as its watch id says. */
  const echo: ServiceHandlers<typeof Watch> = {
    async *watch(requests) {
      for await (const request of requests) {
        const { requestUnion } = request;
        if (requestUnion?.case !== 'cancelRequest') continue;
        yield WatchResponse.create({ watchId: requestUnion.value.watchId });
      }
      yield WatchResponse.create({ watchId: -1 });
    },
  };
  const cancelRequest = (watchId: number): WatchRequest => ({
    requestUnion: { case: 'cancelRequest', value: { watchId } },
  });

  test('answer each message, and go on after the client has ended its side', async () => {
    const { client } = await serve({}, {}, echo);
    const stream = client.bidirectional(Watch.methods.watch);
    for (let id = 0; id < 200; id++) stream.send(cancelRequest(id));
    stream.end();
    const ids = (await stream.all()).map((response) => response.watchId);
    expect(ids).toEqual([...Array.from({ length: 200 }, (_, i) => i), -1]);
  });

  test('end for the handler when the client cancels', async () => {
    const ended = deferred<boolean>();
    const { client, port } = await serve(
      {},
      {},
      {
        async *watch(requests, { signal }) {
          for await (const request of requests) {
            yield WatchResponse.create({ created: request.requestUnion !== undefined });
          }
          ended.resolve(signal.aborted);
        },
      },
    );
    const stream = client.bidirectional(Watch.methods.watch);
    stream.send(cancelRequest(1));
    await stream.next();
    stream.cancel();
    expect(await ended.promise).toBe(true);
    const labels = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
    const series = `grpc_server_handled_total{${labels},grpc_code="Canceled"}`;
    await expect.poll(() => port.metric(series)).toBe(1);
  });

  test('are refused at a malformed message', async () => {
    const { port } = await serve({}, {}, echo);
    const frame = Buffer.from([0, 0, 0, 0, 2, 0x0a, 0x7f]);
    const answer = await rawCall(port, '/etcdserverpb.Watch/Watch', frame, {});
    expect(answer.status).toBe(String(StatusCode.internal));
  });

  test('are refused when the handler throws at once', async () => {
    const { client } = await serve(
      {},
      {},
      {
        watch: () => {
          throw new EtcdError('noLeader');
        },
      },
    );
    const stream = client.bidirectional(Watch.methods.watch);
    await expect(stream.next()).rejects.toMatchObject({ code: StatusCode.unavailable });
  });

  test('hold back a client that sends faster than the handler takes', async () => {
    const go = deferred();
    let taken = 0;
    const { client, port } = await serve(
      {},
      {},
      {
        async *watch(requests) {
          await go.promise;
          for await (const request of requests) {
            taken++;
            if (request.requestUnion === undefined) yield WatchResponse.create();
          }
        },
      },
    );
    const stream = client.bidirectional(Watch.methods.watch);
    const key = Buffer.alloc(16 * 1024);
    const filters: never[] = [];
    const value = {
      key,
      rangeEnd: key,
      startRevision: 0,
      progressNotify: false,
      filters,
      prevKv: false,
      watchId: 0,
      fragment: false,
    };
    for (let i = 0; i < 300; i++) stream.send({ requestUnion: { case: 'createRequest', value } });
    stream.end();
    const received = 'etcd_network_client_grpc_received_bytes_total';
    await expect.poll(() => port.metric(received)).toBeGreaterThan(0);
    let before = -1;
    let now = 0;
    while (now !== before) {
      before = now;
      await new Promise((resolve) => setTimeout(resolve, 50));
      now = (await port.metric(received)) ?? 0;
    }
    expect(now / (2 * key.length)).toBeLessThan(60);
    go.resolve();
    await stream.all();
    expect(taken).toBe(300);
  });
});

describe('connections', () => {
  test('that ping too often are told to calm down and closed', async () => {
    const { port } = await serve({ put: okPut }, { grpc: { keepaliveMinTimeMs: 5000 } });
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    const goaway = new Promise<{ code: number; data: string }>((resolve) => {
      session.on('goaway', (code, _last, data) => {
        resolve({ code, data: Buffer.from(data ?? []).toString() });
      });
    });
    session.on('error', () => undefined);
    await new Promise((resolve) => session.once('connect', resolve));
    for (let i = 0; i < 5; i++) session.ping(() => undefined);
    expect(await goaway).toEqual({ code: 11, data: 'too_many_pings' });
  });

  test('may ping as they like if the flag allows it', async () => {
    const { port } = await serve({ put: okPut }, { grpc: { keepaliveMinTimeMs: 0 } });
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    await new Promise((resolve) => session.once('connect', resolve));
    for (let i = 0; i < 20; i++) {
      await new Promise<void>((resolve, reject) => {
        session.ping((error) => (error === null ? resolve() : reject(error)));
      });
    }
    expect(session.destroyed).toBe(false);
  });

  test('that are idle but alive are kept', async () => {
    const { port } = await serve(
      { put: okPut },
      { grpc: { idleProbeMs: 20, probeTimeoutMs: 500 } },
    );
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    await new Promise((resolve) => session.once('connect', resolve));
    for (let i = 0; i < 3; i++) await new Promise((resolve) => session.once('ping', resolve));
    expect(session.destroyed).toBe(false);
  });

  test('may have as many calls open as the flag says', async () => {
    const { port } = await serve({ put: okPut }, { grpc: { maxConcurrentStreams: 7 } });
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    const settings = await new Promise<{ maxConcurrentStreams?: number }>((resolve) => {
      session.once('remoteSettings', resolve);
    });
    expect(settings.maxConcurrentStreams).toBe(7);
  });

  test('are closed gracefully: open calls finish, new ones are refused', async () => {
    const go = deferred();
    const started = deferred();
    const { client, port } = await serve({
      put: async () => {
        started.resolve();
        await go.promise;
        return PutResponse.create();
      },
    });
    const call = client.unary(KV.methods.put, putRequest);
    await started.promise;
    const stopped = port.stop(10_000);
    go.resolve();
    await call;
    await stopped;
    await expect(client.unary(KV.methods.put, putRequest)).rejects.toMatchObject({
      code: StatusCode.unavailable,
    });
  });

  test('are cut off when the time of grace is over', async () => {
    const started = deferred();
    const { client, port } = await serve({
      put: () => {
        started.resolve();
        return new Promise(() => undefined);
      },
    });
    const call = client.unary(KV.methods.put, putRequest);
    await started.promise;
    await Promise.all([port.stop(20), expect(call).rejects.toThrow()]);
  });

  test('serve several services', async () => {
    const { client, port } = await serve({ put: okPut });
    port.adapter.add(Lease, {
      leaseGrant: (request) => Promise.resolve(LeaseGrantResponse.create({ ttl: request.ttl })),
    });
    const request = LeaseGrantRequest.create({ ttl: 9 });
    expect((await client.unary(Lease.methods.leaseGrant, request)).ttl).toBe(9);
  });
});
