import { type ClientHttp2Stream, connect } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { CallContext } from '../../../src/api/handler.ts';
import { EtcdError, StatusCode, StatusError } from '../../../src/base/errors.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { PutRequest, PutResponse, RangeResponse } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import {
  cleanups,
  deferred,
  emptyKv,
  framed,
  okPut,
  putRequest,
  rawCall,
  serve,
} from '../../support/api-calls.ts';

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

  test('are awaited awake while the next one usually follows at once', async () => {
    let nowMs = 0;
    const awakeMs: number[] = [];
    const clock = {
      ...systemClock,
      monotonicMs: () => nowMs,
      keepAwake: (_awaited: unknown, forMs: number) => void awakeMs.push(forMs),
    };
    const { client } = await serve({ put: okPut }, { grpc: { clock } });
    const call = async (pauseMs: number): Promise<void> => {
      nowMs += pauseMs;
      await client.unary(KV.methods.put, putRequest);
    };
    for (let count = 0; count < 60; count++) await call(0.01);
    expect(awakeMs.length).toBeGreaterThan(30);
    for (let count = 0; count < 100; count++) await call(5);
    awakeMs.length = 0;
    await call(5);
    expect(awakeMs).toEqual([]);
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

  test('that nobody serves are refused in the words of grpc-go', async () => {
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
    const frame = framed(gzipSync(PutRequest.encode(putRequest)), 1);
    const answer = await rawCall(port, '/etcdserverpb.KV/Put', frame, { 'grpc-encoding': 'gzip' });
    expect(answer.status).toBe('0');
    expect(PutResponse.decode(answer.body.subarray(5)).prevKv?.key).toEqual(Buffer.from('k'));
  });

  test('may come in pieces of any size', async () => {
    const { port } = await serve({ put: okPut });
    const frame = framed(PutRequest.encode(putRequest));
    const pieces = [...frame].map((byte) => Buffer.from([byte]));
    const answer = await rawCall(port, '/etcdserverpb.KV/Put', pieces, {});
    expect(answer).toMatchObject({ status: '0' });
  });

  test('that stay incomplete may not fill the memory', async () => {
    const { port } = await serve(
      { put: okPut },
      { grpc: { requestLimits: { connectionBytes: 2000, totalBytes: 4000, stallMs: 1000 } } },
    );
    const frame = Buffer.alloc(900);
    frame.writeUInt32BE(2000, 1);
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    const open = (): ClientHttp2Stream => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/etcdserverpb.KV/Put',
        'content-type': 'application/grpc',
      });
      stream.on('error', () => undefined);
      stream.write(frame);
      return stream;
    };
    const first = open();
    const status = await new Promise((resolve) => {
      open().on('response', (headers) => resolve(headers['grpc-status']));
    });
    expect(status).toBe(String(StatusCode.resourceExhausted));
    // What the first one holds is free again once it is gone.
    first.close();
    const rest = Buffer.alloc(905);
    rest.writeUInt32BE(900, 1);
    const pieces = [rest.subarray(0, 500), rest.subarray(500)];
    await expect
      .poll(async () => (await rawCall(port, '/etcdserverpb.KV/Put', pieces, {})).status)
      .not.toBe(String(StatusCode.resourceExhausted));
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
