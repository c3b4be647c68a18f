import {
  connect,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { PutRequest, PutResponse } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { cleanups } from '../../support/api-calls.ts';
import { ApiPort, type ApiPortOptions } from '../../support/api-port.ts';
import {
  callFields,
  Flag,
  frame,
  FrameType,
  headerBlock,
  opening,
  uint32,
} from '../../support/http2-bytes.ts';

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

async function serve(options: ApiPortOptions = {}): Promise<ApiPort> {
  const port = new ApiPort(options);
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

describe('a client that does not acknowledge the settings is cut off', () => {
  const ended = (socket: Socket): Promise<unknown> =>
    new Promise((resolve) => socket.once('close', resolve));

  test('if it is silent', async () => {
    const socket = await connectRaw(await serve({ grpc: { openingTimeoutMs: 50 } }));
    socket.resume();
    socket.write(opening());
    await ended(socket);
  });

  test('however much it sends', async () => {
    const socket = await connectRaw(await serve({ grpc: { openingTimeoutMs: 100 } }));
    socket.resume();
    const call = headerBlock(callFields(KV.methods.put.path));
    socket.write(Buffer.concat([opening(), frame(FrameType.headers, Flag.endHeaders, 1, call)]));
    const window = frame(FrameType.windowUpdate, 0, 0, uint32(1));
    const trickle = setInterval(() => socket.write(window), 10);
    cleanups.push(() => clearInterval(trickle));
    await ended(socket);
  });
});

test('a server that stops tells a client that has made no call yet to turn to another', async () => {
  const port = await serve();
  const session = await open(port, true);
  const goaway = new Promise((resolve) => {
    session.once('goaway', (code, lastStream) => resolve({ code, lastStream }));
  });
  const closed = new Promise((resolve) => session.once('close', resolve));
  await port.stop(10_000);
  expect(await goaway).toEqual({ code: 0, lastStream: 0 });
  await closed;
});
