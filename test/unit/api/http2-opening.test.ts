import {
  connect,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { mendAuthority } from '../../../src/api/http/header-block.ts';
import { Http2Opening, preface } from '../../../src/api/http/http2-opening.ts';
import { PutRequest, PutResponse } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { ApiPort } from '../../support/api-port.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Puts over a connection of its own kind; resolves to the grpc-status. */
function put(
  session: ClientHttp2Session,
  authority: string,
  more: OutgoingHttpHeaders = {},
): Promise<unknown> {
  const stream = session.request({
    ...more,
    ':method': 'POST',
    ':path': KV.methods.put.path,
    ':authority': authority,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const message = PutRequest.encode(PutRequest.create({ key: Buffer.from('k') }));
  stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
  return new Promise((resolve, reject) => {
    stream.on('trailers', (trailers: IncomingHttpHeaders) => resolve(trailers['grpc-status']));
    stream.on('error', reject);
    stream.resume();
  });
}

async function serve(): Promise<ApiPort> {
  const port = new ApiPort({ port: { firstRequestTimeoutMs: 2000 } });
  port.adapter.add(KV, { put: () => Promise.resolve(PutResponse.create()) });
  await port.listen();
  cleanups.push(() => port.stop());
  return port;
}

async function open(port: ApiPort, hasSettings: boolean): Promise<ClientHttp2Session> {
  const session = connect(port.url);
  cleanups.push(() => session.destroy());
  if (hasSettings) await new Promise((resolve) => session.once('remoteSettings', resolve));
  return session;
}

async function connectRaw(port: ApiPort): Promise<Socket> {
  const socket = connectSocket(port.port, '127.0.0.1');
  socket.on('error', () => undefined);
  cleanups.push(() => void socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

describe('a call with an authority that is none is answered', () => {
  const authorities = [
    'http://127.0.0.1:2379',
    'https://etcd.example:2379',
    'unix:///run/etcd.sock',
    '#initially=[http://127.0.0.1:2379]',
    '/',
    `http://${'a'.repeat(300)}.example:2379`,
    '127.0.0.1:2379',
  ];

  test('although it comes again and again', async () => {
    const port = await serve();
    const session = await open(port, true);
    // Every other timeout is a new entry of the table, and pushes the authority out in the end.
    for (let i = 0; i < 200; i++) {
      const timeout = { 'grpc-timeout': `${10_000_000 + i}u`, 'x-filler': `${i}`.padEnd(100) };
      expect(await put(session, '#initially=[http://127.0.0.1:2379]', timeout)).toBe('0');
    }
  });

  test.each(authorities)('%s', async (authority) => {
    const port = await serve();
    // A client may call at once or wait for the server's settings; the second call names the
    // authority by its place in the table.
    for (const hasSettings of [false, true]) {
      const session = await open(port, hasSettings);
      for (let i = 0; i < 3; i++) expect(await put(session, authority)).toBe('0');
    }
  });
});

test('a client that asks for an answer before its first call gets one', async () => {
  const port = await serve();
  const session = await open(port, true);
  const pinged = new Promise<Error | null>((resolve) => session.ping((error) => resolve(error)));
  expect(await pinged).toBeNull();
  expect(await put(session, 'localhost')).toBe('0');
});

test('a client that never acknowledges the settings is cut off', async () => {
  const port = new ApiPort({ port: { firstBytesTimeoutMs: 50, firstRequestTimeoutMs: 50 } });
  await port.listen();
  cleanups.push(() => port.stop());
  const socket = connectSocket(port.port, '127.0.0.1');
  socket.resume();
  socket.write(Buffer.concat([preface, Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]));
  await new Promise((resolve) => socket.once('close', resolve));
});

test('a client that owes the acknowledgement wins no time by sending on', async () => {
  const port = new ApiPort({ port: { firstBytesTimeoutMs: 100, firstRequestTimeoutMs: 100 } });
  await port.listen();
  cleanups.push(() => port.stop());
  const socket = await connectRaw(port);
  socket.write(Buffer.concat([preface, settings]));
  await new Promise((resolve) => socket.once('data', resolve));
  socket.write(headers(blockWith('a:1')));
  const window = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  const trickle = setInterval(() => socket.write(window), 10);
  cleanups.push(() => clearInterval(trickle));
  await new Promise((resolve) => socket.once('close', resolve));
});

describe('a server that stops tells a client that has made no call yet', () => {
  test('that it may turn to another one', async () => {
    const port = await serve();
    const session = await open(port, true);
    const goaway = new Promise((resolve) => {
      session.once('goaway', (code, lastStream) => resolve({ code, lastStream }));
    });
    port.clientPort.close();
    expect(await goaway).toEqual({ code: 0, lastStream: 0 });
    await new Promise((resolve) => session.once('close', resolve));
  });

  test('and one whose first call waits for an acknowledgement that the call was not made', async () => {
    const port = await serve();
    const socket = await connectRaw(port);
    socket.write(Buffer.concat([preface, settings]));
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write(headers(blockWith('a:1')));
    const received = new Promise<Buffer>((resolve) => socket.once('data', resolve));
    port.clientPort.close();
    const goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect([...(await received)]).toEqual(goaway);
    await new Promise((resolve) => socket.once('close', resolve));
  });
});

const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const acknowledgement = Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0]);

function headers(block: Buffer, flags = 4): Buffer {
  return Buffer.concat([Buffer.from([0, 0, block.length, 1, flags, 0, 0, 0, 1]), block]);
}

/** `:authority` as a new entry of the table, not Huffman-coded, between two indexed fields. */
function blockWith(authority: string): Buffer {
  return Buffer.from([0x83, 0x41, authority.length, ...Buffer.from(authority), 0x86]);
}

describe('the opening', () => {
  function openingOf(chunks: readonly Buffer[]): { states: string[]; opening: Http2Opening } {
    const sent: Buffer[] = [];
    const opening = new Http2Opening({
      maxConcurrentStreams: 7,
      send: (bytes) => void sent.push(bytes),
    });
    const states = chunks.map((chunk) => opening.take(chunk));
    expect(sent.length).toBeLessThanOrEqual(1);
    return { states, opening };
  }

  test('passes on what came at once', () => {
    const all = Buffer.concat([preface, settings, headers(blockWith('a:1'))]);
    const { states, opening } = openingOf([all]);
    expect(states).toEqual(['ready']);
    expect(opening.bytes).toEqual(all);
  });

  test('drops the acknowledgement of its own settings, and only that', () => {
    const request = headers(blockWith('http://a:1'));
    const mended = headers(blockWith('a:1'));
    for (const rest of [
      [acknowledgement, request],
      [request, acknowledgement],
    ]) {
      const { states, opening } = openingOf([Buffer.concat([preface, settings]), ...rest]);
      expect(states).toEqual(['opening', 'opening', 'ready']);
      expect(opening.bytes).toEqual(Buffer.concat([preface, settings, mended]));
    }
  });

  test('sees the same however the bytes are cut', () => {
    const padded = headers(
      Buffer.concat([Buffer.from([2]), blockWith('http://a:1'), settings.subarray(0, 2)]),
      12,
    );
    const all = Buffer.concat([preface, settings, acknowledgement, padded]);
    const { states, opening } = openingOf(Array.from(all, (byte) => Buffer.from([byte])));
    expect(states.at(-1)).toBe('ready');
    expect(states.slice(0, -1).every((state) => state === 'opening')).toBe(true);
    const mended = headers(
      Buffer.concat([Buffer.from([2]), blockWith('a:1'), settings.subarray(0, 2)]),
      12,
    );
    expect(opening.bytes).toEqual(Buffer.concat([preface, settings, mended]));
  });

  test('leaves to the HTTP/2 library what is wrong at once', () => {
    const tooLong = Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]);
    expect(openingOf([Buffer.concat([preface, tooLong])]).states).toEqual(['ready']);
  });

  test('ends with a client that owes the acknowledgement and sends on', () => {
    const window = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    const many = Array.from({ length: 10 }, () => Buffer.concat(Array(1200).fill(window)));
    const { states } = openingOf([preface, ...many]);
    expect(states.at(-1)).toBe('broken');
  });
});

describe('a header block', () => {
  test('with a valid authority is left as it is (RFC 7541 C.4.1, Huffman-coded)', () => {
    expect(mendAuthority(Buffer.from('828684418cf1e3c2e5f23a6ba0ab90f4ff', 'hex'))).toBeUndefined();
  });

  test.each([
    ['http://a:1', 'a:1'],
    ['unix:///run/a.sock', 'runa.sock'],
    ['///', '-'],
    ['a:1/', 'a:1'],
  ])('with %s gets %s, no longer than before', (authority, mended) => {
    expect(mendAuthority(blockWith(authority))).toEqual(blockWith(mended));
    expect(mended.length).toBeLessThanOrEqual(authority.length);
  });

  test('of any bytes is read without failing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const mended = mendAuthority(Buffer.from(bytes));
        if (mended !== undefined) expect(mendAuthority(mended)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });
});
