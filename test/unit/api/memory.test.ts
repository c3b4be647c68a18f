import { connect, type ClientHttp2Stream } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { slicedRange } from '../../../src/api/sliced-range.ts';
import { executeRange } from '../../../src/apply/range.ts';
import { Turns } from '../../../src/api/turns.ts';
import { StatusCode } from '../../../src/base/errors.ts';
import { systemClock } from '../../../src/daemon/system-clock.ts';
import {
  PutResponse,
  RangeRequest,
  RangeResponse,
  SortOrder,
  SortTarget,
  WatchResponse,
} from '../../../src/gen/rpc.ts';
import { KV } from '../../../src/gen/services.ts';
import { cleanups, emptyKv, putRequest, roomyMemory, serve } from '../../support/api-calls.ts';
import { MapBackend, openStore } from '../mvcc/fakes.ts';

const turns = new Turns(systemClock);
const mebibyte = 1024 * 1024;
const limits = { connectionBytes: 3 * mebibyte, totalBytes: 5 * mebibyte, stallMs: 100 };

function bigAnswer(bytes: number): PutResponse {
  return PutResponse.create({ prevKv: { ...emptyKv, value: new Uint8Array(bytes) } });
}

/** A connection whose client never reads answers. */
function unread(url: string): { call(): Promise<string | undefined>; closed: Promise<void> } {
  const session = connect(url);
  cleanups.push(() => session.destroy());
  session.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => session.once('close', () => resolve()));
  const frame = Buffer.alloc(5);
  return {
    closed,
    call: () =>
      new Promise((resolve) => {
        const stream: ClientHttp2Stream = session.request({
          ':method': 'POST',
          ':path': '/etcdserverpb.KV/Put',
          'content-type': 'application/grpc',
        });
        stream.on('error', () => undefined);
        stream.on('response', (headers) => resolve(headers['grpc-status'] as string | undefined));
        stream.end(frame);
      }),
  };
}

describe('answers that are not read', () => {
  test('may not add up on one connection, and cost other connections nothing', async () => {
    const { port, client } = await serve(
      { put: () => Promise.resolve(bigAnswer(mebibyte)) },
      { grpc: { answerLimits: limits } },
    );
    const connection = unread(port.url);
    expect(await connection.call()).toBeUndefined();
    expect(await connection.call()).toBeUndefined();
    expect(await connection.call()).toBe(String(StatusCode.resourceExhausted));
    await client.unary(KV.methods.put, putRequest);
  });

  test('do not keep others out for long, however many connections they are on', async () => {
    const { port, client } = await serve(
      { put: () => Promise.resolve(bigAnswer(mebibyte)) },
      { grpc: { answerLimits: limits } },
    );
    const first = unread(port.url);
    const second = unread(port.url);
    for (const connection of [first, first, second, second]) await connection.call();
    await expect(client.unary(KV.methods.put, putRequest)).rejects.toMatchObject({
      code: StatusCode.resourceExhausted,
      details: 'etcdserver: too many unsent answers',
    });
    await Promise.race([first.closed, second.closed]);
    await client.unary(KV.methods.put, putRequest);
  });

  test('hold up streams of their connection, which then go on', async () => {
    let sent = 0;
    const { port } = await serve(
      {},
      { grpc: { answerLimits: limits } },
      {
        watch: async function* () {
          for (; ; sent++) {
            const cancelReason = 'x'.repeat(mebibyte / 2);
            yield await Promise.resolve(WatchResponse.create({ cancelReason }));
          }
        },
      },
    );
    const session = connect(port.url);
    cleanups.push(() => session.destroy());
    const streams = Array.from({ length: 20 }, () => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/etcdserverpb.Watch/Watch',
        'content-type': 'application/grpc',
      });
      stream.on('error', () => undefined);
      return stream;
    });
    await expect.poll(() => sent).toBeGreaterThan(4);
    const held = port.adapter.unsentBytes;
    expect(held).toBeLessThan(limits.totalBytes + 2 * mebibyte);
    for (const stream of streams) stream.resume();
    await expect.poll(() => sent).toBeGreaterThan(40);
    session.destroy();
    await expect.poll(() => port.adapter.unsentBytes).toBe(0);
  });
});

