/** HTTP/2 from its first byte on, and requests over HTTP/1.1. */
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { HealthEndpoints } from '../../src/api/http/health.ts';
import { HttpRouter } from '../../src/api/http/router.ts';
import { FrameReader, type FrameSink } from '../../src/http2/frame-reader.ts';
import { ConnectionError, preface } from '../../src/http2/frames.ts';
import { HeaderDecoder } from '../../src/http2/header-decoder.ts';
import { Stream } from '../../src/http2/stream.ts';
import { frame } from '../support/http2-bytes.ts';
import { fuzz, type Verdict } from './fuzz.ts';
import { edits, mutate, mutateText } from './mutation.ts';

/** A field whose name is in the static table, its value as it is. */
const field = fc
  .tuple(
    fc.constantFrom(1, 1, 1, 2, 4, 6, 31, 58),
    fc.constantFrom(0x40, 0x00, 0x10),
    fc.oneof(
      fc.constantFrom('http://127.0.0.1:2379', '#initially=[a;b]', 'localhost:2379', '/x', 'http'),
      fc.string({ maxLength: 20 }),
    ),
  )
  .map(([name, kind, value]) => {
    const text = Buffer.from(value, 'latin1');
    const index = kind === 0x40 || name < 15 ? [kind | name] : [kind | 15, name - 15];
    return Buffer.concat([Buffer.of(...index, text.length), text]);
  });
const indexed = fc.integer({ min: 1, max: 61 }).map((index) => Buffer.of(0x80 | index));
const block = fc
  .array(fc.oneof({ weight: 3, arbitrary: field }, { weight: 1, arbitrary: indexed }), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => Buffer.concat(parts));
const damagedBlock = fc
  .tuple(block, fc.oneof(fc.constant([]), edits))
  .map(([bytes, changes]) => mutate(bytes, changes));

const frames = fc
  .array(
    fc.oneof(
      damagedBlock.map((bytes) => frame(1, 0x4, 1, bytes)),
      damagedBlock.map((bytes) => frame(1, 0xc, 1, Buffer.concat([Buffer.of(2), bytes]))),
      damagedBlock.map((bytes) => frame(1, 0x25, 3, Buffer.concat([Buffer.alloc(5), bytes]))),
      damagedBlock.map((bytes) =>
        Buffer.concat([frame(1, 0, 1, bytes.subarray(0, 3)), frame(9, 4, 1, bytes.subarray(3))]),
      ),
      fc.constant(frame(4, 0, 0, Buffer.alloc(0))),
      fc.constant(frame(4, 1, 0, Buffer.alloc(0))),
      fc.constant(frame(4, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))),
      fc.constant(frame(8, 0, 0, Buffer.from([0, 0, 255, 255]))),
      fc.constant(frame(6, 0, 0, Buffer.alloc(8, 1))),
      fc.constant(frame(3, 0, 1, Buffer.from([0, 0, 0, 8]))),
      fc.constant(frame(7, 0, 0, Buffer.alloc(8))),
      fc.uint8Array({ maxLength: 50 }).map((body) => frame(0, 1, 1, body)),
      fc.uint8Array({ maxLength: 9 }).map((body) => frame(0, 9, 3, body)),
    ),
    { maxLength: 6 },
  )
  .map((list) => Buffer.concat(list));
const damagedFrames = fc
  .tuple(frames, fc.oneof(fc.constant([]), edits))
  .map(([bytes, changes]) => mutate(bytes, changes));

/** The same bytes in pieces: a network splits where it likes. */
function split(bytes: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted(
    (a, b) => a - b,
  );
  const ends = [...cuts, bytes.length];
  return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end));
}
const places = fc.array(fc.nat(500), { maxLength: 5 });

/** What `read` makes of bytes; undefined if they are refused as they should be. */
function unlessRefused<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof ConnectionError) return undefined;
    throw error;
  }
}

describe('header blocks', () => {
  const maxListBytes = 2000;
  const attempt = (blocks: readonly Buffer[]): Verdict => {
    const decoder = new HeaderDecoder(maxListBytes);
    const other = new HeaderDecoder(maxListBytes);
    for (const bytes of blocks) {
      const list = unlessRefused(() => [decoder.decode(bytes, 0, bytes.length)]);
      // The same within other bytes, and after it was read before.
      const within = Buffer.concat([Buffer.of(0x41, 0xff), bytes, Buffer.of(0x7f)]);
      const again = unlessRefused(() => [other.decode(within, 2, 2 + bytes.length)]);
      expect(again).toEqual(list);
      if (list === undefined) return 'refused';
      if (list[0] === undefined) return 'unchanged';
    }
    return 'accepted';
  };
  fuzz('blocks', fc.array(damagedBlock, { minLength: 1, maxLength: 4 }), attempt, { weight: 4 });
});

