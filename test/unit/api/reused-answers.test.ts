/** Memory of large answers is used again, and not before an answer has left. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { beforeAll, expect, test } from 'vitest';
import { slicedRange } from '../../../src/api/sliced-range.ts';
import { Turns } from '../../../src/api/turns.ts';
import { answerMemory } from '../../../src/base/reusable-memory.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import { RangeRequest, RangeResponse } from '../../../src/gen/rpc.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { cleanups, framed, serve } from '../../support/api-calls.ts';
import type { ApiPort } from '../../support/api-port.ts';
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
type Prefix = (typeof prefixes)[number];

let store: Store;

beforeAll(() => {
  store = openStore({ backend: new MapBackend(), clock: systemClock });
  for (const { name, keys, valueBytes } of prefixes) {
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
