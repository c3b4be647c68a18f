import { connect, type ClientHttp2Session } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { UnaryHandler } from '../../../src/api/handler.ts';
import { Flag, FrameType } from '../../../src/api/http/http2-frames.ts';
import { preface } from '../../../src/api/http/http2-opening.ts';
import { FrameMender } from '../../../src/api/http/mended-connection.ts';
import { PutRequest, PutResponse } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { framed } from '../../support/api-calls.ts';
import { ApiPort, type ApiPortOptions } from '../../support/api-port.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function frame(type: number, flags: number, body: Uint8Array): Buffer {
  const header = Buffer.from([0, 0, 0, type, flags, 0, 0, 0, 1]);
  header.writeUIntBE(body.length, 0, 3);
  return Buffer.concat([header, body]);
}

/** `:authority` as a new entry of the table, not Huffman-coded. */
const headers = (authority: string, flags = 4): Buffer =>
  frame(1, flags, Buffer.from([0x41, authority.length, ...Buffer.from(authority)]));

function mend(...chunks: readonly Buffer[]): Buffer {
  const mender = new FrameMender();
  return Buffer.concat(chunks.flatMap((chunk) => mender.take(chunk)));
}

describe('the mender of frames', () => {
  test('mends headers and nothing else, however the bytes are cut', () => {
    const looksLikeHeaders = frame(0, 0, headers('http://a:1'));
    const unfinished = headers('http://a:1', 0);
    const rest = frame(9, 4, Buffer.from([0x86]));
    const sent = [looksLikeHeaders, headers('http://a:1'), unfinished, rest, headers('b')];
    const expected = [looksLikeHeaders, headers('a:1'), unfinished, rest, headers('b')];
    const whole = Buffer.concat(sent);
    fc.assert(
      fc.property(fc.array(fc.nat(whole.length)), (cuts) => {
        const ends = [...cuts, whole.length].sort((a, b) => a - b);
        const chunks = ends.map((end, i) => whole.subarray(ends[i - 1] ?? 0, end));
        expect(mend(...chunks)).toEqual(Buffer.concat(expected));
      }),
    );
  });

  test('passes on at once what is longer than headers may be, and the beginning of data', () => {
    const oversized = Buffer.from([0x00, 0x40, 0x01, 1, 4, 0, 0, 0, 1, 0x41]);
    expect(mend(oversized)).toEqual(oversized);
    const data = frame(0, 0, Buffer.alloc(100)).subarray(0, 20);
    expect(mend(data)).toEqual(data);
  });
});

async function serve(
  put: UnaryHandler<PutRequest, PutResponse>,
  options: ApiPortOptions = {},
): Promise<ApiPort> {
  const port = new ApiPort(options);
  port.adapter.add(KV, { put });
  await port.listen();
  cleanups.push(() => port.stop());
  return port;
}

async function open(...args: Parameters<typeof serve>): Promise<ClientHttp2Session> {
  const port = await serve(...args);
  const session = connect(port.url);
  cleanups.push(() => session.destroy());
  return session;
}

const requestHeaders = {
  ':method': 'POST',
  ':path': KV.methods.put.path,
  ':authority': 'http://a:1',
  'content-type': 'application/grpc',
  te: 'trailers',
};
const pair = { key: Buffer.from('k'), createRevision: 1, modRevision: 1, version: 1, lease: 0n };

/** A put as gRPC frames it. */
function putMessage(value: Uint8Array): Buffer {
  return framed(PutRequest.encode(PutRequest.create({ key: Buffer.from('k'), value })));
}

/** Puts a value; resolves to the bytes of the answer. */
function put(session: ClientHttp2Session, value: Uint8Array): Promise<number> {
  const stream = session.request(requestHeaders);
  stream.end(putMessage(value));
  return new Promise((resolve, reject) => {
    let sizeBytes = 0;
    stream.on('data', (chunk: Buffer) => (sizeBytes += chunk.length));
    stream.on('end', () => resolve(sizeBytes));
    stream.on('error', reject);
  });
}

