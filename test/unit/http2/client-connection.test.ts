/** The client's end of a connection, against servers that say what the test likes. */
import { once } from 'node:events';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { ClientConnection } from '../../../src/http2/client-connection.ts';
import { ErrorCode, preface } from '../../../src/http2/frames.ts';
import { SentField } from '../../../src/http2/header-encoder.ts';
import type { HeaderList } from '../../../src/http2/header-fields.ts';
import { limitedMemory, uncountedMemory } from '../../../src/http2/memory.ts';
import type { Stream } from '../../../src/http2/stream.ts';
import { Flag, frame, FrameType, headerBlock, settings } from '../../support/http2-bytes.ts';
import {
  acknowledgement,
  data,
  goAway,
  headers,
  Listener,
  patience,
  pattern,
  ping,
  reset,
  whole,
  windowUpdate,
} from './raw-client.ts';

const { endStream, endHeaders } = Flag;
const requestFields = [
  SentField.once(':method', 'POST'),
  SentField.once(':scheme', 'http'),
  SentField.once(':path', '/a.Service/Method'),
  SentField.once(':authority', 'a'),
];
const windowBytes = 1024 * 1024;

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** Notes heads and trailers, too. */
class ClientListener extends Listener {
  head(fields: HeaderList): void {
    this.events.push(`head ${fields.get(':status')}`);
  }

  trailers(fields: HeaderList): void {
    this.events.push(`trailers ${fields.get('grpc-status')}`);
  }
}