/** Everything that frames say, and how it ends. Parts of data are taken together. */
function eventsOf(pieces: readonly Buffer[]): unknown[] {
  const events: unknown[] = [];
  let heldBytes = 0;
  const host = {} as ConstructorParameters<typeof Stream>[1];
  const data = new Map<Stream, number[]>();
  const sink: FrameSink = {
    dataBegins: (streamId, bytes) => {
      events.push(['data', streamId, bytes]);
      if (streamId === 3) return undefined;
      const stream = new Stream(streamId, host, 0);
      const body: number[] = [];
      data.set(stream, body);
      events.push(body);
      return stream;
    },
    data: (stream, bytes, start, end) => data.get(stream)?.push(...bytes.subarray(start, end)),
    padding: (stream, bytes) => events.push(['padding', stream.id, bytes]),
    dataEnds: (stream) => events.push(['end', stream.id]),
    headers: (streamId, block, start, end, isLast) =>
      events.push(['headers', streamId, Buffer.from(block.subarray(start, end)), isLast]),
    reset: (streamId) => events.push(['reset', streamId]),
    settings: (values) => events.push(['settings', values]),
    settingsAcknowledged: () => events.push(['acknowledged']),
    pinged: (payload, flags) => events.push(['ping', Buffer.from(payload), flags]),
    goAway: (...what) => events.push(['goaway', ...what]),
    windowUpdate: (streamId, bytes) => events.push(['window', streamId, bytes]),
  };
  const memory = {
    take: (bytes: number) => {
      heldBytes += bytes;
      return true;
    },
    release: (bytes: number) => (heldBytes -= bytes),
  };
  const reader = new FrameReader(sink, memory, preface);
  const end = unlessRefused(() => {
    for (const piece of pieces) reader.take(Buffer.from(piece));
    return 'read';
  });
  events.push(end ?? 'refused');
  reader.close();
  expect(heldBytes).toBe(0);
  return events;
}

describe('connections', () => {
  const attempt = ([bytes, at]: [Buffer, readonly number[]]): Verdict => {
    const whole = Buffer.concat([preface, bytes]);
    const events = eventsOf([whole]);
    expect(eventsOf(split(whole, at))).toEqual(events);
    expect(eventsOf(Array.from(whole, (byte) => Buffer.of(byte)))).toEqual(events);
    return events.at(-1) === 'read' ? 'accepted' : 'refused';
  };
  fuzz('frames', fc.tuple(damagedFrames, places), attempt, { weight: 3 });
});

describe('requests over HTTP/1.1', () => {
  const quiet = (): undefined => undefined;
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const failures: unknown[] = [];
  const router = new HttpRouter({
    health: { answer: () => Promise.resolve(undefined) } as unknown as HealthEndpoints,
    logger: {
      ...logger,
      error: (fields) => failures.push(fields['error']),
      child: () => {
        throw new Error('nobody asks');
      },
    },
    versions: () => ({ server: '3.6.0', cluster: undefined, storage: undefined }),
    scrape: () => Promise.resolve({ contentType: 'text/plain', text: '' }),
    corsOrigins: ['http://a'],
    hostWhitelist: ['localhost', '::1'],
  });
  const request = fc.record({
    method: fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS', ''),
    url: fc
      .tuple(fc.constantFrom('/version', '/metrics', '/health?serializable=true', '*'), edits)
      .map(([text, changes]) => mutateText(text, changes)),
    host: fc
      .tuple(fc.constantFrom('localhost:2379', '[::1]:2379', 'localhost'), edits)
      .map(([text, changes]) => mutateText(text, changes)),
    origin: fc.constantFrom(undefined, 'http://a', 'http://b'),
  });
  const attempt = async ({
    method,
    url,
    host,
    origin,
  }: {
    method: string;
    url: string;
    host: string;
    origin: string | undefined;
  }): Promise<Verdict> => {
    const status = await new Promise<number>((resolve) => {
      let answered = 0;
      const response = {
        destroyed: false,
        writeHead: (code: number) => (answered = code),
        end: () => resolve(answered),
      };
      const headers = { host, origin };
      const place = { time: { restart: quiet, lift: quiet }, isMetricsOnly: false };
      router.handle({ method, url, headers, resume: quiet } as never, response as never, place);
    });
    expect(failures).toEqual([]);
    expect([200, 404, 405, 421]).toContain(status);
    return status === 200 ? 'accepted' : 'refused';
  };
  fuzz('requests', request, attempt);
});
