/** The windows of both sides (RFC 9113 sections 5.2 and 6.9). */
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/frames.ts';
import type { Stream } from '../../../src/http2/stream.ts';
import { Flag, FrameType, settings } from '../../support/http2-bytes.ts';
import {
  answer,
  data,
  expectGoesOn,
  head,
  headers,
  opened,
  pattern,
  type RawClient,
  reset,
  type ServeOptions,
  trailers,
  whole,
  windowUpdate,
} from './raw-client.ts';

/** What the server grants a stream, and when it grants more: once half of it was used. */
const streamWindow = 256 * 1024;
const connectionWindow = 1024 * 1024;
/** A window of the connection that nothing here uses up. */
const wide = windowUpdate(0, 0x7fff_0000);

function windows(bytes: number): readonly (readonly [number, number])[] {
  return [[4, bytes]];
}

/** Each answer has a content of its own. */
function answering(length: number): ServeOptions {
  return { request: (stream) => answer(stream, pattern(stream.id, 0, length)) };
}

function expectBody(client: RawClient, streamId: number, length: number, seed = streamId): void {
  const body = client.body(streamId);
  expect(body.length).toBe(length);
  expect(body.equals(pattern(seed, 0, length))).toBe(true);
}

describe('an answer', () => {
  test('stops where the window of its stream ends', async () => {
    const served = await opened(answering(200_000));
    const { client, streams } = served;
    client.write(wide, headers(1, whole));
    await client.settled();
    expectBody(client, 1, 65_535);
    expect(streams[0]?.unsentBytes).toBe(200_000 - 65_535);
    client.write(windowUpdate(1, 1_000));
    await client.settled();
    expectBody(client, 1, 66_535);
    // Nobody else waits for it.
    await expectGoesOn(served);
    client.write(headers(5, whole));
    await client.settled();
    expectBody(client, 5, 65_535);
    client.write(windowUpdate(1, 200_000));
    await client.end(1);
    expectBody(client, 1, 200_000);
  });

  test('stops where the window of the connection ends', async () => {
    const served = await opened(answering(50_000), windows(1_000_000));
    const { client } = served;
    const total = (): number => client.body(1).length + client.body(3).length;
    client.write(headers(1, whole), headers(3, whole));
    await client.settled();
    expect(total()).toBe(65_535);
    // What has no body goes on.
    await expectGoesOn(served);
    client.write(windowUpdate(0, 1));
    await client.settled();
    expect(total()).toBe(65_536);
    client.write(windowUpdate(0, 100_000));
    await Promise.all([client.end(1), client.end(3)]);
    expectBody(client, 1, 50_000);
    expectBody(client, 3, 50_000);
  });

  test('waits for a window that is nothing at first, and its head does not', async () => {
    const { client } = await opened(answering(100), windows(0));
    client.write(headers(1, whole), headers(3, whole));
    await client.settled();
    expect(client.all({ type: FrameType.headers }).map(({ streamId }) => streamId)).toEqual([1, 3]);
    expect(client.all({ type: FrameType.data })).toEqual([]);
    client.write(settings(windows(10)));
    await client.settled();
    expectBody(client, 1, 10);
    expectBody(client, 3, 10);
    client.write(windowUpdate(3, 90));
    await client.end(3);
    expectBody(client, 3, 100);
    expectBody(client, 1, 10);
  });

  test('has no use for a window if it has no body', async () => {
    const { client } = await opened(answering(0), windows(0));
    client.write(headers(1, whole));
    const { fields, type } = await client.end(1);
    expect([type, fields?.get('grpc-status')]).toEqual([FrameType.headers, '0']);
  });

  test('follows an initial window that changes, below zero and back', async () => {
    const { client } = await opened(answering(10_000), windows(1_000));
    const expectSent = async (one: number, three: number): Promise<void> => {
      await client.settled();
      expectBody(client, 1, one);
      expectBody(client, 3, three);
    };
    client.write(headers(1, whole), headers(3, whole));
    await expectSent(1_000, 1_000);
    client.write(settings(windows(1_100)));
    await expectSent(1_100, 1_100);
    client.write(settings(windows(100)));
    await expectSent(1_100, 1_100);
    client.write(windowUpdate(1, 1_000));
    await expectSent(1_100, 1_100);
    client.write(windowUpdate(1, 1));
    await expectSent(1_101, 1_100);
    client.write(settings(windows(1_101)));
    await expectSent(2_102, 1_101);
    client.write(settings(windows(0)), settings(windows(20_000)));
    await Promise.all([client.end(1), client.end(3)]);
    await expectSent(10_000, 10_000);
  });

  test('comes byte by byte if the windows grow so', async () => {
    const { client } = await opened(answering(40), windows(0));
    client.write(headers(1, whole));
    for (let i = 1; i <= 40; i++) {
      client.write(windowUpdate(1, 1));
      await client.until('byte', () => (client.body(1).length === i ? true : undefined));
    }
    await client.end(1);
    expectBody(client, 1, 40);
    expect(client.all({ type: FrameType.data })).toHaveLength(40);
  });

  test('is not sent when its stream is reset, and uses no window', async () => {
    const { client } = await opened(answering(60_000), windows(1_000_000));
    client.write(headers(1, whole), headers(3, whole), headers(5, whole));
    await client.settled();
    client.write(reset(1), reset(3));
    await client.settled();
    const before = client.body(1).length + client.body(3).length;
    client.write(windowUpdate(0, 60_000));
    await client.end(5);
    expectBody(client, 5, 60_000);
    expect(client.body(1).length + client.body(3).length).toBe(before);
  });

  test('takes turns with others', async () => {
    const waiting: Stream[] = [];
    const request = (stream: Stream): void => {
      if (waiting.push(stream) < 3) return;
      for (const each of waiting) answer(each, pattern(each.id, 0, 20 * 16_384));
    };
    const { client } = await opened({ request }, windows(1_000_000));
    client.write(headers(1, whole), headers(3, whole), headers(5, whole));
    await client.settled();
    // First with what the window has, then with what it gets.
    for (let i = 0; i < 59; i++) {
      client.write(windowUpdate(0, 16_384));
      await client.pong();
    }
    await Promise.all([1, 3, 5].map((streamId) => client.end(streamId)));
    const counts = new Map([1, 3, 5].map((streamId) => [streamId, 0]));
    for (const { streamId, body } of client.all({ type: FrameType.data })) {
      counts.set(streamId, (counts.get(streamId) ?? 0) + body.length);
      const sizes = [...counts.values()];
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(2 * 16_384);
    }
    for (const streamId of counts.keys()) expectBody(client, streamId, 20 * 16_384);
  });

  test('has its place among thousands', async () => {
    const serving = { ...answering(100), maxConcurrentStreams: 5_000 };
    const { client } = await opened(serving, windows(0));
    const ids = Array.from({ length: 3_000 }, (_, i) => 2 * i + 1);
    client.write(wide, ...ids.map((id) => headers(id, whole)));
    await client.settled();
    client.write(settings(windows(100)));
    const ended = { type: FrameType.headers, flags: Flag.endStream };
    await client.until('ends', () => (client.all(ended).length === ids.length ? true : undefined));
    const bodies = client.all({ type: FrameType.data });
    expect(bodies).toHaveLength(ids.length);
    for (const { streamId, body } of bodies) expect(body).toEqual(pattern(streamId, 0, 100));
  });

  test.each([16_384, 20_000, 32_768, 100_000, 0xff_ffff])(
    'in many pieces goes into frames of up to %d bytes, as the client likes',
    async (maxFrameBytes) => {
      const sent: number[] = [];
      const request = (stream: Stream): void => {
        stream.sendHead(head);
        for (let i = 0; i < 1_500; i++) {
          stream.write(pattern(1, 100 * i, 100), () => sent.push(i));
        }
        stream.end(trailers);
      };
      const { client } = await opened({ request }, [...windows(1_000_000), [5, maxFrameBytes]]);
      client.maxFrameBytes = maxFrameBytes;
      client.write(wide, headers(1, whole));
      await client.end(1);
      expectBody(client, 1, 150_000);
      expect(client.all({ type: FrameType.data }).length).toBeLessThanOrEqual(10);
      expect(sent).toEqual(Array.from({ length: 1_500 }, (_, i) => i));
    },
  );
});

