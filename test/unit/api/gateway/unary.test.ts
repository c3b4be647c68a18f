import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { EtcdError, StatusError } from '../../../../src/base/errors.ts';
import { fromLatin1, latin1 } from '../../../../src/base/bytes.ts';
import type { CallContext } from '../../../../src/api/handler.ts';
import { PutResponse, RangeResponse, type PutRequest } from '../../../../src/gen/rpc.ts';
import type { ApiPort } from '../../../support/api-port.ts';
import { cleanups, deferred, emptyKv, okPut, serve } from '../../../support/api-calls.ts';
import { base64, post } from '../../../support/gateway-calls.ts';

const key = base64('k');
const put = (
  port: ApiPort,
  body: unknown,
  headers?: Record<string, string>,
): ReturnType<typeof post> => post(port.url, '/v3/kv/put', body, headers);

/** A handler that remembers what it was asked. */
function recording(): {
  readonly requests: PutRequest[];
  readonly contexts: CallContext[];
  readonly put: (request: PutRequest, context: CallContext) => Promise<PutResponse>;
} {
  const requests: PutRequest[] = [];
  const contexts: CallContext[] = [];
  return {
    requests,
    contexts,
    put: (request, context) => {
      requests.push(request);
      contexts.push(context);
      return Promise.resolve(
        PutResponse.create({ header: { clusterId: 1n, memberId: 2n, revision: 3, raftTerm: 4 } }),
      );
    },
  };
}

describe('calls', () => {
  test('reach the handler of gRPC and are answered in JSON', async () => {
    const handler = recording();
    const { port } = await serve({ put: handler.put });
    const answer = await put(port, { key, value: base64('v'), lease: '9007199254740993' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.body).toEqual({
      header: { cluster_id: '1', member_id: '2', revision: '3', raft_term: '4' },
    });
    expect(handler.requests).toMatchObject([{ lease: 9007199254740993n }]);
    expect(latin1(handler.requests[0]?.value ?? fromLatin1(''))).toBe('v');
  });

  test('are counted as those of gRPC', async () => {
    const { port } = await serve({ put: okPut });
    await put(port, { key });
    const labels = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
    for (const name of ['started_total', 'msg_received_total', 'msg_sent_total']) {
      expect(await port.metric(`grpc_server_${name}{${labels}}`)).toBe(1);
    }
    expect(await port.metric(`grpc_server_handled_total{${labels},grpc_code="OK"}`)).toBe(1);
    expect(await port.metric('etcd_network_client_grpc_received_bytes_total')).toBe(3);
  });

  test.each(['', '  \n', '{}', '{} {"key":5} x'])('may have the body %j', async (body) => {
    const handler = recording();
    const { port } = await serve({ put: handler.put });
    expect((await put(port, body)).status).toBe(200);
    expect(handler.requests[0]?.key).toHaveLength(0);
  });

  test('may come under the old prefix, with a query and any content type', async () => {
    const { port } = await serve({ put: okPut });
    expect((await post(port.url, '/v3beta/kv/put?x=1', { key })).status).toBe(200);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await put(port, { key }, headers)).status).toBe(200);
  });

  test('may come byte by byte, and one after the other on a connection', async () => {
    const handler = recording();
    const { port } = await serve({ put: handler.put });
    const socket = connect(port.port, '127.0.0.1');
    socket.setNoDelay(true);
    cleanups.push(() => void socket.destroy());
    const answers: Promise<string> = new Promise((resolve) => {
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.split('{"header"').length === 3) resolve(text);
      });
    });
    const body = JSON.stringify({ key, value: base64('v') });
    const head = `POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`;
    for (const byte of head + body + head + body) {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await answers).match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(handler.requests.map((request) => latin1(request.value))).toEqual(['v', 'v']);
  });

  test('have metadata', async () => {
    const handler = recording();
    const { port } = await serve({ put: handler.put });
    await put(port, { key }, { Authorization: 'abc.1', 'Grpc-Metadata-X': 'y', other: 'z' });
    const [context] = handler.contexts;
    const names = ['authorization', 'x', 'X', 'other', 'content-type'];
    expect(names.map((name) => context?.metadata(name))).toEqual([
      'abc.1',
      'y',
      'y',
      undefined,
      undefined,
    ]);
    await put(port, { key }, { 'Grpc-Metadata-Authorization': 'abc.2' });
    expect(handler.contexts[1]?.metadata('authorization')).toBe('abc.2');
  });

  test('may demand a leader', async () => {
    const { port } = await serve({ put: okPut }, { grpc: { hasLeader: () => false } });
    const answer = await put(port, { key }, { 'grpc-metadata-hasleader': 'true' });
    expect(answer).toMatchObject({ status: 503, body: { message: 'etcdserver: no leader' } });
  });
});

