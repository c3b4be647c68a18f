/** Memory of large answers is used again, and not before an answer has left. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { slicedRange } from '../../../src/api/sliced-range.ts';
import { Turns } from '../../../src/api/turns.ts';
import { answerMemory } from '../../../src/base/reusable-memory.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { RangeRequest, RangeResponse } from '../../../src/gen/rpc.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { cleanups, framed, serve } from '../../support/api-calls.ts';
import type { ApiPort } from '../../support/api-port.ts';
import {
  callFields,
  Flag,
  frame,
  FrameType,
  headerBlock,
  opening,
  uint32,
} from '../../support/http2-bytes.ts';
import { MapBackend, openStore } from '../mvcc/fakes.ts';

const header = { clusterId: 1n, memberId: 7n, revision: 1, raftTerm: 3 };
const turns = new Turns(systemClock);
/** Keys and bytes of a value for each prefix: from one that is copied to one of many slices. */
const prefixes = [
  { name: 'a', keys: 1, valueBytes: 100 },
  { name: 'b', keys: 100, valueBytes: 300 },
  { name: 'c', keys: 900, valueBytes: 300 },
  { name: 'd', keys: 2500, valueBytes: 200 },
  { name: 'e', keys: 5, valueBytes: 300_000 },
] as const;
/** Larger than what the system takes of a connection before its client reads. */
const huge = { name: 'y', keys: 22, valueBytes: 1_000_000 };
const otherHuge = { ...huge, name: 'z' };

interface Prefix {
  readonly name: string;
  readonly keys: number;
  readonly valueBytes: number;
}

let store: Store;

beforeAll(() => {
  store = openStore({ backend: new MapBackend(), clock: systemClock });
  for (const { name, keys, valueBytes } of [...prefixes, huge, otherHuge]) {
    for (let i = 0; i < keys; i++) {
      const txn = store.begin();
      txn.put(`${name}${String(i).padStart(5, '0')}`, valueOf(name, i, valueBytes), 0n);
      txn.end();
    }
  }
});

function valueOf(name: string, i: number, valueBytes: number): Buffer {
  return Buffer.alloc(valueBytes, `${name}${i}.`);
}

function requestOf({ name }: Prefix): Buffer {
  const [key, rangeEnd] = [Buffer.from(name), Buffer.from(`${name}~`)];
  return framed(RangeRequest.encode(RangeRequest.create({ key, rangeEnd })));
}

async function serveStore(): Promise<ApiPort> {
  const { port } = await serve({
    range: (request, { memory }) => slicedRange(store, request, { header, turns, memory }),
  });
  return port;
}

function connected(port: ApiPort, initialWindowSize = 65_535): ClientHttp2Session {
  const session = connect(port.url, { settings: { initialWindowSize } });
  cleanups.push(() => session.destroy());
  session.on('error', () => undefined);
  return session;
}

/** @param resetAfter bytes after which the client has enough */
function range(session: ClientHttp2Session, prefix: Prefix, resetAfter = Infinity) {
  return new Promise<RangeResponse | undefined>((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/etcdserverpb.KV/Range',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let isWhole = false;
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > resetAfter) stream.close(8);
    });
    stream.on('trailers', (trailers) => {
      isWhole = (trailers as Record<string, unknown>)['grpc-status'] === '0';
    });
    stream.on('error', () => undefined);
    stream.on('close', () => {
      resolve(isWhole ? RangeResponse.decode(Buffer.concat(chunks).subarray(5)) : undefined);
    });
    stream.end(requestOf(prefix));
  });
}

function expectWhole(answer: RangeResponse | undefined, prefix: Prefix): void {
  expect(answer).toMatchObject({ header, count: prefix.keys, more: false });
  const kvs = answer?.kvs ?? [];
  expect(kvs).toHaveLength(prefix.keys);
  const wrong = kvs.filter(
    ({ value }, i) => Buffer.compare(value, valueOf(prefix.name, i, prefix.valueBytes)) !== 0,
  );
  expect(wrong).toEqual([]);
}

test.each(prefixes.slice(1))('of $keys keys of $valueBytes bytes', async (prefix) => {
  const session = connected(await serveStore());
  // The first ones of a size may leave behind what the next ones take.
  for (let i = 0; i < 3; i++) expectWhole(await range(session, prefix), prefix);
  const { idleBytes } = answerMemory;
  expect(idleBytes).toBeGreaterThan(prefix.keys * prefix.valueBytes);
  for (let i = 0; i < 5; i++) {
    expectWhole(await range(session, prefix), prefix);
    expect(answerMemory.idleBytes).toBe(idleBytes);
  }
});

test('answers of many clients stay apart, whether others have enough or vanish', async () => {
  const port = await serveStore();
  const readers = Array.from({ length: 6 }, async (_, i) => {
    // Little room: most of an answer waits within the server while others are made.
    const session = connected(port, i % 2 === 0 ? 10_000 : 200_000);
    for (let k = 0; k < 10; k++) {
      const prefix = prefixes[(i + k) % prefixes.length] ?? prefixes[0];
      expectWhole(await range(session, prefix), prefix);
    }
  });
  let ended = false;
  const spoilers = Array.from({ length: 4 }, async (_, i) => {
    while (!ended) {
      const session = connected(port, i % 2 === 0 ? 1_000 : 500_000);
      const [resets, vanishes] = [2, 3].map((p) =>
        range(session, prefixes[p] ?? prefixes[0], 10_000),
      );
      await resets;
      if (i < 2) session.destroy();
      await vanishes;
      session.destroy();
    }
  });
  try {
    await Promise.all(readers);
  } finally {
    ended = true;
    await Promise.all(spoilers);
  }
});

/** Asks for a range with room for so many bytes of it, and reads nothing. */
async function unread(port: ApiPort, prefix: Prefix, windowBytes: number) {
  const socket = connectSocket(port.port, '127.0.0.1');
  cleanups.push(() => void socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const initialWindowSize = 4;
  socket.write(
    Buffer.concat([
      opening([[initialWindowSize, windowBytes]]),
      frame(FrameType.windowUpdate, 0, 0, uint32(windowBytes)),
      frame(
        FrameType.headers,
        Flag.endHeaders,
        1,
        headerBlock(callFields('/etcdserverpb.KV/Range')),
      ),
      frame(FrameType.data, Flag.endStream, 1, requestOf(prefix)),
    ]),
  );
  return socket;
}

/** The bytes of all DATA frames. */
function dataOf(bytes: Buffer): Buffer {
  const data: Buffer[] = [];
  for (let at = 0; at + 9 <= bytes.length;) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (bytes[at + 3] === FrameType.data) data.push(bytes.subarray(at + 9, end));
    at = end;
  }
  return Buffer.concat(data);
}

test('an answer whose connection was given up goes out as it was made', async () => {
  const [port, other] = [await serveStore(), await serveStore()];
  const socket = await unread(port, huge, 20_000_000);
  await expect.poll(() => port.adapter.unsentBytes).toBeGreaterThan(20_000_000);
  // Until the system takes no more.
  await delay(500);
  const stopped = port.adapter.stop(0);
  await delay(100);
  const session = connected(other);
  for (let i = 0; i < 2; i++) expectWhole(await range(session, otherHuge), otherHuge);
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  await once(socket, 'close');
  await stopped;
  const data = dataOf(Buffer.concat(received));
  expect(data.length).toBeGreaterThan(1_000_000);
  expect(data.includes('y21.')).toBe(false);
  expect(data.includes('z')).toBe(false);
});