describe('what is sent of an answer is told', () => {
  test('when all of a piece has left, once and in order', async () => {
    const sent: number[] = [];
    const pieces = Array.from({ length: 5_000 }, (_, i) => i);
    const request = (stream: Stream): void => {
      stream.sendHead(head);
      for (const i of pieces) {
        stream.write(pattern(1, 10 * i, 10), i % 7 === 0 ? () => sent.push(i) : undefined);
      }
      stream.end(trailers);
    };
    const { client } = await opened({ request }, windows(0));
    client.write(headers(1, whole));
    for (let bytes = 4_321; bytes < 50_000; bytes += 4_321) {
      client.write(windowUpdate(1, 4_321));
      await client.settled();
      expect(sent).toEqual(pieces.filter((i) => i % 7 === 0 && 10 * (i + 1) <= bytes));
    }
    client.write(windowUpdate(1, 4_321));
    await client.end(1);
    expectBody(client, 1, 50_000);
    expect(sent).toEqual(pieces.filter((i) => i % 7 === 0));
  });

  test('in order, although a piece is empty', async () => {
    const sent: string[] = [];
    const request = (stream: Stream): void => {
      stream.sendHead(head);
      for (const piece of ['first', '', 'last']) {
        stream.write(Buffer.from(piece), () => sent.push(piece));
      }
      stream.end(trailers);
    };
    const { client } = await opened({ request }, windows(0));
    client.write(headers(1, whole));
    await client.settled();
    client.write(windowUpdate(1, 5));
    await client.settled();
    client.write(windowUpdate(1, 4));
    await client.end(1);
    expect(sent).toEqual(['first', '', 'last']);
  });

  test.each([
    ['the client', (client: RawClient) => client.write(reset(1))],
    ['the server', (_client: RawClient, stream: Stream) => stream.reset()],
  ])('no more after %s has reset the stream', async (_who, end) => {
    const sent: number[] = [];
    const request = (stream: Stream): void => {
      stream.sendHead(head);
      for (let i = 0; i < 5; i++) stream.write(Buffer.alloc(100), () => sent.push(i));
    };
    const { client, streams } = await opened({ request }, windows(250));
    client.write(headers(1, whole));
    await client.settled();
    expect(sent).toEqual([0, 1]);
    end(client, streams[0] as Stream);
    client.write(settings(windows(1_000)));
    await client.settled();
    expect(sent).toEqual([0, 1]);
  });

  test('no more after whoever is told has reset it', async () => {
    const sent: number[] = [];
    const request = (stream: Stream): void => {
      stream.sendHead(head);
      for (let i = 0; i < 3; i++) {
        stream.write(Buffer.alloc(100), () => {
          sent.push(i);
          stream.reset();
        });
      }
    };
    const { client } = await opened({ request });
    client.write(headers(1, whole));
    await client.resetCode(1);
    expect(sent).toEqual([0]);
  });
});

