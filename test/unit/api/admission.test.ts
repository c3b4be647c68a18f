import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import { PutRequest, type RangeStreamResponse, WatchResponse } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { framed, okPut, putRequest, rawCall, serve } from '../../support/api-calls.ts';

const put = '/etcdserverpb.KV/Put';

const frame = framed(PutRequest.encode(putRequest));

async function* noParts(): AsyncGenerator<RangeStreamResponse> {
  yield* [];
  await Promise.resolve();
}

describe('a call', () => {
  test('that demands a leader is refused while there is none', async () => {
    let hasLeader = false;
    const { client } = await serve({ put: okPut }, { grpc: { hasLeader: () => hasLeader } });
    const metadata = { hasleader: 'true' };
    await expect(client.unary(KV.methods.put, putRequest, { metadata })).rejects.toMatchObject({
      code: StatusCode.unavailable,
      details: 'etcdserver: no leader',
    });
    await client.unary(KV.methods.put, putRequest, { metadata: { hasleader: 'TRUE' } });
    await client.unary(KV.methods.put, putRequest);
    hasLeader = true;
    await client.unary(KV.methods.put, putRequest, { metadata });
  });

  test('of a method that is refused for now is', async () => {
    let refused = put;
    const refusal = (path: string): 'noLeader' | undefined =>
      path === refused ? 'noLeader' : undefined;
    const { client } = await serve({ put: okPut }, { grpc: { refusal } });
    await expect(client.unary(KV.methods.put, putRequest)).rejects.toMatchObject({
      code: StatusCode.unavailable,
      details: 'etcdserver: no leader',
    });
    refused = '/etcdserverpb.KV/Range';
    await client.unary(KV.methods.put, putRequest);
  });

  test('of a client whose version is no text is refused', async () => {
    const { port } = await serve({ put: okPut });
    const answer = await rawCall(port, put, frame, { 'client-api-version': '\xff' });
    expect(answer.status).toBe(String(StatusCode.invalidArgument));
    const ok = await rawCall(port, put, frame, { 'client-api-version': '3.6.0' });
    expect(ok.status).toBe('0');
  });

  test('is counted by the version that its client says it speaks', async () => {
    const { port } = await serve({ put: okPut, rangeStream: noParts });
    const put36 = { 'client-api-version': '3.6' };
    for (const headers of [put36, {}, put36, { 'client-api-version': '\xc3\xa4' }]) {
      await rawCall(port, put, frame, headers);
    }
    await rawCall(port, '/etcdserverpb.KV/RangeStream', framed(new Uint8Array(0)), put36);
    const series = (type: string, version: string): string =>
      `etcd_server_client_requests_total{type="${type}",client_api_version="${version}"}`;
    expect(await port.metric(series('unary', '3.6'))).toBe(2);
    expect(await port.metric(series('stream', '3.6'))).toBe(1);
    expect(await port.metric(series('unary', 'unknown'))).toBe(1);
    expect(await port.metric(series('unary', '\u00e4'))).toBe(1);
  });

  test.each(['PUT', 'OPTIONS', 'PATCH'])('by %s is none', async (method) => {
    const { port } = await serve({ put: okPut });
    for (const path of [put, '/etcdserverpb.Watch/Watch', '/no.Service/Method']) {
      const answer = await rawCall(port, path, frame, { ':method': method });
      const status = String(StatusCode.internal);
      expect(answer).toMatchObject({ httpStatus: 405, status });
    }
  });

  test.each(['application/grpcfoo', 'application/grpc-web', 'text/plain'])(
    'of content type %s is none',
    async (type) => {
      const { port } = await serve({ put: okPut });
      const answer = await rawCall(port, put, frame, { 'content-type': type });
      expect(answer).toMatchObject({ httpStatus: 415, status: undefined });
    },
  );

  test('may name a subtype', async () => {
    const { port } = await serve({ put: okPut });
    for (const type of ['application/grpc+proto', 'application/grpc;charset=x']) {
      const answer = await rawCall(port, put, frame, { 'content-type': type });
      expect(answer.status).toBe('0');
    }
  });

  test('of one message each way is answered with the headers that grpc-go sends, and no other', async () => {
    const { port } = await serve({ put: okPut });
    const answer = await rawCall(port, put, frame, {});
    expect(answer.headers).toEqual([':status', 'content-type']);
    const refusal = await rawCall(port, '/etcdserverpb.KV/Nothing', frame, {});
    expect(refusal.headers).toEqual([':status', 'content-type', 'grpc-status', 'grpc-message']);
  });

  test('whose message has an unknown format or no end is refused', async () => {
    const { port } = await serve(
      { put: okPut },
      {},
      {
        watch: async function* (requests) {
          for await (const request of requests) {
            yield WatchResponse.create({ created: request.requestUnion !== undefined });
          }
        },
      },
    );
    const message = PutRequest.encode(putRequest);
    const internal = String(StatusCode.internal);
    for (const body of [framed(message, 2), framed(message, 0, 100)]) {
      expect((await rawCall(port, put, body, {})).status).toBe(internal);
    }
    const watch = await rawCall(port, '/etcdserverpb.Watch/Watch', framed(message, 0, 100), {});
    expect(watch.status).toBe(internal);
  });
});
