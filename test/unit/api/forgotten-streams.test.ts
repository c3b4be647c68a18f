/** That sessions of Node go on as before with other collections for their streams. */
import { type ClientHttp2Session, connect, createServer, type Http2Session } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { forgetStreamsSooner } from '../../../src/api/grpc/grpc-js-internals.ts';
import { ChurnMap } from '../../../src/base/churn.ts';

const patient = { timeout: 10_000 };

let server: ReturnType<typeof createServer>;
let session: Http2Session;
let client: ClientHttp2Session;
let changed: boolean;

beforeEach(async () => {
  server = createServer();
  server.on('session', (opened) => {
    session = opened;
    changed = forgetStreamsSooner(opened);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client.on('error', () => undefined);
  await once(server, 'session');
});

afterEach(() => {
  client.destroy();
  server.close();
});

/** The streams that the session has, as its own state tells. */
function streams(): ReadonlyMap<number, unknown> {
  const symbols = Object.getOwnPropertySymbols(session);
  const key = symbols.find(({ description }) => description === 'state') ?? expect.unreachable();
  const state = (session as unknown as Record<symbol, { streams: Map<number, unknown> }>)[key];
  return state?.streams ?? expect.unreachable();
}

/** Answers those of `/open` never. */
function answer(): void {
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    if (headers[':path'] !== '/open') stream.respond({ ':status': 200 }, { endStream: true });
  });
}

async function call(path: string): Promise<void> {
  const stream = client.request({ ':path': path });
  stream.resume();
  await once(stream, 'close');
}

/** Fails with a Node that looks different inside: see forgetStreamsSooner. */
test('this Node lets them be exchanged, and streams are in them while they are open', async () => {
  expect(changed).toBe(true);
  expect(streams()).toBeInstanceOf(ChurnMap);
  answer();
  const open = client.request({ ':path': '/open' });
  open.on('error', () => undefined);
  for (let i = 0; i < 200; i++) await call('/');
  await expect.poll(() => [...streams().keys()], patient).toEqual([1]);
});

test('a session that is closed waits for its streams', async () => {
  answer();
  const open = client.request({ ':path': '/open' });
  open.on('error', () => undefined);
  await call('/');
  let closed = false;
  session.close(() => (closed = true));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(closed).toBe(false);
  open.close();
  await expect.poll(() => closed, patient).toBe(true);
});

test('a session that is destroyed takes its streams with it', async () => {
  answer();
  const open = Array.from({ length: 100 }, () => client.request({ ':path': '/open' }));
  const ends = open.map((stream) => {
    stream.on('error', () => undefined);
    return once(stream, 'close');
  });
  await expect.poll(() => streams().size, patient).toBe(100);
  session.destroy();
  await Promise.all(ends);
  expect(streams().size).toBe(0);
});

describe('nothing is exchanged', () => {
  const fake = (state: unknown): object => ({ [Symbol('state')]: state });

  test.each([
    ['where there is no state', {}],
    ['where the state has no streams', fake({ pendingStreams: new Set() })],
    ['where streams are not counted', fake({ streams: [], pendingStreams: new Set() })],
    ['where there are streams', fake({ streams: new Map([[1, 1]]), pendingStreams: new Set() })],
    ['where streams begin', fake({ streams: new Map(), pendingStreams: new Set([1]) })],
  ])('%s', (_, session) => {
    expect(forgetStreamsSooner(session as unknown as Http2Session)).toBe(false);
  });
});
