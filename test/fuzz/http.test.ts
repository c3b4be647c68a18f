/** First bytes of connections, header blocks that are mended, and requests over HTTP/1.1. */
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { HealthEndpoints } from '../../src/api/http/health.ts';
import { mendAuthority } from '../../src/api/http/header-block.ts';
import { mendHeadersFrame } from '../../src/api/http/http2-frames.ts';
import { Http2Opening, preface } from '../../src/api/http/http2-opening.ts';
import { FrameMender } from '../../src/api/http/mended-connection.ts';
import { HttpRouter } from '../../src/api/http/router.ts';
import { fuzz, type Verdict } from './fuzz.ts';
import { edits, mutate, mutateText } from './mutation.ts';

function frame(type: number, flags: number, stream: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(body.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, body]);
}

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
      fc.constant(frame(4, 0, 0, Buffer.alloc(0))),
      fc.constant(frame(4, 1, 0, Buffer.alloc(0))),
      fc.constant(frame(4, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))),
      fc.constant(frame(8, 0, 0, Buffer.from([0, 0, 255, 255]))),
      fc.uint8Array({ maxLength: 50 }).map((body) => frame(0, 1, 1, body)),
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

describe('header blocks', () => {
  const attempt = (bytes: Buffer): Verdict => {
    const mended = mendAuthority(bytes);
    if (mended === undefined) return 'refused';
    expect(mendAuthority(mended), 'what was mended is mended once').toBeUndefined();
    // Huffman codes are at least five bits long, and the length itself takes a few bytes.
    expect(mended.length).toBeLessThanOrEqual(bytes.length * 1.6 + 8);
    return 'accepted';
  };
  fuzz('blocks', damagedBlock, attempt, { weight: 2 });

  const attemptFrame = (bytes: Buffer): Verdict => {
    const mended = mendHeadersFrame(bytes);
    if (mended === undefined) return 'refused';
    expect(mended.readUIntBE(0, 3)).toBe(mended.length - 9);
    return 'accepted';
  };
  const whole = fc
    .tuple(damagedBlock, fc.nat(255), fc.uint8Array({ maxLength: 6 }))
    .map(([bytes, flags, before]) => frame(1, flags, 1, Buffer.concat([before, bytes])));
  fuzz('frames of headers', whole, attemptFrame, { weight: 2 });
});

describe('openings', () => {
  const open = (pieces: readonly Buffer[]): { state: string; bytes: Buffer; mended: boolean } => {
    const opening = new Http2Opening({ maxConcurrentStreams: 100, send: () => undefined });
    let state = 'opening';
    for (const [at, piece] of pieces.entries()) {
      state = opening.take(piece);
      expect(opening.unseenBytes).toBeGreaterThanOrEqual(0);
      if (state === 'opening') continue;
      // What comes later is the library's, or nobody's.
      const bytes = Buffer.concat([opening.bytes, ...pieces.slice(at + 1)]);
      return { state, bytes, mended: opening.isMended };
    }
    return { state, bytes: opening.bytes, mended: opening.isMended };
  };
  const attempt = ([bytes, at]: [Buffer, readonly number[]]): Verdict => {
    const { state, bytes: passed, mended } = open([preface, bytes]);
    expect(open([preface, ...split(bytes, at)]).state).toBe(state);
    // All that may be missing are our settings' acknowledgement and what was mended.
    const whole = Buffer.concat([preface, bytes]);
    if (!mended) expect([0, 9]).toContain(whole.length - passed.length);
    return state === 'ready' ? 'accepted' : 'refused';
  };
  fuzz('frames before the first request', fc.tuple(damagedFrames, places), attempt);
});

describe('connections', () => {
  const attempt = ([bytes, at]: [Buffer, readonly number[]]): Verdict => {
    const pass = (pieces: readonly Buffer[]): Buffer => {
      const mender = new FrameMender();
      return Buffer.concat(pieces.flatMap((piece) => mender.take(piece)));
    };
    const passed = pass([bytes]);
    expect(pass(split(bytes, at)).equals(passed)).toBe(true);
    return bytes.subarray(0, passed.length).equals(passed) ? 'unchanged' : 'accepted';
  };
  const options = { expects: ['accepted', 'unchanged'] as const };
  fuzz('frames after it', fc.tuple(damagedFrames, places), attempt, options);
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
