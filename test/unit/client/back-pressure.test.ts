/** Users who are slow, and what they cost: not memory, and not others' time. */
import { describe, expect, test } from 'vitest';
import { BatchQueue } from '../../../src/client/batch-queue.ts';
import { type Event, KeyValue, PutResponse } from '../../../src/client/index.ts';
import { KV } from '../../../src/gen/services.ts';
import { FakeMember, type FakeWatch, header } from '../../support/fake-member.ts';
import { cabled, client } from './setup.ts';

const valueSizeBytes = 64 * 1024;

const event = (modRevision: number): Event => ({
  type: 0,
  kv: KeyValue.create({ key: Buffer.from('k'), value: Buffer.alloc(valueSizeBytes), modRevision }),
  prevKv: undefined,
});

/** Sends revisions as long as the client takes them; says how many it had sent when it stalled. */
class Flood {
  readonly stream: FakeWatch;
  sent = 0;
  stalled = false;
  readonly #last: number;

  constructor(stream: FakeWatch, first: number, last: number) {
    this.stream = stream;
    this.#last = last;
    this.#send(first);
  }

  #send(revision: number): void {
    for (; revision <= this.#last; revision++) {
      this.sent++;
      if (!this.stream.send({ header: header(revision), events: [event(revision)] })) {
        this.stalled = true;
        this.stream.call.once('drain', () => {
          this.stalled = false;
          this.#send(revision + 1);
        });
        return;
      }
    }
  }
}

async function settled(flood: Flood): Promise<number> {
  for (let same = 0, before = -1; same < 20;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = flood.sent === before && flood.stalled ? same + 1 : 0;
    before = flood.sent;
  }
  return flood.sent;
}

describe('a slow user', () => {
  test('stops the stream, gets everything in the end, and holds up nobody else', async () => {
    const total = 800;
    const member = new FakeMember().onWatch();
    member.on(KV.methods.put, () => PutResponse.create({ header: header(1) }));
    const { address } = await cabled(member);
    const by = client({ endpoints: address });
    const slow = by.watch({ key: 'k' })[Symbol.asyncIterator]();
    const stream = await member.watch();
    await stream.confirm(0);
    const flood = new Flood(stream, 1, total);
    // 8 MiB in our queue, 16 messages in grpc-js, and windows: of 50 MiB.
    expect(await settled(flood)).toBeLessThan(400);

    // The same connection serves others.
    const quick = by.watch({ key: 'k' })[Symbol.asyncIterator]();
    const other = await member.watch();
    await other.confirm(0);
    for (let revision = 1; revision <= 300; revision++) {
      other.send({ header: header(revision), events: [event(revision)] });
      const { value } = await quick.next();
      expect(value?.header.revision).toBe(revision);
    }
    await by.put('k', 'v');
    expect(flood.stalled).toBe(true);

    for (let revision = 1; revision <= total; revision++) {
      const { value } = await slow.next();
      expect(value?.events[0]?.kv?.modRevision).toBe(revision);
    }
  });

  test('has no more waiting for him after many lost connections', async () => {
    const member = new FakeMember().onWatch();
    const { cable, address } = await cabled(member);
    const slow = client({ endpoints: address }).watch({ key: 'k' })[Symbol.asyncIterator]();
    const stream = await member.watch();
    await stream.confirm(0);
    const flood = new Flood(stream, 1, 1000);
    await settled(flood);
    const { connections } = cable;
    cable.cut();
    let again = false;
    const second = member.watch().then((opened) => {
      again = true;
      return opened;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([again, cable.connections]).toEqual([false, connections]);
    for (let revision = 1; !again; revision++) {
      const { value } = await slow.next();
      expect(value?.events[0]?.kv?.modRevision).toBe(revision);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await (await second).createRequest()).startRevision).toBeGreaterThan(100);
  });
});

describe('the queue of batches', () => {
  const filled = (count: number): BatchQueue<number> => {
    const queue = new BatchQueue<number>(() => undefined);
    for (let i = 0; i < count; i++) queue.push(i, 1);
    return queue;
  };

  test('is full by number and by size', () => {
    expect(filled(127).isFull).toBe(false);
    expect(filled(128).isFull).toBe(true);
    const large = filled(1);
    large.push(1, 8 * 1024 * 1024);
    expect(large.isFull).toBe(true);
  });

  test('says once when there is room again', async () => {
    let told = 0;
    const queue = new BatchQueue<number>(() => told++);
    for (let i = 0; i < 129; i++) queue.push(i, 1);
    await queue.next();
    expect(told).toBe(0);
    await queue.next();
    await queue.next();
    expect(told).toBe(1);
  });

  test('hands out in order to those who wait, and tells one of them the error', async () => {
    const queue = filled(1);
    const taken = [queue.next(), queue.next(), queue.next(), queue.next()];
    queue.push(1, 1);
    queue.fail(new Error('over'));
    const results = await Promise.allSettled(taken);
    expect(results).toMatchObject([
      { value: { value: 0 } },
      { value: { value: 1 } },
      { reason: { message: 'over' } },
      { value: { done: true } },
    ]);
    expect((await queue.next()).done).toBe(true);
  });
});
