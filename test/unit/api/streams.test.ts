import { connect } from 'node:http2';
import { describe, expect, test } from 'vitest';
import type { ServiceHandlers } from '../../../src/api/grpc/service.ts';
import { EtcdError, StatusCode } from '../../../src/base/errors.ts';
import {
  RangeRequest,
  RangeResponse,
  RangeStreamResponse,
  type WatchRequest,
  WatchResponse,
} from '../../../src/gen/rpc.ts';
import { KV, Watch } from '../../../src/gen/services.ts';
import { cleanups, deferred, emptyKv, rawCall, serve } from '../../support/api-calls.ts';

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

  test('come in order if they are there at once, however many', async () => {
    const numbers = Array.from({ length: 5000 }, (_, i) => i);
    const waiting = [...numbers];
    const next = (): RangeStreamResponse | undefined => {
      const count = waiting.shift();
      return count === undefined
        ? undefined
        : RangeStreamResponse.create({ rangeResponse: RangeResponse.create({ count }) });
    };
    const { client } = await serve({
      rangeStream: () => ({
        ready: next,
        async *[Symbol.asyncIterator]() {
          for (let answer = next(); answer !== undefined; answer = next()) {
            yield await Promise.resolve(answer);
          }
        },
      }),
    });
    const stream = client.serverStream(KV.methods.rangeStream, RangeRequest.create());
    await stream.next();
    // No more are taken than may wait to be sent to a client that has read one.
    expect(waiting.length).toBeGreaterThan(0);
    const answers = await stream.all();
    const counts = answers.map((answer) => answer.rangeResponse?.count);
    expect(counts).toEqual(numbers.slice(1));
  });

  test('end with a refusal of what is there at once, after what was sent before', async () => {
    const ended = deferred();
    let taken = 0;
    const { client } = await serve({
      rangeStream: () => ({
        ready: () => {
          if (++taken === 3) throw new EtcdError('compacted');
          return RangeStreamResponse.create();
        },
        async *[Symbol.asyncIterator]() {
          try {
            for (;;) yield await Promise.resolve(RangeStreamResponse.create());
          } finally {
            ended.resolve();
          }
        },
      }),
    });
    const stream = client.serverStream(KV.methods.rangeStream, RangeRequest.create());
    for (let i = 0; i < 3; i++) expect(await stream.next()).toBeDefined();
    await expect(stream.next()).rejects.toMatchObject({ code: StatusCode.outOfRange });
    await ended.promise;
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
    // The first one ends the call.
    const frames = Buffer.concat([frame, frame, frame]);
    const answer = await rawCall(port, '/etcdserverpb.Watch/Watch', frames, {});
    expect(answer.status).toBe(String(StatusCode.internal));
    const failures = 'etcd_network_server_stream_failures_total{Type="receive"';
    expect(await port.metric(`${failures},API="watch"}`)).toBe(1);
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
