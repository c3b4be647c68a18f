/** The serving end against peers that do whatever the test likes. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from 'node:http2';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { limitedMemory, uncountedMemory } from '../../../src/http2/memory.ts';
import { ServerConnection } from '../../../src/http2/server-connection.ts';
import type { Stream } from '../../../src/http2/stream.ts';
import { ServedStream } from '../../../src/transport/served-stream.ts';
import type { FrameStream } from '../../../src/transport/stream.ts';
import { framed, pauseOnEach, sendCut, texts } from './messages.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

interface Served {
  readonly stream: FrameStream;
  readonly frames: string[];
  readonly ends: string[];
  /** Of the server's end. */
  readonly http2: Stream;
  /** The peer's end. */
  readonly session: ClientHttp2Session;
  readonly peer: ClientHttp2Stream;
  /** What the peer got. */
  readonly heard: { bytes: Buffer; headers?: IncomingHttpHeaders; trailers?: IncomingHttpHeaders };
}

async function served(): Promise<Served> {
  const frames: string[] = [];
  const ends: string[] = [];
  let opened = (_served: { http2: Stream; stream: FrameStream }): void => undefined;
  const isOpened = new Promise<{ http2: Stream; stream: FrameStream }>((resolve) => {
    opened = resolve;
  });
  const listener = createServer((socket) => {
    new ServerConnection(socket, {
      clock: systemClock,
      maxConcurrentStreams: 8,
      received: limitedMemory(100_000),
      sent: uncountedMemory,
      request: (http2) => {
        const options = { frameLimitBytes: 200_000, clock: systemClock };
        const stream = new ServedStream(http2, options, () => ({
          frame: (bytes) => frames.push(Buffer.from(bytes).toString('latin1')),
          closed: (reason) => ends.push(reason),
        }));
        opened({ http2, stream });
      },
      pinged() {},
      failed() {},
      closed() {},
    });
  });
  const port = await new Promise<number>((resolve) => {
    listener.listen(0, '127.0.0.1', () => resolve((listener.address() as { port: number }).port));
  });
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  const peer = session.request({
    ':method': 'POST',
    ':path': '/some.Service/Method',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const heard: Served['heard'] = { bytes: Buffer.alloc(0) };
  peer.on('error', () => undefined);
  peer.on('response', (headers) => (heard.headers = headers));
  peer.on('trailers', (trailers) => (heard.trailers = trailers as IncomingHttpHeaders));
  peer.on('data', (chunk: Buffer) => (heard.bytes = Buffer.concat([heard.bytes, chunk])));
  cleanups.push(
    () => listener.close(),
    () => session.destroy(),
  );
  return { ...(await isOpened), frames, ends, session, peer, heard };
}

test('frames come whole and in order, however they are cut', async () => {
  const { peer, frames } = await served();
  await sendCut(peer);
  await expect.poll(() => frames.length).toBe(texts.length);
  expect(frames).toEqual(texts);
});

test('what is written arrives as an answer of gRPC, and is told of', async () => {
  const { stream, heard } = await served();
  for (const text of ['one', '', 'three']) {
    await new Promise<void>((done) => stream.write(Buffer.from(text), done));
  }
  const expected = Buffer.concat([framed('one'), framed(''), framed('three')]);
  await expect.poll(() => heard.bytes).toEqual(expected);
  expect(heard.headers).toMatchObject({ ':status': 200, 'content-type': 'application/grpc' });
});

test('nothing is handed over while it is paused', async () => {
  const { peer, stream, frames } = await served();
  stream.pause();
  peer.write(Buffer.concat([framed('first'), framed('second')]));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(frames).toEqual([]);
  stream.resume();
  await expect.poll(() => frames).toEqual(['first', 'second']);
});

test('what waits comes before the end', async () => {
  const { peer, stream, frames, ends } = await served();
  pauseOnEach(frames, () => stream.pause());
  peer.end(Buffer.concat(['a', 'b', 'c'].map((text) => framed(text))));
  for (const count of [1, 2, 3]) {
    await expect.poll(() => frames.length).toBe(count);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(frames).toHaveLength(count);
    if (count < 3) expect(ends).toEqual([]);
    stream.resume();
  }
  await expect.poll(() => ends).toEqual(['peer ended the stream']);
});

test('tiny pieces are not kept as they come', async () => {
  const { peer, frames } = await served();
  const bytes = framed('x'.repeat(5_000));
  for (let at = 0; at < bytes.length; at++) peer.write(bytes.subarray(at, at + 1));
  await expect.poll(() => frames, { timeout: 3_000 }).toEqual(['x'.repeat(5_000)]);
});

describe('closed here', () => {
  test('it ends well, after what was written, and tells nobody', async () => {
    const { stream, heard, ends, http2 } = await served();
    stream.write(Buffer.from('last'), () => undefined);
    stream.close();
    stream.write(Buffer.from('late'), () => undefined);
    await expect.poll(() => heard.trailers).toMatchObject({ 'grpc-status': '0' });
    expect(heard.bytes).toEqual(framed('last'));
    await expect.poll(() => http2.isClosed, { timeout: 3_000 }).toBe(true);
    expect(ends).toEqual([]);
  });

  test('it says so in its headers if nothing was written', async () => {
    const { stream, heard } = await served();
    stream.close();
    await expect.poll(() => heard.headers).toMatchObject({ 'grpc-status': '0' });
  });

  test('it is reset if the peer does not read', async () => {
    const { peer, stream, http2, ends } = await served();
    peer.pause();
    peer.removeAllListeners('data');
    stream.write(Buffer.alloc(199_000), () => undefined);
    stream.close();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(http2.isClosed).toBe(false);
    await expect.poll(() => http2.isClosed, { timeout: 3_000 }).toBe(true);
    expect(ends).toEqual([]);
  });
});

test.each([
  ['too long', framed('x'.repeat(200_001)).subarray(0, 100), '8', 'a frame of 200001 bytes'],
  ['compressed', framed('x', 1), '12', 'a compressed frame'],
])('a frame that is %s ends it', async (_what, bytes, status, reason) => {
  const { peer, stream, frames, ends, heard } = await served();
  stream.write(Buffer.from('welcome'), () => undefined);
  peer.write(Buffer.concat([framed('good'), bytes, framed('more')]));
  await expect.poll(() => heard.trailers).toMatchObject({ 'grpc-status': status });
  expect([frames, ends]).toEqual([['good'], [reason]]);
});

test.each<[string, (served: Served) => void, string]>([
  ['ends its side', ({ peer }) => peer.end(), 'peer ended the stream'],
  ['resets the stream', ({ peer }) => peer.close(8), 'peer'],
  [
    'resets it without an error and does not read',
    ({ peer }) => {
      peer.pause();
      peer.close(0);
    },
    'peer',
  ],
  ['breaks the connection', ({ session }) => session.destroy(), 'connection ended'],
])('a peer that %s ends it, which is told once', async (_what, breaks, reason) => {
  const dialled = await served();
  dialled.stream.write(Buffer.alloc(190_000), () => undefined);
  breaks(dialled);
  await expect.poll(() => dialled.ends).toEqual([expect.stringContaining(reason)]);
  await expect.poll(() => dialled.http2.isClosed, { timeout: 3_000 }).toBe(true);
  expect(dialled.ends).toHaveLength(1);
});
