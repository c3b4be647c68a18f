import { connect, type ClientHttp2Session } from 'node:http2';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { UnaryHandler } from '../../../src/api/handler.ts';
import { FrameMender } from '../../../src/api/http/mended-connection.ts';
import { PutRequest, PutResponse } from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
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

async function open(
  put: UnaryHandler<PutRequest, PutResponse>,
  options: ApiPortOptions = {},
): Promise<ClientHttp2Session> {
  const port = new ApiPort(options);
  port.adapter.add(KV, { put });
  await port.listen();
  cleanups.push(() => port.stop());
  const session = connect(port.url);
  cleanups.push(() => session.destroy());
  return session;
}

/** Puts a value; resolves to the bytes of the answer. */
function put(session: ClientHttp2Session, value: Uint8Array): Promise<number> {
  const stream = session.request({
    ':method': 'POST',
    ':path': KV.methods.put.path,
    ':authority': 'http://a:1',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const message = PutRequest.encode(PutRequest.create({ key: Buffer.from('k'), value }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
  return new Promise((resolve, reject) => {
    let sizeBytes = 0;
    stream.on('data', (chunk: Buffer) => (sizeBytes += chunk.length));
    stream.on('end', () => resolve(sizeBytes));
    stream.on('error', reject);
  });
}

describe('a connection that is mended', () => {
  const kv = { key: Buffer.from('k'), createRevision: 1, modRevision: 1, version: 1, lease: 0n };

  test('carries large requests and answers', async () => {
    const session = await open(({ value }) =>
      Promise.resolve(
        PutResponse.create({ prevKv: { ...kv, value: Buffer.alloc(4_000_000, value) } }),
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
});