/** What a client sends that puts a value and takes an answer of any size: RFC 9113 section 6. */
function bytesOfPut(): Buffer {
  const text = (value: string): number[] => [value.length, ...Buffer.from(value)];
  const { ':authority': authority, ...others } = { ':scheme': 'http', ...requestHeaders };
  // Its name by its place in the table, as clients do; the others in full.
  const block = [0x41, ...text(authority)];
  for (const [name, value] of Object.entries(others)) block.push(0, ...text(name), ...text(value));
  const onConnection = (type: number, body: Buffer): Buffer => {
    const bytes = frame(type, 0, body);
    bytes.writeUInt32BE(0, 5);
    return bytes;
  };
  const initialWindow = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]);
  const moreWindow = Buffer.from([0x7f, 0, 0, 0]);
  return Buffer.concat([
    preface,
    onConnection(FrameType.settings, initialWindow),
    onConnection(FrameType.windowUpdate, moreWindow),
    frame(FrameType.headers, Flag.endHeaders, Buffer.from(block)),
    frame(0, 1, putMessage(Buffer.alloc(1))),
  ]);
}

describe('a connection that is mended', () => {
  test('carries large requests and answers', async () => {
    const session = await open(({ value }) =>
      Promise.resolve(
        PutResponse.create({ prevKv: { ...pair, value: Buffer.alloc(4_000_000, value) } }),
      ),
    );
    const value = Buffer.alloc(900_000, 7);
    const sizes = await Promise.all([1, 2, 3, 4].map(() => put(session, value)));
    for (const sizeBytes of sizes) expect(sizeBytes).toBeGreaterThan(4_000_000);
  });

  test('is kept while it is idle and alive', async () => {
    const grpc = { idleProbeMs: 20, probeTimeoutMs: 500 };
    const session = await open(() => Promise.resolve(PutResponse.create()), { grpc });
    await put(session, Buffer.alloc(1));
    for (let i = 0; i < 3; i++) await new Promise((resolve) => session.once('ping', resolve));
    expect(session.destroyed).toBe(false);
  });

  test('is told to go elsewhere when the server stops, and closed', async () => {
    const port = new ApiPort();
    port.adapter.add(KV, { put: () => Promise.resolve(PutResponse.create()) });
    await port.listen();
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    await put(session, Buffer.alloc(1));
    const goaway = new Promise((resolve) => session.once('goaway', resolve));
    const closed = new Promise((resolve) => session.once('close', resolve));
    await port.stop(10_000);
    expect(await goaway).toBe(0);
    await closed;
  });

  test('ends with its client', async () => {
    let cancelled: () => void = () => undefined;
    const isCancelled = new Promise<void>((resolve) => (cancelled = resolve));
    let started: () => void = () => undefined;
    const isStarted = new Promise<void>((resolve) => (started = resolve));
    const session = await open((_request, { signal }) => {
      signal.addEventListener('abort', cancelled);
      started();
      return new Promise(() => undefined);
    });
    const answer = put(session, Buffer.alloc(1));
    await isStarted;
    session.destroy();
    await isCancelled;
    await answer;
  });

  test('may be reset in any turn of its end', async () => {
    let answered: () => void = () => undefined;
    const port = await serve(() => {
      answered();
      return Promise.resolve(PutResponse.create());
    });
    for (let i = 0; i < 400; i++) {
      const isAnswered = new Promise<void>((resolve) => (answered = resolve));
      const socket = connectSocket(port.port, '127.0.0.1');
      // What it has not read when it is closed makes the kernel send a reset.
      socket.pause();
      socket.write(bytesOfPut());
      await isAnswered;
      for (let turn = i % 20; turn > 0; turn--) await new Promise(setImmediate);
      socket.end();
      for (let turn = i / 20; turn > 0; turn--) await new Promise(setImmediate);
      socket.destroy();
    }
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    expect(await put(session, Buffer.alloc(1))).toBeGreaterThan(0);
  });
});
