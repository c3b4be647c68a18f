/** In which pieces an answer with one message leaves, and that none of it is lost. */
import { type ClientHttp2Session, type ServerHttp2Stream, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { OkTrailersSender, okTrailers } from '../../../src/api/grpc/ok-trailers.ts';
import { PutResponse } from '../../../src/gen/rpc.ts';
import { cleanups, emptyKv, framed, okPut, serve } from '../../support/api-calls.ts';

interface Answer {
  readonly bytes: number;
  readonly status: unknown;
}

/** @param ends whether the client ends its side with its message */
function put(session: ClientHttp2Session, ends = true): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/etcdserverpb.KV/Put',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let bytes = 0;
    let status: unknown;
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    stream.on('trailers', (trailers) => {
      status = (trailers as Record<string, unknown>)['grpc-status'];
    });
    stream.on('close', () => resolve({ bytes, status }));
    stream.on('error', reject);
    const message = framed(Buffer.alloc(0));
    if (ends) stream.end(message);
    else stream.write(message);
  });
}

/** Fails with a Node in which trailers cannot be handed over: see ok-trailers.ts. */
test('an answer is one piece', async () => {
  const { port } = await serve({ put: okPut });
  const socket = connectSocket(port.port, '127.0.0.1');
  let pieces = 0;
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => socket.write(chunk, done),
  });
  socket.on('data', (chunk) => {
    pieces += 1;
    wire.push(chunk);
  });
  const session = connect(port.url, { createConnection: () => wire });
  cleanups.push(() => session.destroy());
  // The first one shows how trailers are handed over.
  expect(await put(session)).toEqual({ bytes: 5, status: '0' });
  for (let i = 0; i < 20; i++) {
    pieces = 0;
    expect(await put(session)).toEqual({ bytes: 5, status: '0' });
    expect(pieces).toBe(1);
  }
});

test('calls that are over leave nothing behind', async () => {
  const { port } = await serve({ put: okPut });
  const session = connect(port.url);
  for (let i = 0; i < 50; i++) {
    await Promise.all(Array.from({ length: 20 }, (_, k) => put(session, k % 2 === 0)));
  }
  await expect.poll(() => port.adapter.unsentBytes).toBe(0);
  await new Promise<void>((closed) => session.close(closed));
  // A server that drains waits for all of its streams.
  await port.stop();
});

describe.each([true, false])('a client that ends its side: %s', (ends) => {
  test.each([10, 40_000, 60_000, 300_000])('gets all of %d bytes', async (valueBytes) => {
    const value = Buffer.alloc(valueBytes, 1);
    const response = PutResponse.create({ prevKv: { ...emptyKv, value } });
    const { port } = await serve({ put: () => Promise.resolve(response) });
    // Room for little at a time: most of the answer waits within the server.
    const session = connect(port.url, { settings: { initialWindowSize: 1_000 } });
    cleanups.push(() => session.destroy());
    for (let i = 0; i < 3; i++) {
      const { bytes, status } = await put(session, ends);
      expect(status).toBe('0');
      expect(bytes).toBeGreaterThan(valueBytes);
    }
  });
});

describe('trailers of calls that went well', () => {
  interface FakeStream {
    readonly sent: unknown[];
    readonly stream: ServerHttp2Stream;
  }

  /** A stream of a Node whose binding takes `trailers`, or has none. */
  function fakeStream(trailers?: (encoded: unknown) => number): FakeStream {
    const sent: unknown[] = [];
    const binding: { trailers?: (encoded: unknown) => number } = {};
    if (trailers !== undefined) {
      binding.trailers = (encoded) => {
        sent.push(['binding', encoded]);
        return trailers(encoded);
      };
    }
    const stream = {
      [Symbol('kHandle')]: binding,
      sendTrailers: (given: unknown) => {
        sent.push(['stream', given]);
        binding.trailers?.('encoded');
      },
    };
    return { sent, stream: stream as unknown as ServerHttp2Stream };
  }

  const nodesWay = ['stream', okTrailers];
  const direct = ['binding', 'encoded'];

  test('go straight to the binding once it is known what it is given', () => {
    const trailers = new OkTrailersSender();
    const first = fakeStream(() => 0);
    trailers.send(first.stream);
    expect(first.sent).toEqual([nodesWay, direct]);
    // The key is the same for all streams of a Node.
    for (let i = 0; i < 2; i++) {
      first.sent.length = 0;
      trailers.send(first.stream);
      expect(first.sent).toEqual([direct]);
    }
  });

  test('are observed until they were handed over once', () => {
    const trailers = new OkTrailersSender();
    const sent: unknown[] = [];
    const handOver: (() => void)[] = [];
    const binding = { trailers: (encoded: unknown) => sent.push(encoded) };
    const stream = {
      [Symbol('kHandle')]: binding,
      // Node hands them over a turn later, unless the stream is gone by then.
      sendTrailers: () => handOver.push(() => binding.trailers('encoded')),
    } as unknown as ServerHttp2Stream;
    for (let i = 0; i < 3; i++) trailers.send(stream);
    expect([sent, handOver.length]).toEqual([[], 3]);
    handOver[1]?.();
    handOver[2]?.();
    expect(sent).toEqual(['encoded', 'encoded']);
    trailers.send(stream);
    expect([sent.length, handOver.length]).toEqual([3, 3]);
  });

  test('that the binding does not take go the usual way, which tells why', () => {
    const trailers = new OkTrailersSender();
    let result = 0;
    const { sent, stream } = fakeStream(() => result);
    trailers.send(stream);
    result = -1;
    sent.length = 0;
    trailers.send(stream);
    expect(sent).toEqual([direct, nodesWay, direct]);
  });

  test('go the usual way where Node has no such binding', () => {
    const trailers = new OkTrailersSender();
    const { sent, stream } = fakeStream();
    trailers.send(stream);
    trailers.send(stream);
    expect(sent).toEqual([nodesWay, nodesWay]);
    const bare = { sendTrailers: (given: unknown) => sent.push(['stream', given]) };
    new OkTrailersSender().send(bare as unknown as ServerHttp2Stream);
    expect(sent).toHaveLength(3);
  });
});
