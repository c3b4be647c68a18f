/** In which pieces an answer with one message leaves, and that none of it is lost. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { PutResponse, WatchResponse } from '../../../src/gen/rpc.ts';
import { cleanups, emptyKv, framed, okPut, serve } from '../../support/api-calls.ts';
import type { ApiPort } from '../../support/api-port.ts';

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

/** A session, and the pieces in which what it is sent arrives. */
function session(port: ApiPort): { session: ClientHttp2Session; wire: { pieces: number } } {
  const socket = connectSocket(port.port, '127.0.0.1');
  const counted = { pieces: 0 };
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => socket.write(chunk, done),
  });
  socket.on('data', (chunk) => {
    counted.pieces += 1;
    wire.push(chunk);
  });
  const opened = connect(port.url, { createConnection: () => wire });
  cleanups.push(() => opened.destroy());
  return { session: opened, wire: counted };
}

test('an answer is one piece', async () => {
  const { port } = await serve({ put: okPut });
  const { session: opened, wire } = session(port);
  // What opens the connection comes with the first one.
  expect(await put(opened)).toEqual({ bytes: 5, status: '0' });
  for (let i = 0; i < 20; i++) {
    wire.pieces = 0;
    expect(await put(opened)).toEqual({ bytes: 5, status: '0' });
    expect(wire.pieces).toBe(1);
  }
});

test('what many streams of a connection are told at once is one piece', async () => {
  const watchers = 50;
  const waiting: (() => void)[] = [];
  const { port } = await serve(
    {},
    {},
    {
      async *watch() {
        for (;;) {
          await new Promise<void>((resolve) => waiting.push(resolve));
          yield WatchResponse.create({ watchId: 1 });
        }
      },
    },
  );
  const { session: opened, wire } = session(port);
  let bytes = 0;
  for (let i = 0; i < watchers; i++) {
    const stream = opened.request({
      ':method': 'POST',
      ':path': '/etcdserverpb.Watch/Watch',
      'content-type': 'application/grpc',
    });
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    stream.on('error', () => undefined);
  }
  for (let i = 1; i <= 5; i++) {
    await expect.poll(() => waiting.length).toBe(watchers);
    wire.pieces = 0;
    for (const go of waiting.splice(0)) go();
    // Flag, length, and a field.
    await expect.poll(() => bytes).toBe(i * watchers * 7);
    expect(wire.pieces).toBe(1);
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