describe('refusals', () => {
  test('have the fields of 3.6 and those of 3.4', async () => {
    const { port } = await serve({ put: () => Promise.reject(new EtcdError('emptyKey')) });
    expect(await put(port, {})).toMatchObject({
      status: 400,
      body: {
        error: 'etcdserver: key is not provided',
        message: 'etcdserver: key is not provided',
        code: 3,
        details: [],
      },
    });
  });

  test.each([
    [1, 499],
    [2, 500],
    [3, 400],
    [4, 504],
    [5, 404],
    [6, 409],
    [7, 403],
    [8, 429],
    [9, 400],
    [10, 409],
    [11, 400],
    [12, 501],
    [13, 500],
    [14, 503],
    [15, 500],
    [16, 401],
  ] as const)('with code %s have the status %s', async (code, status) => {
    const { port } = await serve({ put: () => Promise.reject(new StatusError(code, 'é "x"')) });
    const answer = await put(port, {});
    expect(answer).toMatchObject({ status, body: { code, message: 'é "x"' } });
    expect(answer.headers.get('www-authenticate')).toBe(code === 16 ? '? "x"' : null);
  });

  test('of faults tell nothing of them', async () => {
    const { port } = await serve({ put: () => Promise.reject(new Error('secret')) });
    const answer = await put(port, {});
    expect(answer).toMatchObject({ status: 500, body: { message: 'etcdserver: internal error' } });
    expect(port.logger.lines.some(({ message }) => message === 'handler failed')).toBe(true);
  });

  test.each([
    ['{"key":5}', 'proto: (line 1:8): invalid value for bytes field key: 5'],
    ['{"key":}', "invalid character '}' looking for beginning of value"],
    ['{"key":"YQ=="', 'unexpected EOF'],
    ['5', 'proto: syntax error (line 1:1): unexpected token 5'],
  ])('of %s', async (body, message) => {
    const handler = recording();
    const { port } = await serve({ put: handler.put });
    expect(await put(port, body)).toMatchObject({ status: 400, body: { code: 3, message } });
    expect(handler.requests).toEqual([]);
  });

  test.each([
    ['POST', '/v3/kv/nothing', 404, 5, 'Not Found'],
    ['POST', '/v3/', 404, 5, 'Not Found'],
    ['GET', '/v3/kv/put', 501, 12, 'Method Not Allowed'],
    ['DELETE', '/v3/watch', 501, 12, 'Method Not Allowed'],
    ['POST', '/v3/kv/txn', 501, 12, 'unknown method Txn for service etcdserverpb.KV'],
    ['POST', '/v3/lock/lock', 501, 12, 'unknown service v3lockpb.Lock'],
  ])('of %s %s', async (method, path, status, code, message) => {
    const { port } = await serve({ put: okPut });
    const response = await fetch(port.url + path, { method });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code, message });
  });

  test('of messages that are too large', async () => {
    const handler = recording();
    const { port } = await serve({ put: handler.put }, { grpc: { maxRequestBytes: 1000 } });
    const limit = 1000 + 512 * 1024;
    const value = (bytes: number): string => Buffer.alloc(bytes, 'x').toString('base64');
    expect((await put(port, { value: value(limit - 100) })).status).toBe(200);
    expect(await put(port, { value: value(limit) })).toMatchObject({
      status: 429,
      body: { message: `grpc: received message larger than max (${limit + 4} vs. ${limit})` },
    });
    const huge = await put(port, `{"x":"${'y'.repeat(3 * limit)}"}`);
    expect(huge).toMatchObject({ status: 429, body: { code: 8 } });
    expect(handler.requests).toHaveLength(1);
  });

  test('when there is no memory for requests that come in part', async () => {
    const requestLimits = { connectionBytes: 2000, totalBytes: 4000, stallMs: 1000 };
    const { port } = await serve({ put: okPut }, { grpc: { requestLimits } });
    const large = { value: Buffer.alloc(200_000).toString('base64') };
    expect(await put(port, large)).toMatchObject({
      status: 429,
      body: { message: 'etcdserver: too many incomplete requests' },
    });
  });
});

