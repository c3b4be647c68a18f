/** The dialling end against servers that say whatever the test likes. */
import {
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createSocketServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { DialledStream } from '../../../src/transport/dialled-stream.ts';
import { framed, pauseOnEach, sendCut, texts } from './messages.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

interface Dialled {
  readonly stream: DialledStream;
  readonly frames: string[];
  readonly ends: string[];
}

function dial(port: number, host = '127.0.0.1'): Dialled {
  const frames: string[] = [];
  const ends: string[] = [];
  const stream = new DialledStream(
    {
      address: new URL(`http://${host}:${port}`),
      path: '/some.Service/Method',
      tls: undefined,
      windowBytes: 1024 * 1024,
      frameLimitBytes: 200_000,
      clock: systemClock,
    },
    {
      frame: (bytes) => frames.push(Buffer.from(bytes).toString('latin1')),
      closed: (reason) => ends.push(reason),
    },
  );
  cleanups.push(() => stream.close());
  return { stream, frames, ends };
}

interface Served extends Dialled {
  /** The serving end, which has answered with headers. */
  readonly server: ServerHttp2Stream;
  readonly session: ServerHttp2Session;
  readonly listener: Http2Server;
}

async function served(headers: Record<string, number | string> = {}): Promise<Served> {
  const listener = createServer();
  const sessions: ServerHttp2Session[] = [];
  listener.on('session', (session) => sessions.push(session));
  const opened = new Promise<ServerHttp2Stream>((resolve) => listener.once('stream', resolve));
  const port = await new Promise<number>((resolve) => {
    listener.listen(0, '127.0.0.1', () => resolve((listener.address() as { port: number }).port));
  });
  const dialled = dial(port);
  const server = await opened;
  server.on('error', () => undefined);
  server.respond(headers, { waitForTrailers: true });
  const session = sessions[0] as ServerHttp2Session;
  cleanups.push(
    () => listener.close(),
    () => session.destroy(),
  );
  return { ...dialled, server, session, listener };
}

function endWith(server: ServerHttp2Stream, trailers: Record<string, string>): void {
  server.once('wantTrailers', () => server.sendTrailers(trailers));
  server.end();
}

test('frames come whole and in order, however they are cut', async () => {
  const { server, frames } = await served();
  await sendCut(server);
  await expect.poll(() => frames.length).toBe(texts.length);
  expect(frames).toEqual(texts);
});

test('what is written arrives, framed, and is told of', async () => {
  const { server, stream } = await served();
  const chunks: Buffer[] = [];
  server.on('data', (chunk: Buffer) => chunks.push(chunk));
  for (const text of ['one', '', 'three']) {
    await new Promise<void>((done) => stream.write(Buffer.from(text), done));
  }
  const expected = Buffer.concat([framed('one'), framed(''), framed('three')]);
  await expect.poll(() => Buffer.concat(chunks)).toEqual(expected);
});

test('nothing is handed over while it is paused, not even what came in one piece', async () => {
  const { server, stream, frames } = await served();
  server.write(Buffer.concat([framed('first'), framed('second')]));
  await expect.poll(() => frames).toEqual(['first', 'second']);
  stream.pause();
  server.write(Buffer.concat([framed('third'), framed('fourth')]));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(frames).toHaveLength(2);
  stream.resume();
  // Never from within a call.
  expect(frames).toHaveLength(2);
  await expect.poll(() => frames).toEqual(['first', 'second', 'third', 'fourth']);
});

test('a frame may pause the next one', async () => {
  const { server, stream, frames } = await served();
  pauseOnEach(frames, () => stream.pause());
  server.write(Buffer.concat(['a', 'b', 'c'].map((text) => framed(text))));
  for (const count of [1, 2, 3]) {
    await expect.poll(() => frames.length).toBe(count);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(frames).toHaveLength(count);
    stream.resume();
  }
});

test.each([
  [{ 'grpc-status': '0' }, 'peer ended the stream'],
  [{ 'grpc-status': '14', 'grpc-message': 'not %C3%A4 now' }, 'not ä now'],
  [{ 'grpc-status': '14', 'grpc-message': '100%' }, '100%'],
  [{ 'grpc-status': '7' }, 'gRPC status 7'],
])('an end with %j is told once', async (trailers, reason) => {
  const { server, ends, session } = await served();
  const closed = new Promise((resolve) => session.once('close', resolve));
  endWith(server, trailers);
  await expect.poll(() => ends).toEqual([reason]);
  // Its connection ends with it.
  await closed;
  expect(ends).toHaveLength(1);
});

test('an answer that is not one of gRPC ends it', async () => {
  const { server, ends } = await served({ ':status': 404 });
  server.end();
  await expect.poll(() => ends).toEqual(['HTTP status 404']);
});

test.each([
  ['too long', framed('x'.repeat(200_001)).subarray(0, 100), 'a frame of 200001 bytes'],
  ['compressed', framed('x', 1), 'a compressed frame'],
])('a frame that is %s ends it', async (_what, bytes, reason) => {
  const { server, frames, ends } = await served();
  server.write(Buffer.concat([framed('good'), bytes, framed('more')]));
  await expect.poll(() => ends).toEqual([reason]);
  expect(frames).toEqual(['good']);
});

test.each<[string, (served: Served) => void]>([
  ['resets the stream', ({ server }) => server.close(2)],
  ['breaks the connection', ({ session }) => session.destroy()],
])('a peer that %s ends it', async (_what, breaks) => {
  const dialled = await served();
  breaks(dialled);
  await expect.poll(() => dialled.ends.length).toBe(1);
});

test('after it was closed nothing is told', async () => {
  const { server, stream, session, frames, ends } = await served();
  const closed = new Promise((resolve) => session.once('close', resolve));
  stream.close();
  server.write(framed('late'));
  stream.write(Buffer.from('late'), () => frames.push('written'));
  stream.probe(() => frames.push('answered'));
  await closed;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([frames, ends]).toEqual([[], []]);
});

test('may be closed before it is connected', async () => {
  const { port } = await unusedPort();
  const { stream, ends } = dial(port);
  stream.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(ends).toEqual([]);
});

test('a probe is answered by the other end', async () => {
  const { stream } = await served();
  await new Promise<void>((answered) => stream.probe(answered));
});

test('who is refused hears why', async () => {
  const { port } = await unusedPort();
  const { ends } = dial(port);
  await expect.poll(() => ends).toEqual([`connect ECONNREFUSED 127.0.0.1:${port}`]);
});

test('a dial that is given up leaves no socket', async () => {
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((name) => /TCPSocket|TCPWrap|ConnectWrap/.test(name))
      .length;
  const before = sockets();
  // Addresses for documentation (RFC 5737): nobody answers there.
  const dialled = Array.from({ length: 5 }, () => dial(9, '192.0.2.1'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const { stream } of dialled) stream.close();
  await expect.poll(sockets).toBe(before);
});

test('its windows are as large as was asked for', async () => {
  const { session } = await served();
  await expect.poll(() => session.state.remoteWindowSize).toBe(1024 * 1024);
});

test('what waits comes before the end', async () => {
  const { server, stream, frames, ends } = await served();
  const push = frames.push.bind(frames);
  frames.push = (...texts) => {
    if (frames.length === 0) stream.pause();
    return push(...texts);
  };
  server.write(Buffer.concat(['a', 'b', 'c'].map((text) => framed(text))));
  endWith(server, { 'grpc-status': '0' });
  await expect.poll(() => [...frames]).toEqual(['a']);
  await new Promise((resolve) => setTimeout(resolve, 20));
  stream.resume();
  await expect.poll(() => ends).toEqual(['peer ended the stream']);
  expect([...frames]).toEqual(['a', 'b', 'c']);
});

test('what waits comes before an end that has come already, one by one', async () => {
  const { server, stream, frames, ends, session } = await served();
  pauseOnEach(frames, () => stream.pause());
  server.write(Buffer.concat(['a', 'b', 'c'].map((text) => framed(text))));
  endWith(server, { 'grpc-status': '14', 'grpc-message': 'given up' });
  await expect.poll(() => [...frames]).toEqual(['a']);
  // As the serving end does with a peer that does not read.
  server.destroy();
  await new Promise((resolve) => session.ping(resolve));
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const count of [2, 3]) {
    stream.resume();
    await expect.poll(() => frames.length).toBe(count);
  }
  await expect.poll(() => ends).toEqual(['given up']);
});

async function unusedPort(): Promise<{ readonly port: number }> {
  const server = createSocketServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return { port };
}