interface Called {
  readonly connection: ClientConnection;
  readonly failures: Error[];
  readonly stream: Stream;
  readonly listener: ClientListener;
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Makes a request as soon as possible. */
function call(port: number): Called {
  const failures: Error[] = [];
  let closings = 0;
  const listener = new ClientListener();
  const connection = new ClientConnection(connect(port, '127.0.0.1'), {
    clock: systemClock,
    windowBytes,
    received: limitedMemory(100_000),
    sent: uncountedMemory,
    failed: (error) => failures.push(error),
    closed: () => closings++,
  });
  cleanups.push(() => {
    connection.destroy();
    expect(closings).toBe(1);
  });
  const stream = connection.request(requestFields, listener);
  return { connection, failures, stream, listener };
}

describe('with a server of Node', () => {
  async function answered(
    serve: (stream: ServerHttp2Stream) => void,
  ): Promise<Called & { server: ServerHttp2Stream }> {
    const listener = createHttp2Server();
    listener.on('session', (session) => cleanups.push(() => session.destroy()));
    const opened = once(listener, 'stream') as Promise<[ServerHttp2Stream]>;
    const called = call(await listening(listener));
    const [server] = await opened;
    server.on('error', () => undefined);
    serve(server);
    return { ...called, server };
  }

  test('much is said both ways, more than any window', async () => {
    const length = 3 * windowBytes;
    const { stream, listener, server } = await answered((served) => {
      served.respond({ ':status': 200 }, { waitForTrailers: true });
      served.once('wantTrailers', () => served.sendTrailers({ 'grpc-status': '0' }));
      served.pipe(served);
    });
    let sent = 0;
    stream.write(pattern(1, 0, length), () => sent++);
    stream.end([]);
    await expect.poll(() => listener.events.at(-1), patience).toBe('closed');
    expect(listener.body.equals(pattern(1, 0, length))).toBe(true);
    expect(listener.events).toEqual(['head 200', 'data', 'trailers 0', 'end', 'closed']);
    expect(sent).toBe(1);
    expect(server.rstCode).toBe(ErrorCode.noError);
  });

  test('a paused stream gets no more than its window', async () => {
    const { stream, listener } = await answered((served) => {
      served.respond({ ':status': 200 });
      served.end(pattern(2, 0, 2 * windowBytes));
    });
    stream.pause();
    await expect.poll(() => listener.body.length, patience).toBe(windowBytes);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(listener.body).toHaveLength(windowBytes);
    stream.resume();
    await expect.poll(() => listener.events, patience).toContain('end');
    expect(listener.body.equals(pattern(2, 0, 2 * windowBytes))).toBe(true);
  });

  test('it answers pings, and its own are answered', async () => {
    const { connection, server } = await answered(() => undefined);
    await new Promise<void>((resolve) => connection.ping(resolve));
    await new Promise<void>((resolve, reject) => {
      server.session?.ping((error) => (error === null ? resolve() : reject(error)));
    });
  });
});

describe('with a server of raw frames', () => {
  interface Raw extends Called {
    readonly socket: Socket;
    /** What the client has sent. */
    readonly heard: () => Buffer;
  }

  /** @param frames what follows the server's settings */
  async function answered(...frames: readonly Buffer[]): Promise<Raw> {
    const listener = createServer({ noDelay: true });
    const accepted = once(listener, 'connection') as Promise<[Socket]>;
    const called = call(await listening(listener));
    const [socket] = await accepted;
    cleanups.push(() => socket.destroy());
    socket.on('error', () => undefined);
    let heard = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => (heard = Buffer.concat([heard, chunk])));
    socket.write(Buffer.concat([settings(), acknowledgement, ...frames]));
    return { ...called, socket, heard: () => heard };
  }

  const okHead = headers(1, endHeaders, headerBlock({ ':status': '200' }));
  const okEnd = headers(1, whole, headerBlock({ 'grpc-status': '0' }));

  test('it begins with the preface, its settings and its request', async () => {
    const { heard } = await answered();
    await expect.poll(() => heard().includes('/a.Service/Method')).toBe(true);
    const bytes = heard();
    expect(bytes.subarray(0, preface.length)).toEqual(preface);
    const types: (number | undefined)[] = [];
    for (let at = preface.length; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      types.push(bytes[at + 3]);
    }
    const { settings: first, windowUpdate: update, headers: last } = FrameType;
    expect(types.slice(0, 3)).toEqual([first, update, last]);
  });

  test.each<[string, readonly Buffer[], readonly string[]]>([
    ['in parts', [okHead, data(1, 'a'), data(1, 'b'), okEnd], ['head 200', 'data', 'trailers 0']],
    ['that ends with its body', [okHead, data(1, 'a', endStream)], ['head 200', 'data']],
    ['of a head only', [headers(1, whole, headerBlock({ ':status': '404' }))], ['head 404']],
    [
      'after one that is not the answer yet',
      [headers(1, endHeaders, headerBlock({ ':status': '103' })), okHead, okEnd],
      ['head 200', 'trailers 0'],
    ],
  ])('it hears an answer %s', async (_what, frames, events) => {
    const { listener, failures } = await answered(...frames);
    await expect.poll(() => listener.events).toEqual([...events, 'end']);
    expect(failures).toEqual([]);
  });

  const { protocolError, streamClosed, flowControlError, enhanceYourCalm } = ErrorCode;
  const many = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`x-${i}`, 'y']));

  test.each<[string, readonly Buffer[], number]>([
    ['data before the head', [data(1, 'a')], protocolError],
    ['a head without a status', [headers(1, endHeaders, headerBlock({ a: 'b' }))], protocolError],
    [
      'a head with a status that is none',
      [headers(1, endHeaders, headerBlock({ ':status': '2x0' }))],
      protocolError,
    ],
    [
      'a head of a request',
      [headers(1, endHeaders, headerBlock({ ':status': '200', ':path': '/' }))],
      protocolError,
    ],
    [
      'an interim head as the end',
      [headers(1, whole, headerBlock({ ':status': '100' }))],
      protocolError,
    ],
    [
      'too many fields',
      [headers(1, endHeaders, headerBlock({ ':status': '200', ...many }))],
      enhanceYourCalm,
    ],
    ['two heads', [okHead, okHead], protocolError],
    [
      'trailers with a status',
      [okHead, headers(1, whole, headerBlock({ ':status': '200' }))],
      protocolError,
    ],
    ['data after the end', [okHead, okEnd, data(1, 'a')], streamClosed],
    ['fields after the end', [okHead, okEnd, okEnd], streamClosed],
  ])('%s ends the stream', async (_what, frames, code) => {
    const { listener, stream, heard, connection, failures } = await answered(...frames);
    await expect.poll(() => heard().includes(reset(1, code))).toBe(true);
    expect(listener.events.at(-1)).toBe('closed');
    expect(stream.fault).toBe(code);
    expect(connection.streamCount).toBe(0);
    expect(failures).toEqual([]);
  });

  test('more data than the window end the stream', async () => {
    const { stream, socket, listener, heard } = await answered(okHead);
    stream.pause();
    const body = data(1, Buffer.alloc(16_384));
    for (let sent = 0; sent <= windowBytes; sent += 16_384) socket.write(body);
    await expect.poll(() => heard().includes(reset(1, flowControlError)), patience).toBe(true);
    expect(listener.body).toHaveLength(windowBytes);
  });

  test.each<[string, Buffer, string]>([
    ['a stream that the client did not begin', data(3, 'a'), 'DATA on stream 3'],
    ['fields of one', headers(3), 'HEADERS on stream 3'],
    ['a stream of its own', headers(2), 'HEADERS on stream 2'],
    ['a push', frame(FrameType.pushPromise, endHeaders, 1, Buffer.alloc(4)), 'unwanted'],
    ['a frame that is too long', frame(FrameType.data, 0, 1, Buffer.alloc(16_385)), '16385 bytes'],
  ])('%s ends the connection', async (_what, bytes, reason) => {
    const { listener, failures, socket } = await answered(okHead, bytes);
    const ended = once(socket, 'end');
    await expect.poll(() => failures.map(({ message }) => message)).toHaveLength(1);
    expect(failures[0]?.message).toContain(reason);
    expect(listener.events).toEqual(['head 200', 'closed']);
    await ended;
  });

  test('a stream that is given up before anything of it left is not spoken of', async () => {
    const { connection, heard, failures } = await answered();
    const other = new ClientListener();
    connection.request(requestFields, other).reset(ErrorCode.cancel);
    expect(other.events).toEqual(['closed']);
    connection.ping(() => undefined);
    await expect.poll(() => heard().includes(ping('quorate?'))).toBe(true);
    expect(heard().includes(reset(3).subarray(0, 9))).toBe(false);
    expect(failures).toEqual([]);
  });

  test('a stream that the server resets is over', async () => {
    const { listener, stream, connection } = await answered(okHead, reset(1));
    await expect.poll(() => listener.events).toEqual(['head 200', 'closed']);
    expect([stream.isReset, connection.streamCount]).toEqual([true, 0]);
  });

  test('what a server grants on a stream that is gone is of no use', async () => {
    const { failures, connection, heard } = await answered(okHead, reset(1), windowUpdate(1, 9));
    await expect.poll(() => connection.streamCount).toBe(0);
    await new Promise<void>((resolve) => setTimeout(resolve, 20));
    expect(failures).toEqual([]);
    expect(heard().includes(reset(1, streamClosed).subarray(0, 9))).toBe(false);
  });

  test('a server that goes away for an error says why', async () => {
    const body = Buffer.concat([goAway(1, enhanceYourCalm).subarray(9), Buffer.from('too many')]);
    const called = await answered(okHead, frame(FrameType.goAway, 0, 0, body));
    const { failures, listener } = called;
    await expect.poll(() => listener.events).toEqual(['head 200', 'closed']);
    const [failure] = failures;
    expect(failure?.message).toBe('the other end ended the connection: too many');
  });

  test('a server that goes away in order answers what it has begun', async () => {
    const { socket, listener, failures, heard } = await answered(okHead, goAway(1));
    const ended = once(socket, 'end');
    await expect.poll(() => heard().includes(goAway(0))).toBe(true);
    expect(listener.events).toEqual(['head 200']);
    socket.write(okEnd);
    await expect.poll(() => listener.events).toEqual(['head 200', 'trailers 0', 'end']);
    expect(failures).toEqual([]);
    socket.write(reset(1));
    await ended;
  });

  test('a server that goes away and never saw the stream ends it', async () => {
    const { socket, listener, failures } = await answered(goAway(0));
    const ended = once(socket, 'end');
    await expect.poll(() => listener.events).toEqual(['closed']);
    expect(failures).toEqual([]);
    await ended;
  });

  test('a connection that breaks ends its stream, and is told of once', async () => {
    const { socket, listener, connection } = await answered(okHead, ping('12345678'));
    await expect.poll(() => listener.events).toEqual(['head 200']);
    socket.resetAndDestroy();
    await expect.poll(() => listener.events).toEqual(['head 200', 'closed']);
    connection.destroy();
    expect(listener.events).toHaveLength(2);
  });
});
