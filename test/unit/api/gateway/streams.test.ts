import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { EtcdError } from '../../../../src/base/errors.ts';
import { fromLatin1, latin1 } from '../../../../src/base/bytes.ts';
import type { BidiHandler } from '../../../../src/api/handler.ts';
import {
  SnapshotResponse,
  WatchResponse,
  type WatchRequest,
  type SnapshotRequest,
} from '../../../../src/gen/rpc.ts';
import { Maintenance } from '../../../../src/gen/services.ts';
import type { ApiPort, ApiPortOptions } from '../../../support/api-port.ts';
import { cleanups, deferred, emptyKv, serve } from '../../../support/api-calls.ts';
import { base64, JsonStream, post } from '../../../support/gateway-calls.ts';

type WatchHandler = BidiHandler<WatchRequest, WatchResponse>;

async function serveWatch(watch: WatchHandler, options: ApiPortOptions = {}): Promise<ApiPort> {
  const { port } = await serve({}, options, { watch });
  return port;
}

function open(port: ApiPort, headers?: Record<string, string>): JsonStream {
  const stream = new JsonStream(port.url, '/v3/watch', headers);
  stream.request.on('error', () => undefined);
  cleanups.push(() => stream.close());
  return stream;
}

/** Answers every creation with its key, and ends with the requests. */
const echo: WatchHandler = async function* (requests) {
  for await (const { requestUnion } of requests) {
    if (requestUnion?.case !== 'createRequest') continue;
    const { key } = requestUnion.value;
    yield WatchResponse.create({ created: true, cancelReason: latin1(key) });
  }
};

/** Never answers and tells when the call is over. */
function silent(): { readonly watch: WatchHandler; readonly aborted: Promise<void> } {
  const { promise, resolve } = deferred();
  return {
    aborted: promise,
    // eslint-disable-next-line require-yield -- a stream without a message
    watch: async function* (_requests, { signal }) {
      await new Promise<void>((over) => {
        signal.addEventListener('abort', () => over());
      });
      resolve();
    },
  };
}

/** Takes all requests. Returns how many there were. */
async function drained(requests: AsyncIterable<WatchRequest>): Promise<number> {
  let count = 0;
  const iterator = requests[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true) count++;
  return count;
}

const create = (key: string): object => ({ create_request: { key: base64(key) } });
const created = (key: string): object => ({ result: { created: true, cancel_reason: key } });

