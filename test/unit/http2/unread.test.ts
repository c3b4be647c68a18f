/** Clients that read late or never, and what they can make the server hold and do. */
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/frames.ts';
import type { Stream } from '../../../src/http2/stream.ts';
import { settings } from '../../support/http2-bytes.ts';
import {
  answer,
  data,
  expectGoesOn,
  head,
  headers,
  opened,
  patience,
  pattern,
  ping,
  type RawClient,
  reset,
  type Served,
  StillClock,
  trailers,
  whole,
  windowUpdate,
} from './raw-client.ts';

const { enhanceYourCalm } = ErrorCode;
/** Windows that nothing here uses up. */
const windows = [[4, 0x7fff_0000]] as const;
const wide = windowUpdate(0, 0x7fff_0000);
/** So much may wait for the system to take it, and at most a piece and small frames more. */
const fullBytes = 256 * 1024;
const mostWaitingBytes = fullBytes + 66 * 1024;

function expectBody(client: RawClient, streamId: number, length: number, seed = streamId): void {
  const body = client.body(streamId);
  expect(body.length).toBe(length);
  expect(body.equals(pattern(seed, 0, length))).toBe(true);
}

function collect(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Answers that go on until they are told to end, never with more than a piece that waits. */
class Endless {
  writtenBytes = 0;
  isEnding = false;

  answer(stream: Stream, seed: number): void {
    const more = (): void => {
      if (this.isEnding) {
        stream.end(trailers);
        return;
      }
      stream.write(pattern(seed, this.writtenBytes, 50_000), more);
      this.writtenBytes += 50_000;
    };
    stream.sendHead(head);
    more();
  }
}

let sockets = 0;

/** A socket of which the system takes little at a time, and nothing more while it is not read. */
function narrow(): { path: string } {
  return { path: join(tmpdir(), `quorate-unread-${process.pid}-${sockets++}`) };
}

/** As much waits to be sent as may. */
async function full({ client, socket }: Served): Promise<void> {
  while (socket.writableLength < fullBytes) {
    if (client.isClosed) throw new Error('the connection was closed');
    await client.written();
  }
}

/** A client that has asked for an endless answer, and reads no more once the system is full. */
async function stuck(seed: number, isTcp = false): Promise<{ served: Served; endless: Endless }> {
  const endless = new Endless();
  const request = (stream: Stream): void => {
    if (stream.id === 1) endless.answer(stream, seed);
    else answer(stream, pattern(stream.id, 0, 1_000));
  };
  const served = await opened({ request, ...(isTcp ? {} : narrow()) }, windows);
  served.client.write(wide, headers(1, whole));
  served.client.socket.pause();
  await full(served);
  return { served, endless };
}

describe('of a client that does not read', () => {
  test('answers wait in their streams, and go on when it reads', async () => {
    const { served, endless } = await stuck(7);
    const { client, socket, streams } = served;
    client.write(...[3, 5, 7].map((id) => headers(id, whole)));
    await expect.poll(() => streams.length, patience).toBe(4);
    for (let i = 0; i < 20; i++) {
      await client.written();
      expect(socket.writableLength).toBeLessThan(mostWaitingBytes);
      expect(served.unsentBytes).toBe(socket.writableLength);
      expect(streams.every(({ isClosed, unsentBytes }) => !isClosed && unsentBytes > 0)).toBe(true);
    }
    endless.isEnding = true;
    client.socket.resume();
    await Promise.all([1, 3, 5, 7].map((streamId) => client.end(streamId)));
    expectBody(client, 1, endless.writtenBytes, 7);
    for (const streamId of [3, 5, 7]) expectBody(client, streamId, 1_000);
  });

  test('requests wait until it reads', async () => {
    const { served, endless } = await stuck(7);
    const { client, socket, streams } = served;
    client.write(ping('8 bytes.'));
    await expect.poll(() => socket.isPaused(), patience).toBe(true);
    const ids = Array.from({ length: 50 }, (_, i) => 2 * i + 3);
    client.write(...ids.map((id) => headers(id, whole)));
    for (let i = 0; i < 20; i++) await client.written();
    expect(streams).toHaveLength(1);
    endless.isEnding = true;
    client.socket.resume();
    await Promise.all(ids.map((id) => client.end(id)));
    for (const id of ids) expectBody(client, id, 1_000);
  });

  test('answers are never mixed up with those of others, or of one that is cut off', async () => {
    const slow = await stuck(1, true);
    const gone = await stuck(2, true);
    const request = (stream: Stream): void => answer(stream, pattern(stream.id, 0, 90_000));
    const { client } = await opened({ request }, windows);
    client.write(wide);
    const ask = async (from: number, to: number): Promise<void> => {
      for (let streamId = from; streamId < to; streamId += 2) {
        client.write(headers(streamId, whole));
        await client.end(streamId);
        expectBody(client, streamId, 90_000);
      }
    };
    await ask(1, 41);
    gone.served.connection.destroy();
    await ask(41, 81);
    slow.endless.isEnding = true;
    slow.served.client.socket.resume();
    await Promise.all([slow.served.client.end(1), ask(81, 121)]);
    expectBody(slow.served.client, 1, slow.endless.writtenBytes, 1);
    // What the one that was cut off had sent is its own, too.
    gone.served.client.socket.resume();
    await gone.served.client.closed();
    expectBody(gone.served.client, 1, gone.served.client.body(1).length, 2);
  });

  test('streams that it resets are forgotten, although the window does not grow', async () => {
    const request = (stream: Stream): void => answer(stream, Buffer.alloc(70_000));
    const served = await opened({ request, maxConcurrentStreams: 1_000 }, windows);
    const { client, connection, streams, listeners } = served;
    const ids = Array.from({ length: 501 }, (_, i) => 2 * i + 1);
    client.write(...ids.map((id) => headers(id, whole)));
    await client.settled();
    const known = streams.splice(1).map((stream) => new WeakRef(stream));
    listeners.splice(1);
    client.write(...ids.slice(1).map((id) => reset(id)));
    await client.settled();
    expect([known.length, connection.streamCount]).toEqual([500, 1]);
    collect();
    expect(known.filter((stream) => stream.deref() !== undefined).length).toBeLessThan(100);
  });
});

describe('a client that reads slowly, while there is always more to send', () => {
  /** Reads a little at a time, up to so much or until it is done. */
  async function read(served: Served, bytes: number, isDone = (): boolean => false): Promise<void> {
    const { socket } = served.client;
    for (let left = bytes; left > 0 && !isDone();) {
      const chunk = once(socket, 'data') as Promise<[Buffer]>;
      socket.resume();
      left -= (await chunk)[0].length;
      socket.pause();
      await full(served);
    }
  }

  test('is heard', async () => {
    const { served } = await stuck(1);
    const { client, socket } = served;
    client.keepsData = false;
    client.write(ping('8 bytes.'));
    await expect.poll(() => socket.isPaused(), patience).toBe(true);
    const heard: true[] = [];
    client.pong().then(
      () => heard.push(true),
      () => undefined,
    );
    // Long before this the answer should come, behind what had been sent.
    await read(served, 50_000_000, () => heard.length > 0);
    expect(heard).toEqual([true]);
  });

  test('leaves no memory behind that was sent', async () => {
    const { served } = await stuck(1);
    served.client.keepsData = false;
    const heldBytes = (): number => {
      collect();
      return process.memoryUsage().arrayBuffers;
    };
    await read(served, 5_000_000);
    const before = heldBytes();
    await read(served, 50_000_000);
    // What is collected is not counted out at once.
    await expect.poll(heldBytes, patience).toBeLessThan(before + 15_000_000);
  });
});

// With some of these sizes, much is left to send when the answer has ended.
test.each([1_000_000, 1_060_000, 1_120_000, 1_180_000, 1_240_000, 1_300_000])(
  'a connection that leaves waits until a slow client has read all of %d bytes',
  async (length) => {
    const clock = new StillClock();
    const request = (stream: Stream): void => answer(stream, pattern(1, 0, length));
    const { client, connection } = await opened({ clock, request, ...narrow() }, windows);
    client.write(wide, headers(1, whole));
    await client.frame({ streamId: 1 });
    connection.leave();
    client.socket.on('data', () => clock.advance(1_000));
    await client.closed();
    expectBody(client, 1, length);
    await client.end(1);
  },
);

describe('a client that reads nothing is cut off if it makes the server say more and more', () => {
  const tooManyBytes = 64 * 1024 * 1024;
  const small = Buffer.of(0x82);

  /** All streams up to this one are closed. */
  const closedId = 10_000_001;

  async function withClosedStreams(): Promise<Served> {
    const served = await opened({ clock: new StillClock(), ...narrow() });
    served.client.write(headers(closedId), reset(closedId));
    await served.client.settled();
    return served;
  }

  test.each<[string, (i: number) => Buffer]>([
    ['pings', () => ping('8 bytes.')],
    ['settings', () => settings()],
    ['DATA on closed streams', (i) => data(1 + 2 * i, '')],
    ['HEADERS on closed streams', (i) => headers(1 + 2 * i, whole, small)],
    ['malformed requests', (i) => headers(closedId + 2 + 2 * i, whole, small)],
  ])('%s', async (_what, make) => {
    const { client, socket, failures } = await withClosedStreams();
    client.socket.pause();
    let most = 0;
    for (let sent = 0, i = 0; failures.length === 0;) {
      const batch = Buffer.concat(Array.from({ length: 500 }, () => make(i++)));
      expect((sent += batch.length)).toBeLessThan(tooManyBytes);
      client.socket.write(batch);
      await client.written();
      most = Math.max(most, socket.writableLength);
    }
    expect(most).toBeLessThan(mostWaitingBytes);
    client.socket.resume();
    expect((await client.goAway()).code).toBe(enhanceYourCalm);
    await client.closed();
  });

  test('but not one that reads', async () => {
    const served = await withClosedStreams();
    for (let i = 0; i < 50; i++) {
      const frames = [ping('8 bytes.'), settings(), data(1, '')];
      served.client.write(...Array.from({ length: 200 }, () => frames).flat());
      await served.client.pong();
    }
    await expectGoesOn(served);
  });

  test('nor one that reads late, and has little to read of what it has asked for', async () => {
    const { served } = await stuck(1);
    const { client, failures } = served;
    client.keepsData = false;
    for (let i = 0; i < 25; i++) {
      client.write(...Array.from({ length: 200 }, () => ping('8 bytes.')));
      const answered = client.pong();
      client.socket.resume();
      await answered;
      client.socket.pause();
      await full(served);
    }
    expect(failures).toEqual([]);
  });
});