describe('time', () => {
  test('may be limited by the client', async () => {
    const aborted = deferred();
    const { port } = await serve({
      put: (_request, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve());
        return new Promise(() => undefined);
      },
    });
    expect(await put(port, {}, { 'Grpc-Timeout': '10m' })).toMatchObject({
      status: 504,
      body: { code: 4, message: 'context deadline exceeded' },
    });
    await aborted.promise;
  });

  test.each(['10', 'S', '1s', '1.5S', 'x'])('cannot be %s', async (timeout) => {
    const { port } = await serve({ put: okPut });
    expect(await put(port, {}, { 'grpc-timeout': timeout })).toMatchObject({
      status: 400,
      body: { message: `invalid grpc-timeout: ${timeout}` },
    });
  });

  test.each(['0S', '99999999H', '+5S'])('may be %s', async (timeout) => {
    const { port } = await serve({ put: okPut });
    expect((await put(port, {}, { 'grpc-timeout': timeout })).status).toBe(200);
  });
});

describe('clients that leave', () => {
  test('cancel their calls', async () => {
    const begun = deferred();
    const aborted = deferred();
    const { port } = await serve({
      put: (_request, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve());
        begun.resolve();
        return new Promise(() => undefined);
      },
    });
    const controller = new AbortController();
    const call = fetch(`${port.url}/v3/kv/put`, {
      method: 'POST',
      body: '{}',
      signal: controller.signal,
    });
    await begun.promise;
    controller.abort();
    await expect(call).rejects.toThrow();
    await aborted.promise;
    const labels = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
    await expect
      .poll(() => port.metric(`grpc_server_handled_total{${labels},grpc_code="Canceled"}`))
      .toBe(1);
  });
});

describe('large answers', () => {
  const kvs = Array.from({ length: 300 }, (_, i) => ({
    ...emptyKv,
    value: Buffer.alloc(50_000, i),
  }));

  test('are whole', async () => {
    const { port } = await serve({ range: () => Promise.resolve(RangeResponse.create({ kvs })) });
    const { body } = await post(port.url, '/v3/kv/range', { key });
    const values = (body['kvs'] as { value: string }[]).map(({ value }) => value);
    expect(values.length).toBe(300);
    expect(values.every((value, i) => value === kvs[i]?.value.toString('base64'))).toBe(true);
    await expect.poll(() => port.adapter.unsentBytes).toBe(0);
  });

  test('wait for their client, and hold memory until it is gone', async () => {
    const { port } = await serve({ range: () => Promise.resolve(RangeResponse.create({ kvs })) });
    const socket = connect(port.port, '127.0.0.1');
    cleanups.push(() => void socket.destroy());
    socket.pause();
    socket.write('POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}');
    await expect.poll(() => port.adapter.unsentBytes).toBeGreaterThan(15_000_000);
    socket.destroy();
    await expect.poll(() => port.adapter.unsentBytes).toBe(0);
  });

  test('beyond the memory for answers are refused', async () => {
    const answerLimits = { connectionBytes: 1_000_000, totalBytes: 2_000_000, stallMs: 1000 };
    const range = (): Promise<RangeResponse> => Promise.resolve(RangeResponse.create({ kvs }));
    const { port } = await serve({ range }, { grpc: { answerLimits } });
    expect(await post(port.url, '/v3/kv/range', {})).toMatchObject({
      status: 429,
      body: { message: 'etcdserver: too many unsent answers' },
    });
  });
});

describe('a member that stops', () => {
  test('lets calls finish and takes no new ones', async () => {
    const go = deferred();
    const begun = deferred();
    const { port } = await serve({
      put: async () => {
        begun.resolve();
        await go.promise;
        return PutResponse.create();
      },
    });
    const call = put(port, {});
    await begun.promise;
    const stopped = port.gateway.stop(5_000);
    expect(await put(port, {})).toMatchObject({
      status: 503,
      body: { code: 14, message: 'etcdserver: server stopped' },
    });
    go.resolve();
    expect((await call).status).toBe(200);
    await stopped;
  });

  test('does not wait for ever', async () => {
    const begun = deferred();
    const { port } = await serve({
      put: () => {
        begun.resolve();
        return new Promise(() => undefined);
      },
    });
    const call = put(port, {});
    await begun.promise;
    await port.gateway.stop(10);
    expect((await call).status).toBe(503);
  });
});
