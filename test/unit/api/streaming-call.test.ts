/** Messages of calls with streams, framed by hand. */
import { once } from 'node:events';
import { connect, type ClientHttp2Stream } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../src/base/errors.ts';
import {
  RangeRequest,
  RangeStreamResponse,
  WatchRequest,
  WatchResponse,
} from '../../../src/gen/rpc.ts';
import { Watch } from '../../../src/gen/services.ts';
import type { ServiceHandlers } from '../../../src/api/grpc/service.ts';
import {
  cleanups,
  deferred,
  framed,
  rawCall,
  serve,
  type RawAnswer,
} from '../../support/api-calls.ts';
import type { ApiPort } from '../../support/api-port.ts';

const watchPath = '/etcdserverpb.Watch/Watch';
const rangeStreamPath = '/etcdserverpb.KV/RangeStream';

/** Answers each request with its watch id. */
const echo: ServiceHandlers<typeof Watch> = {
  async *watch(requests) {
    for await (const { requestUnion } of requests) {
      if (requestUnion?.case === 'cancelRequest') {
        yield WatchResponse.create({ watchId: requestUnion.value.watchId });
      }
    }
  },
};

function cancelOf(watchId: number): Uint8Array {
  return WatchRequest.encode({ requestUnion: { case: 'cancelRequest', value: { watchId } } });
}

function idsOf({ body }: RawAnswer): number[] {
  const ids: number[] = [];
  for (let at = 0; at < body.length;) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    ids.push(WatchResponse.decode(body.subarray(at + 5, end)).watchId);
    at = end;
  }
  return ids;
}

function watchOf(port: ApiPort, pieces: readonly Buffer[], encoding = 'gzip'): Promise<RawAnswer> {
  return rawCall(port, watchPath, pieces, { 'grpc-encoding': encoding });
}

const ok = String(StatusCode.ok);

describe('messages of a stream', () => {
  test('may come in any pieces', async () => {
    const { port } = await serve({}, {}, echo);
    const bytes = Buffer.concat([1, 2, 300].map((id) => framed(cancelOf(id))));
    const pieces = Array.from(bytes, (byte) => Buffer.from([byte]));
    const answer = await watchOf(port, pieces);
    expect([answer.status, ...idsOf(answer)]).toEqual([ok, 1, 2, 300]);
  });

  test('may come a thousand at a time', async () => {
    const { port } = await serve({}, {}, echo);
    const ids = Array.from({ length: 1000 }, (_, i) => i + 1);
    const answer = await watchOf(port, [Buffer.concat(ids.map((id) => framed(cancelOf(id))))]);
    expect([answer.status, ...idsOf(answer)]).toEqual([ok, ...ids]);
  });

  test('keep their order if some of them are compressed', async () => {
    const { port } = await serve({}, {}, echo);
    const ids = Array.from({ length: 40 }, (_, i) => i + 1);
    const frames = ids.map((id) =>
      id % 3 === 0 ? framed(gzipSync(cancelOf(id)), 1) : framed(cancelOf(id)),
    );
    const answer = await watchOf(port, [Buffer.concat(frames)]);
    expect([answer.status, ...idsOf(answer)]).toEqual([ok, ...ids]);
  });

  test.each<[string, Buffer, string, StatusCode]>([
    ['with an unknown flag', framed(cancelOf(2), 7), 'gzip', StatusCode.internal],
    ['compressed in no way', framed(gzipSync(cancelOf(2)), 1), 'identity', StatusCode.internal],
    ['compressed otherwise', framed(cancelOf(2), 1), 'snappy', StatusCode.unimplemented],
    ['that is not what was compressed', framed(cancelOf(2), 1), 'gzip', StatusCode.internal],
    ['that ends early', framed(cancelOf(2)).subarray(0, -1), 'gzip', StatusCode.internal],
    [
      'that is too large when it is not compressed',
      framed(gzipSync(Buffer.alloc(1024 * 1024)), 1),
      'gzip',
      StatusCode.resourceExhausted,
    ],
    [
      'that says it is too large',
      Buffer.from([0, 0xff, 0xff, 0xff, 0xff]),
      'gzip',
      StatusCode.resourceExhausted,
    ],
  ])('end it with one %s', async (_what, frame, encoding, status) => {
    const { port } = await serve({}, { grpc: { maxRequestBytes: 1000 } }, echo);
    const answer = await watchOf(port, [framed(cancelOf(1)), frame], encoding);
    expect(answer.status).toBe(String(status));
    // The memory of what was incomplete is free again.
    const again = await watchOf(port, [framed(cancelOf(1))]);
    expect([again.status, ...idsOf(again)]).toEqual([ok, 1]);
  });
});

describe('a call with one message and a stream of answers', () => {
  const message = framed(RangeRequest.encode(RangeRequest.create({ key: Buffer.from('k') })));

  async function answerTo(frames: readonly Buffer[]): Promise<[string | undefined, number]> {
    let calls = 0;
    const { port } = await serve({
      async *rangeStream() {
        calls++;
        yield await Promise.resolve(RangeStreamResponse.create());
      },
    });
    const { status } = await rawCall(port, rangeStreamPath, frames, {});
    return [status, calls];
  }

  test('begins with its message', async () => {
    expect(await answerTo([message])).toEqual([ok, 1]);
  });

  test.each<[string, readonly Buffer[]]>([
    ['none', []],
    ['two', [message, message]],
  ])('does not begin with %s', async (_what, frames) => {
    expect(await answerTo(frames)).toEqual([String(StatusCode.unimplemented), 0]);
  });
});

