import { connect } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import { LeaderRequest, LeaderResponse } from '../../../src/gen/election.ts';
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  PutResponse,
  RangeRequest,
  RangeStreamResponse,
  WatchRequest,
  WatchResponse,
} from '../../../src/gen/rpc.ts';
import { Election, KV, Lease, Watch } from '../../../src/gen/services.ts';
import { cleanups, deferred, okPut, putRequest, serve } from '../../support/api-calls.ts';

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
      { grpc: { idleProbeMs: 20, probeTimeoutMs: 500, openingTimeoutMs: 50 } },
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

  test('are closed without waiting for calls that have no end', async () => {
    const go = deferred();
    const [watching, observing] = [deferred<boolean>(), deferred<boolean>()];
    const { client, port } = await serve(
      {
        async *rangeStream() {
          yield RangeStreamResponse.create();
          await go.promise;
          yield RangeStreamResponse.create();
        },
      },
      {},
      {
        async *watch(requests, { signal }) {
          for await (const _request of requests) yield WatchResponse.create({ created: true });
          watching.resolve(signal.aborted);
        },
      },
    );
    port.adapter.add(Election, {
      async *observe(_request, { signal }) {
        yield LeaderResponse.create();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        observing.resolve(signal.aborted);
      },
    });
    const watch = client.bidirectional(Watch.methods.watch);
    watch.send(WatchRequest.create());
    await watch.next();
    const observe = client.serverStream(Election.methods.observe, LeaderRequest.create());
    await observe.next();
    const range = client.serverStream(KV.methods.rangeStream, RangeRequest.create());
    await range.next();
    const stopped = port.stop(20_000);
    const refusal = {
      code: StatusCode.unavailable,
      message: expect.stringContaining('etcdserver: server stopped') as string,
    };
    await expect(watch.next()).rejects.toMatchObject(refusal);
    await expect(observe.next()).rejects.toMatchObject(refusal);
    expect([await watching.promise, await observing.promise]).toEqual([true, true]);
    go.resolve();
    expect((await range.all()).length).toBe(1);
    await stopped;
    const labels = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
    const series = `grpc_server_handled_total{${labels},grpc_code="Unavailable"}`;
    expect(await port.metric(series)).toBe(1);
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