test('an initial window that makes another too large ends the connection', async () => {
  const served = await opened({}, windows(0));
  served.client.write(headers(1), windowUpdate(1, 0x7fff_ffff));
  await expectGoesOn(served);
  served.client.write(settings(windows(1)));
  expect((await served.client.goAway()).code).toBe(ErrorCode.flowControlError);
});

describe('what a client sends', () => {
  const piece = 16_384;
  const pieces = (streamId: number, bytes: number): Buffer[] =>
    Array.from({ length: bytes / piece }, (_, i) => data(streamId, pattern(1, i * piece, piece)));
  const pausing = { request: (stream: Stream): void => stream.pause() };

  test('goes on and on, as both windows grow with what has come', async () => {
    const { client, listeners } = await opened();
    const total = 5 * 1024 * 1024;
    client.write(headers(1));
    for (let sent = 0; sent < total;) {
      const room = await client.until('window', () => {
        const ofStream = streamWindow + client.granted(1) - sent;
        const left = Math.min(ofStream, 65_535 + client.granted(0) - sent);
        return left > 0 ? left : undefined;
      });
      const count = Math.min(room, piece, total - sent);
      client.write(data(1, pattern(1, sent, count)));
      sent += count;
    }
    await client.settled();
    expect(listeners[0]?.body.equals(pattern(1, 0, total))).toBe(true);
    // No more was granted than has come.
    expect(client.granted(1)).toBeLessThanOrEqual(total);
    expect(client.granted(0)).toBeLessThanOrEqual(connectionWindow - 65_535 + total);
  });

  test('is not wanted while its stream is paused, and again when it goes on', async () => {
    const { client, listeners, streams } = await opened(pausing);
    client.write(headers(1), ...pieces(1, streamWindow));
    await client.settled();
    expect(listeners[0]?.body.length).toBe(streamWindow);
    expect(client.granted(1)).toBe(0);
    streams[0]?.resume();
    await client.settled();
    expect(client.granted(1)).toBe(streamWindow);
    client.write(...pieces(1, streamWindow));
    await client.settled();
    expect(listeners[0]?.body.length).toBe(2 * streamWindow);
    expect(client.granted(1)).toBe(2 * streamWindow);
  });

  test.each([
    ['a byte', [...pieces(1, streamWindow), data(1, 'x')], streamWindow],
    ['a part of a frame', [data(1, 'x'), ...pieces(1, streamWindow)], streamWindow - piece + 1],
  ])('beyond its window resets the stream: %s', async (_what, frames, taken) => {
    const served = await opened(pausing);
    served.client.write(headers(1), ...frames, data(1, 'late'));
    await expectGoesOn(served);
    expect(await served.client.resetCode(1)).toBe(ErrorCode.flowControlError);
    expect(served.listeners[0]?.body.length).toBe(taken);
  });

  test('is granted again with its padding', async () => {
    const { client } = await opened();
    const padded = data(1, Buffer.concat([Buffer.of(255, 1), Buffer.alloc(255)]), Flag.padded);
    const count = Math.ceil(streamWindow / 2 / 257);
    client.write(headers(1), ...Array.from({ length: count }, () => padded));
    await client.settled();
    expect(client.granted(1)).toBe(257 * count);
  });

  test('is granted again if nobody listens to its stream', async () => {
    const request = (stream: Stream): void => void (stream.listener = undefined);
    const { client, listeners } = await opened({ request });
    client.write(headers(1), ...pieces(1, streamWindow / 2));
    await client.settled();
    expect(client.granted(1)).toBe(streamWindow / 2);
    listeners.pop();
  });

  test('is not granted again on a stream that it has ended', async () => {
    const { client, streams } = await opened(pausing);
    client.write(headers(1), ...pieces(1, streamWindow / 2), data(1, '', Flag.endStream));
    await client.settled();
    streams[0]?.resume();
    await client.settled();
    expect(client.granted(1)).toBe(0);
  });

  test('counts for the connection, whatever becomes of its stream', async () => {
    const request = (stream: Stream): void => {
      if (stream.id === 3) stream.reset();
      else stream.pause();
    };
    const { client } = await opened({ request });
    client.write(headers(1), headers(3), ...pieces(1, streamWindow), ...pieces(3, streamWindow));
    await client.settled();
    expect(client.granted(0)).toBe(connectionWindow - 65_535 + 2 * streamWindow);
  });
});