describe('the deadline of a stream', () => {
  test('ends it, with what was sent before', async () => {
    const aborted = deferred<boolean>();
    const { port } = await serve(
      {},
      {},
      {
        async *watch(_requests, { signal }) {
          yield WatchResponse.create({ watchId: 7 });
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          aborted.resolve(signal.aborted);
        },
      },
    );
    const answer = await rawCall(port, watchPath, [], { 'grpc-timeout': '100m' });
    expect([answer.status, ...idsOf(answer)]).toEqual([String(StatusCode.deadlineExceeded), 7]);
    expect(await aborted.promise).toBe(true);
  });

  test('is refused if it is malformed', async () => {
    const { port } = await serve({}, {}, echo);
    const answer = await rawCall(port, watchPath, [], { 'grpc-timeout': 'soon' });
    expect(answer.status).toBe(String(StatusCode.internal));
  });

  test('may be too far to matter', async () => {
    const { port } = await serve({}, {}, echo);
    const frames = [framed(cancelOf(1))];
    const answer = await rawCall(port, watchPath, frames, { 'grpc-timeout': '99999999H' });
    expect([answer.status, ...idsOf(answer)]).toEqual([ok, 1]);
  });
});

test('what a stream has not sent when it is reset is no memory any more', async () => {
  const { port, client } = await serve(
    {},
    {},
    {
      async *watch() {
        for (;;)
          yield await Promise.resolve(WatchResponse.create({ cancelReason: 'x'.repeat(1e4) }));
      },
    },
  );

  const stream = client.bidirectional(Watch.methods.watch);
  await stream.next();
  await expect.poll(() => port.adapter.unsentBytes).toBeGreaterThan(500_000);
  stream.cancel();
  await expect.poll(() => port.adapter.unsentBytes).toBe(0);
  await delay(20);
  expect(port.adapter.unsentBytes).toBe(0);
});

/** A handler that answers once and waits for the end of its call; `ended` resolves when it ends. */
async function serveUntilAborted(): Promise<{ port: ApiPort; ended: Promise<void> }> {
  const ended = deferred();
  const { port } = await serve(
    {},
    {},
    {
      async *watch(_requests, { signal }) {
        try {
          yield WatchResponse.create();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        } finally {
          ended.resolve();
        }
      },
    },
  );
  return { port, ended: ended.promise };
}

/** A handler that answers for ever, much at a time. */
const flood: ServiceHandlers<typeof Watch> = {
  async *watch(_requests, { signal }) {
    const cancelReason = 'x'.repeat(100_000);
    while (!signal.aborted) yield await Promise.resolve(WatchResponse.create({ cancelReason }));
  },
};

/** Calls of a client, by default one that takes no answers. */
function openCalls(
  port: ApiPort,
  count: number,
  headers: Record<string, string> = {},
  initialWindowSize = 0,
): ClientHttp2Stream[] {
  const session = connect(port.url, { settings: { initialWindowSize } });
  cleanups.push(() => session.destroy());
  return Array.from({ length: count }, () => {
    const stream = session.request({
      ':method': 'POST',
      ':path': watchPath,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    stream.on('error', () => undefined);
    return stream;
  });
}

describe('a handler hears of the end of its call', () => {
  test('that is refused for a malformed message', async () => {
    const { port, ended } = await serveUntilAborted();
    const [stream] = openCalls(port, 1, {}, 65_535);
    await once(stream as ClientHttp2Stream, 'data');
    stream?.write(framed(Buffer.from([0x0a, 0x7f])));
    await ended;
  });

  test('that is refused for its size, and the refusal is counted', async () => {
    const { port, ended } = await serveUntilAborted();
    const [stream] = openCalls(port, 1, {}, 65_535);
    await once(stream as ClientHttp2Stream, 'data');
    stream?.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
    await ended;
    const labels = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
    const series = `grpc_server_handled_total{${labels},grpc_code="ResourceExhausted"}`;
    expect(await port.metric(series)).toBe(1);
  });

  test('that its client resets without an error, and takes and sends nothing', async () => {
    let open = 0;
    const { port } = await serve(
      {},
      {},
      {
        async *watch(requests, context) {
          open++;
          try {
            yield* flood.watch?.(requests, context) ?? [];
          } finally {
            open--;
          }
        },
      },
    );
    const streams = openCalls(port, 5);
    const request = Buffer.concat(Array.from({ length: 40 }, (_, i) => framed(cancelOf(i + 1))));
    for (const stream of streams) stream.write(request);
    await expect.poll(() => port.adapter.unsentBytes).toBeGreaterThan(5_000_000);
    for (const stream of streams) {
      stream.write(request);
      stream.close(0);
    }
    await expect.poll(() => [open, port.adapter.unsentBytes]).toEqual([0, 0]);
  });
});

test('what waits to be sent is counted after a deadline, too, until the stream is gone', async () => {
  const { port } = await serve({}, {}, flood);
  const [stream] = openCalls(port, 1, { 'grpc-timeout': '60m' });
  await expect.poll(() => port.adapter.unsentBytes).toBeGreaterThan(1_000_000);
  await delay(150);
  expect(port.adapter.unsentBytes).toBeGreaterThan(1_000_000);
  stream?.close(8);
  await expect.poll(() => port.adapter.unsentBytes).toBe(0);
});