describe('a large range', () => {
  function filledStore(keys: number, valueBytes: number): ReturnType<typeof openStore> {
    const store = openStore({ backend: new MapBackend(), clock: systemClock });
    for (let i = 0; i < keys; i++) {
      const txn = store.begin();
      txn.put(`k${String(i).padStart(5, '0')}`, new Uint8Array(valueBytes), 0n);
      txn.end();
    }
    return store;
  }
  const header = { clusterId: 2n ** 64n - 1n, memberId: 7n, revision: 2501, raftTerm: 3 };
  const everything = RangeRequest.create({ key: Buffer.from('k'), rangeEnd: Buffer.from('l') });

  /** As the range would be encoded of its objects, all at once. */
  function expectSameBytes(
    answer: RangeResponse,
    store: ReturnType<typeof openStore>,
    request: RangeRequest,
  ): void {
    const { kvs, more, count } = executeRange(store, request);
    const expected = Buffer.from(RangeResponse.encode({ header, kvs, more, count }));
    expect(Buffer.compare(RangeResponse.encode(answer), expected)).toBe(0);
  }

  test('of few large values is refused too if it is too large', async () => {
    const store = filledStore(20, mebibyte / 4);
    const options = { header, turns, memory: roomyMemory, answerLimitBytes: 4 * mebibyte };
    await expect(slicedRange(store, everything, options)).rejects.toMatchObject({
      code: StatusCode.resourceExhausted,
      reason: 'answerTooLarge',
    });
    const some = { ...everything, limit: 10 };
    expect((await slicedRange(store, some, options)).kvs).toHaveLength(10);
  });

  test('says what it holds while it is read', async () => {
    const store = filledStore(20, mebibyte / 4);
    let heldBytes = 0;
    const memory = {
      hold: (bytes: number) => {
        heldBytes += bytes;
      },
    };
    await slicedRange(store, everything, { header, turns, memory });
    expect(heldBytes).toBeGreaterThan(5 * mebibyte);
    heldBytes = 0;
    const keysOnly = { ...everything, keysOnly: true };
    const keys = await slicedRange(store, keysOnly, { header, turns, memory });
    expect(keys.kvs).toHaveLength(20);
    expect(heldBytes).toBeLessThan(10_000);
  });

  test('is the same in slices, whatever is asked of it', async () => {
    const store = filledStore(2500, 10);
    for (const rest of [
      {},
      { limit: 1500 },
      { limit: 2500 },
      { revision: 2400 },
      { minModRevision: 1200 },
      { sortTarget: SortTarget.mod, sortOrder: SortOrder.descend, limit: 3 },
      { sortTarget: SortTarget.value, sortOrder: SortOrder.ascend, keysOnly: true },
      { keysOnly: true, maxModRevision: 2000 },
    ]) {
      const request = { ...everything, ...rest };
      const answer = await slicedRange(store, request, { header, turns, memory: roomyMemory });
      const {
        revision = 0,
        minModRevision = 0,
        maxModRevision = 0,
      } = rest as Partial<RangeRequest>;
      const last = revision > 0 ? revision - 2 : 2499;
      const from = minModRevision > 0 ? minModRevision - 2 : 0;
      const to = maxModRevision > 0 ? maxModRevision - 2 : last;
      const matching = to - from + 1;
      const { limit = 0 } = rest as Partial<RangeRequest>;
      expect(answer.kvs).toHaveLength(limit > 0 ? Math.min(limit, matching) : matching);
      expect(answer.more).toBe(limit > 0 && limit < matching);
      expect(answer.count).toBe(last + 1);
      expectSameBytes(answer, store, request);
    }
  });

  test('is copied while other answers are made', async () => {
    const stores = [filledStore(3000, 5), filledStore(2500, 7)];
    const answers = await Promise.all(
      stores.map((store) => slicedRange(store, everything, { header, turns, memory: roomyMemory })),
    );
    for (const [i, store] of stores.entries()) {
      expectSameBytes(answers[i] ?? expect.unreachable(), store, everything);
    }
  });

  test.each([{ key: 'k00042' }, { key: 'missing' }, { key: 'k', end: 'k00100' }])(
    'and a small one are the same: $key',
    async ({ key, end = '' }) => {
      const store = filledStore(150, 400);
      const request = { ...everything, key: Buffer.from(key), rangeEnd: Buffer.from(end) };
      for (const rest of [
        {},
        { limit: 30 },
        { countOnly: true },
        { countOnly: true, limit: 30 },
        { keysOnly: true },
      ]) {
        const asked = { ...request, ...rest };
        const answer = await slicedRange(store, asked, { header, turns, memory: roomyMemory });
        expectSameBytes(answer, store, asked);
        const { kvs, more, count } = executeRange(store, asked);
        expect(answer).toMatchObject({ header, more, count });
        expect(answer.kvs.map(({ key, value }) => [key, value])).toEqual(
          kvs.map(({ key, value }) => [key, value]),
        );
      }
    },
  );
});