describe('streams', () => {
  test('answer each request of a body that is kept open', async () => {
    const port = await serveWatch(echo);
    const stream = open(port).send(create('a'));
    expect(await stream.next()).toEqual(created('a'));
    expect(await stream.status()).toBe(200);
    stream.send('  ').send(create('b')).send('\n');
    expect(await stream.next()).toEqual(created('b'));
    stream.send(`${JSON.stringify(create('c'))}${JSON.stringify(create('d'))}{"crea`);
    expect(await stream.next()).toEqual(created('c'));
    expect(await stream.next()).toEqual(created('d'));
    stream.send(`teRequest":{"key":"ZQ=="}}`).end();
    expect(await stream.next()).toEqual(created('e'));
    expect(await stream.next()).toBeUndefined();
  });

  test('go on after the end of the body, as the handler likes', async () => {
    const go = deferred();
    const port = await serveWatch(async function* (requests) {
      await drained(requests);
      yield WatchResponse.create({ created: true });
      await go.promise;
      yield WatchResponse.create({
        events: [
          { type: 1, kv: { ...emptyKv, key: fromLatin1('k'), modRevision: 7 }, prevKv: undefined },
        ],
      });
    });
    const stream = open(port).end();
    expect(await stream.next()).toEqual({ result: { created: true } });
    go.resolve();
    expect(await stream.next()).toEqual({
      result: { events: [{ type: 'DELETE', kv: { key: 'aw==', mod_revision: '7' } }] },
    });
    expect(await stream.next()).toBeUndefined();
  });

  test('are sent a line at a time, in one piece each', async () => {
    const port = await serveWatch(echo);
    const socket = connect(port.port, '127.0.0.1');
    cleanups.push(() => void socket.destroy());
    const body = JSON.stringify(create('a'));
    socket.write(
      `POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const text = await new Promise<string>((resolve) => {
      let all = '';
      socket.on('data', (chunk: Buffer) => {
        all += chunk.toString();
        if (all.endsWith('0\r\n\r\n')) resolve(all);
      });
    });
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\ncontent-type: application\/json\r\n/);
    expect(text).toMatch(/\r\n\r\n[0-9a-f]+\r\n\{"result":\{[^\n]*\}\}\n\r\n0\r\n\r\n$/);
  });

  test('are counted as those of gRPC', async () => {
    const port = await serveWatch(echo);
    const stream = open(port).send(create('a')).send(create('b')).end();
    while ((await stream.next()) !== undefined);
    const labels = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
    for (const [name, count] of [
      ['started', 1],
      ['msg_received', 2],
      ['msg_sent', 2],
    ] as const) {
      expect(await port.metric(`grpc_server_${name}_total{${labels}}`)).toBe(count);
    }
    const handled = `grpc_server_handled_total{${labels},grpc_code="OK"}`;
    await expect.poll(() => port.metric(handled)).toBe(1);
  });

  test('of the server only take one request', async () => {
    const { port } = await serve({});
    const requests: SnapshotRequest[] = [];
    port.adapter.add(Maintenance, {
      snapshot: async function* (request: SnapshotRequest) {
        requests.push(request);
        yield await Promise.resolve(SnapshotResponse.create({ blob: fromLatin1('abc') }));
        yield SnapshotResponse.create({ remainingBytes: 5 });
      },
    });
    for (const body of ['', '{}', '{"x":1} trailing']) {
      const stream = new JsonStream(port.url, '/v3/maintenance/snapshot').send(body).end();
      expect(await stream.next()).toEqual({ result: { blob: 'YWJj' } });
      expect(await stream.next()).toEqual({ result: { remaining_bytes: '5' } });
      expect(await stream.next()).toBeUndefined();
    }
    expect(requests).toHaveLength(3);
    expect(await post(port.url, '/v3/maintenance/snapshot', '[')).toMatchObject({
      status: 400,
      body: { code: 3, message: 'unexpected EOF' },
    });
    expect(requests).toHaveLength(3);
  });

  test('have metadata', async () => {
    const port = await serveWatch(echo, { grpc: { hasLeader: () => false } });
    const stream = open(port, { 'Grpc-Metadata-Hasleader': 'true' }).send(create('a'));
    expect(await stream.next()).toMatchObject({ error: { message: 'etcdserver: no leader' } });
    expect(await stream.status()).toBe(503);
  });
});

describe('refusals', () => {
  const error = {
    grpc_code: 1,
    http_code: 499,
    message: 'etcdserver: watch canceled',
    http_status: '',
    code: 1,
    details: [],
  };

  test('before the first message are the status too', async () => {
    const port = await serveWatch(() => {
      throw new EtcdError('watchCanceled');
    });
    const stream = open(port).end();
    expect(await stream.next()).toEqual({ error });
    expect(await stream.status()).toBe(499);
    expect(await stream.next()).toBeUndefined();
  });

  test('after it are the last line', async () => {
    const port = await serveWatch(async function* () {
      yield await Promise.resolve(WatchResponse.create({ created: true }));
      throw new EtcdError('watchCanceled');
    });
    const stream = open(port);
    stream.send(create('a'));
    expect(await stream.next()).toEqual({ result: { created: true } });
    expect(await stream.next()).toEqual({ error });
    expect(await stream.next()).toBeUndefined();
    expect(await stream.status()).toBe(200);
  });

  test('of what is no request end the stream', async () => {
    const { watch, aborted } = silent();
    const port = await serveWatch(watch);
    const stream = open(port).send('{"create_request":5}');
    expect(await stream.next()).toMatchObject({
      error: {
        code: 3,
        grpc_code: 3,
        http_code: 400,
        http_status: 'Bad Request',
        message: 'Failed to decode request: proto: syntax error (line 1:19): unexpected token 5',
      },
    });
    expect(await stream.status()).toBe(400);
    await aborted;
  });

  test('of a body that ends within a value', async () => {
    const port = await serveWatch(echo);
    const stream = open(port).send(create('a')).send('{"cre');
    expect(await stream.next()).toEqual(created('a'));
    stream.end();
    expect(await stream.next()).toMatchObject({
      error: { message: 'Failed to decode request: unexpected EOF' },
    });
  });

  test('at the deadline', async () => {
    const { watch, aborted } = silent();
    const port = await serveWatch(watch);
    const stream = open(port, { 'grpc-timeout': '20m' }).send(create('a'));
    expect(await stream.next()).toMatchObject({ error: { code: 4, http_code: 504 } });
    await aborted;
    expect((await post(port.url, '/v3/watch', '{}', { 'grpc-timeout': 'x' })).status).toBe(400);
  });

  test('of values that are too large', async () => {
    const port = await serveWatch(echo, { grpc: { maxRequestBytes: 1000 } });
    const stream = open(port).send(`{"x":"${'y'.repeat(2_000_000)}`);
    expect(await stream.next()).toMatchObject({ error: { code: 8, http_code: 429 } });
  });
});

describe('the end', () => {
  test('comes when the client goes', async () => {
    const { watch, aborted } = silent();
    const port = await serveWatch(watch);
    const stream = open(port).send(create('a'));
    await expect.poll(() => port.metric(started)).toBe(1);
    stream.close();
    await aborted;
    await expect.poll(() => port.metric(cancelled)).toBe(1);
  });

  test('comes when the client closes its side of the connection', async () => {
    const { watch, aborted } = silent();
    const port = await serveWatch(watch);
    const socket = connect(port.port, '127.0.0.1');
    cleanups.push(() => void socket.destroy());
    socket.end('POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}');
    await aborted;
  });

  test('comes with the member, and is told', async () => {
    const { watch, aborted } = silent();
    const port = await serveWatch(watch);
    const stream = open(port).send(create('a'));
    await expect.poll(() => port.metric(started)).toBe(1);
    await port.gateway.stop(10_000);
    expect(await stream.next()).toMatchObject({
      error: { code: 14, http_code: 503, message: 'etcdserver: server stopped' },
    });
    await aborted;
  });

  test('does not come with time, as it does for other requests', async () => {
    const { watch } = silent();
    const port = await serveWatch(watch, {
      port: { httpRequestTimeoutMs: 50, httpAnswerTimeoutMs: 50 },
    });
    const stream = open(port).send(create('a'));
    await expect.poll(() => port.metric(started)).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(stream.request.destroyed).toBe(false);
    expect(await port.metric(cancelled)).toBe(0);
  });

  const labels = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
  const started = `grpc_server_started_total{${labels}}`;
  const cancelled = `grpc_server_handled_total{${labels},grpc_code="Canceled"}`;
});

describe('back-pressure', () => {
  test('of a client that does not read holds the handler back', async () => {
    let produced = 0;
    const port = await serveWatch(async function* () {
      const cancelReason = 'x'.repeat(10_000);
      for (; produced < 100_000; produced++) {
        yield await Promise.resolve(WatchResponse.create({ cancelReason }));
      }
    });
    const socket = connect(port.port, '127.0.0.1');
    cleanups.push(() => void socket.destroy());
    socket.pause();
    socket.write('POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}');
    let before = -1;
    await expect
      .poll(
        () => {
          const isStill = produced > 0 && produced === before;
          before = produced;
          return isStill;
        },
        { interval: 200, timeout: 10_000 },
      )
      .toBe(true);
    expect(produced).toBeLessThan(10_000);
    expect(port.adapter.unsentBytes).toBeGreaterThan(0);
    socket.destroy();
    await expect.poll(() => port.adapter.unsentBytes).toBe(0);
  });

  test('of a handler that does not take requests holds the body back', async () => {
    const go = deferred();
    const port = await serveWatch(async function* (requests) {
      await go.promise;
      yield WatchResponse.create({ watchId: await drained(requests) });
    });
    const stream = open(port);
    const count = 200_000;
    for (let i = 0; i < 20; i++) stream.send('{} '.repeat(count / 20));
    stream.end();
    const received =
      'grpc_server_msg_received_total{grpc_type="bidi_stream",' +
      'grpc_service="etcdserverpb.Watch",grpc_method="Watch"}';
    await expect.poll(() => port.metric(received)).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await port.metric(received)).toBeLessThan(100);
    go.resolve();
    expect(await stream.next()).toEqual({ result: { watch_id: String(count) } });
  });

  test('counts what JSON adds to messages', async () => {
    const go = deferred();
    const port = await serveWatch(async function* () {
      const kv = { ...emptyKv, createRevision: 1, modRevision: 1, version: 1 };
      const events = Array.from({ length: 5_000 }, () => ({
        type: 1 as const,
        kv,
        prevKv: undefined,
      }));
      for (let i = 0; i < 100; i++) yield await Promise.resolve(WatchResponse.create({ events }));
      go.resolve();
    });
    const socket = connect(port.port, '127.0.0.1');
    cleanups.push(() => void socket.destroy());
    socket.pause();
    socket.write('POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}');
    // A megabyte of messages on the wire may wait, and each weighs several times as much as JSON.
    await expect.poll(() => port.adapter.unsentBytes).toBeGreaterThan(3_000_000);
    socket.resume();
    await go.promise;
    socket.destroy();
    await expect.poll(() => port.adapter.unsentBytes).toBe(0);
  });
});
