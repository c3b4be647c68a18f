import { type ClientHttp2Session, connect } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { preface } from '../../../src/http2/frames.ts';
import { HeaderDecoder } from '../../../src/http2/header-decoder.ts';
import { SentField, HeaderEncoder } from '../../../src/http2/header-encoder.ts';
import { Flag, frame, FrameType, settings } from '../../support/http2-bytes.ts';

const { once, repeated } = SentField;
const ok = repeated(':status', '200');
const grpc = repeated('content-type', 'application/grpc');
const served = repeated('x-served-by', 'quorate');
const headerTableBytes = 1;

function bytesOf(hex: string): number[] {
  return [...Buffer.from(hex.replaceAll(' ', ''), 'hex')];
}

function ascii(text: string): number[] {
  return [...Buffer.from(text, 'latin1')];
}

/** A client of ours, which keeps the rules for the sizes of its table (RFC 7541 section 4.2). */
class Client {
  readonly #decoder = new HeaderDecoder(1024 * 1024);
  /** What it allows, what was used of that last, and the least that it allowed since. */
  #allowed = 4096;
  #used = 4096;
  #least = 4096;

  limitTable(bytes: number): void {
    this.#allowed = bytes;
    this.#least = Math.min(this.#least, bytes);
  }

  /** Expects a block to have just these fields. */
  expectFields(block: readonly number[], fields: readonly SentField[], others: string[]): void {
    const sizes = sizesOf(block);
    // What was not allowed for a while is gone: that is said, and then what is used from now on.
    expect(Math.min(this.#used, ...sizes)).toBeLessThanOrEqual(this.#least);
    expect(sizes.length).toBeLessThanOrEqual(2);
    this.#used = sizes.at(-1) ?? this.#used;
    expect(this.#used).toBeLessThanOrEqual(this.#allowed);
    this.#least = this.#allowed;
    const list = this.#decoder.decode(Uint8Array.from(block), 0, block.length);
    const wrong = fields.filter(({ name, value }) => list?.get(name) !== value);
    expect(wrong.map(({ name }) => [name, list?.get(name)])).toEqual([]);
    expect(others.filter((name) => list?.get(name) !== undefined)).toEqual([]);
  }
}

/** The sizes of the table that a block begins with. */
function sizesOf(block: readonly number[]): number[] {
  const sizes: number[] = [];
  for (let at = 0; (block[at]! & 0xe0) === 0x20; at++) {
    let size = block[at]! & 0x1f;
    if (size === 0x1f) {
      let unit = 1;
      do {
        size += (block[++at]! & 0x7f) * unit;
        unit *= 128;
      } while (block[at]! >= 0x80);
    }
    sizes.push(size);
  }
  return sizes;
}

describe('fields of answers', () => {
  test('have the numbers of the table that all know', () => {
    expect([ok.staticIndex, ok.staticNameIndex]).toEqual([8, 8]);
    expect([grpc.staticIndex, grpc.staticNameIndex]).toEqual([0, 31]);
    expect([served.staticIndex, served.staticNameIndex]).toEqual([0, 0]);
    const other = once(':status', '418');
    expect([other.staticIndex, other.staticNameIndex]).toEqual([0, 8]);
  });

  test.each([
    ['200', 0x88],
    ['204', 0x89],
    ['206', 0x8a],
    ['304', 0x8b],
    ['400', 0x8c],
    ['404', 0x8d],
    ['500', 0x8e],
  ])('are a byte if all of it is in there: status %s', (status, byte) => {
    const encoder = new HeaderEncoder();
    expect(encoder.encode([once(':status', status)])).toEqual([byte]);
    expect(encoder.encode([repeated(':status', status)])).toEqual([byte]);
  });
});

describe('what is written', () => {
  test('of fields that repeat is all the first time, and a byte each from then on', () => {
    const encoder = new HeaderEncoder();
    expect(encoder.encode([ok, grpc, served])).toEqual([
      0x88,
      ...[0x5f, 16, ...ascii('application/grpc')],
      ...[0x40, 11, ...ascii('x-served-by'), 7, ...ascii('quorate')],
    ]);
    for (let i = 0; i < 3; i++) {
      expect(encoder.encode([ok, grpc, served])).toEqual([0x88, 0xbf, 0xbe]);
    }
    expect(encoder.encode([served])).toEqual([0xbe]);
  });

  test('of a field that is repeated within a block is a byte the second time', () => {
    expect(new HeaderEncoder().encode([grpc, grpc])).toEqual([
      ...[0x5f, 16, ...ascii('application/grpc')],
      0xbe,
    ]);
  });

  test('of a field of one answer is all of it, and nothing in the table', () => {
    const encoder = new HeaderEncoder();
    encoder.encode([grpc]);
    const message = once('grpc-message', 'no');
    const status = once(':status', '418');
    const written = [0, 12, ...ascii('grpc-message'), 2, ...ascii('no')];
    for (let i = 0; i < 3; i++) {
      expect(encoder.encode([message])).toEqual(written);
      expect(encoder.encode([status])).toEqual([8, 3, ...ascii('418')]);
      expect(encoder.encode([once('date', 'now')])).toEqual([0x0f, 33 - 15, 3, ...ascii('now')]);
    }
    expect(encoder.encode([grpc])).toEqual([0xbe]);
  });

  test('of a long text begins with its length in several bytes', () => {
    const length = (bytes: number): number[] =>
      new HeaderEncoder().encode([once('a', 'v'.repeat(bytes))]).slice(3, -bytes);
    expect(length(126)).toEqual([0x7e]);
    expect(length(127)).toEqual([0x7f, 0]);
    expect(length(128)).toEqual([0x7f, 1]);
    expect(length(254)).toEqual([0x7f, 0x7f]);
    expect(length(255)).toEqual([0x7f, 0x80, 1]);
    expect(length(20_000)).toEqual([0x7f, 0xa1, 0x9b, 1]);
  });

  test('of a value is a byte for each of its characters', () => {
    expect(new HeaderEncoder().encode([once('a', '\0é\xff')])).toEqual(bytesOf('000161 0300e9ff'));
  });

  test('of no fields is nothing', () => {
    expect(new HeaderEncoder().encode([])).toEqual([]);
  });
});

describe('a table that is full', () => {
  test('keeps what it has; the rest is written each time', () => {
    const encoder = new HeaderEncoder();
    const most = repeated('most', 'v'.repeat(4096 - grpc.weight - served.weight - 32 - 4));
    encoder.encode([grpc, most, served]);
    const last = repeated('last', '');
    for (let i = 0; i < 3; i++) {
      expect(encoder.encode([last])).toEqual([0, 4, ...ascii('last'), 0]);
      expect(encoder.encode([grpc, most, served])).toEqual([0xc0, 0xbf, 0xbe]);
    }
  });

  test('may have more fields than a byte can number', () => {
    const encoder = new HeaderEncoder();
    const client = new Client();
    const fields = Array.from({ length: 110 }, (_, i) => repeated(`${100 + i}`, `${i}`));
    client.expectFields(encoder.encode(fields), fields, []);
    const block = encoder.encode(fields);
    client.expectFields(block, fields, []);
    // Indexes from 127 on have another byte; those are of the oldest.
    expect(block).toHaveLength(110 + (110 - 65));
    for (const field of fields) client.expectFields(encoder.encode([field]), [field], []);
  });

  test('may be full of one field, and is not for a larger one', () => {
    const whole = repeated('whole', 'v'.repeat(4096 - 32 - 5));
    const larger = repeated('large', 'v'.repeat(4096 - 32 - 4));
    const encoder = new HeaderEncoder();
    const client = new Client();
    for (let i = 0; i < 2; i++) {
      const block = encoder.encode([larger]);
      expect(block.slice(0, 2)).toEqual([0, 5]);
      client.expectFields(block, [larger], []);
    }
    client.expectFields(encoder.encode([whole]), [whole], []);
    expect(encoder.encode([whole])).toEqual([0xbe]);
  });
});

describe('a client that limits its table', () => {
  const all = [ok, grpc, served];
  const inFull = bytesOf('88 0f10 10').concat(ascii('application/grpc'), [0, 11]);
  const notKept = inFull.concat(ascii('x-served-by'), [7], ascii('quorate'));
  const known = bytesOf('88 bf be');

  /** That knows all of them. */
  function encoderOf(): HeaderEncoder {
    const encoder = new HeaderEncoder();
    encoder.encode(all);
    return encoder;
  }

  test.each([
    ['to nothing', [0], '20'],
    ['to 100, which is less than there is', [100], '3f45'],
    ['to nothing and back', [0, 4096], '20 3fe11f'],
    ['to nothing and to 100', [0, 100], '20 3f45'],
    ['to 100 and to nothing', [100, 0], '20'],
    ['to 100, nothing and 50', [100, 0, 50], '20 3f13'],
    ['to nothing and to more than before', [0, 1_000_000], '20 3fe11f'],
  ])('%s is told so once, and no field is a byte from then on', (_way, limits, hex) => {
    const encoder = encoderOf();
    for (const bytes of limits) encoder.limitTable(bytes);
    expect(encoder.encode(all)).toEqual([...bytesOf(hex), ...notKept]);
    for (let i = 0; i < 3; i++) expect(encoder.encode(all)).toEqual(notKept);
    encoder.limitTable(4096);
    expect(encoder.encode(all).slice(-notKept.length)).toEqual(notKept);
  });

  const kept = grpc.weight + served.weight;
  test.each([
    ['to what there is', [kept], '3f4f'],
    ['to more than there is', [1000], '3fc907'],
    ['to what there is and back', [kept, 4096], '3f4f 3fe11f'],
    ['to less and less', [3000, 2000, 1000], '3fc907'],
    ['up and down', [1000, 3000, 2000], '3fc907 3fb10f'],
  ])('%s is told so once, and keeps its fields', (_way, limits, hex) => {
    expect(kept).toBe(110);
    const encoder = encoderOf();
    for (const bytes of limits) encoder.limitTable(bytes);
    expect(encoder.encode(all)).toEqual([...bytesOf(hex), ...known]);
    expect(encoder.encode(all)).toEqual(known);
  });

  test('to more than 4096, or to that, has not changed anything', () => {
    const encoder = encoderOf();
    for (const bytes of [8192, 4096, 2 ** 32 - 1, 4097]) {
      encoder.limitTable(bytes);
      expect(encoder.encode(all)).toEqual(known);
    }
  });

  test('is told before its first field, and has fields in its table if there is room', () => {
    const encoder = new HeaderEncoder();
    encoder.limitTable(100);
    const first = encoder.encode(all);
    expect(first.slice(0, 3)).toEqual(bytesOf('3f45 88'));
    expect(encoder.encode([grpc])).toEqual([0xbe]);
    // There is none for the other one.
    expect(encoder.encode([served])[0]).toBe(0);
    encoder.limitTable(kept);
    expect(encoder.encode([served]).slice(0, 3)).toEqual(bytesOf('3f4f 40'));
    expect(encoder.encode(all)).toEqual(known);
  });

  test('before there was anything in it can have more later', () => {
    const encoder = new HeaderEncoder();
    encoder.limitTable(0);
    expect(encoder.encode(all)).toEqual([0x20, ...notKept]);
    encoder.limitTable(4096);
    expect(encoder.encode(all).slice(0, 5)).toEqual(bytesOf('3fe11f 88 5f'));
    expect(encoder.encode(all)).toEqual(known);
  });
});

/** Of any size up to a large part of a table; no two have the same name. */
const pool: readonly SentField[] = [
  ok,
  grpc,
  served,
  ...[0, 1, 30, 95, 96, 127, 300, 900, 2000].map((bytes) =>
    repeated(`x-repeated-${bytes}`, 'v'.repeat(bytes)),
  ),
  ...[0, 1, 126, 127, 128, 5000].map((bytes) => once(`x-once-${bytes}`, 'é'.repeat(bytes))),
  once('grpc-status', '0'),
  once('date', 'Mon, 21 Oct 2013 20:13:21 GMT'),
];
const limits = fc.array(fc.oneof(fc.constantFrom(0, 100, 4095, 4096, 65_536), fc.nat(700)), {
  maxLength: 3,
});
const block = fc.subarray([...pool]).filter((fields) => fields.length > 0);
/** Mostly the limits stay. */
const step = fc.record({ limits: fc.oneof(fc.constant([]), fc.constant([]), limits), block });
const steps = fc.array(step, { minLength: 1, maxLength: 15, size: 'max' });

test('any blocks are read as they were meant by a client that limits its table now and then', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const encoder = new HeaderEncoder();
      const client = new Client();
      for (const { limits, block } of all) {
        for (const bytes of limits) {
          encoder.limitTable(bytes);
          client.limitTable(bytes);
        }
        const others = pool.filter((field) => !block.includes(field)).map(({ name }) => name);
        client.expectFields(encoder.encode(block), block, others);
      }
    }),
    { numRuns: 300 },
  );
});

describe("Node's client", () => {
  const cleanups: (() => void)[] = [];
  afterEach(() => {
    for (const clean of cleanups.splice(0)) clean();
  });

  /** Answers a request with the block that comes next, and does as settings say. */
  function serve(socket: Socket, next: (encoder: HeaderEncoder) => number[]): void {
    const encoder = new HeaderEncoder();
    let held = Buffer.alloc(0);
    let at = preface.length;
    socket.write(settings());
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= at + 9 && held.length >= at + 9 + held.readUIntBE(at, 3)) {
        const [type, flags, end] = [held[at + 3], held[at + 4], at + 9 + held.readUIntBE(at, 3)];
        if (type === FrameType.settings && flags === 0) {
          for (let from = at + 9; from < end; from += 6) {
            const id = held.readUInt16BE(from);
            if (id === headerTableBytes) encoder.limitTable(held.readUInt32BE(from + 2));
          }
          socket.write(frame(FrameType.settings, Flag.acknowledgement, 0));
        } else if (type === FrameType.headers) {
          const last = Flag.endHeaders | Flag.endStream;
          const answer = Buffer.from(next(encoder));
          socket.write(frame(FrameType.headers, last, held.readUInt32BE(at + 5), answer));
        }
        at = end;
      }
    });
  }

  /** Names and values of an answer in their order. */
  function fieldsOf(session: ClientHttp2Session): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const stream = session.request({}, { endStream: true });
      stream.on('response', (_headers: unknown, _flags: unknown, raw: string[]) => resolve(raw));
      stream.on('error', reject);
      stream.on('close', () => reject(new Error('no answer')));
    });
  }

  function limitTable(session: ClientHttp2Session, bytes: number): void {
    session.settings({ headerTableSize: bytes });
  }

  async function open(
    next: (encoder: HeaderEncoder) => number[],
    headerTableSize = 4096,
  ): Promise<ClientHttp2Session> {
    const server = createServer((socket) => serve(socket, next));
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address() as AddressInfo;
    const session = connect(`http://127.0.0.1:${port}`, { settings: { headerTableSize } });
    // What is wrong with a block ends its stream as well.
    session.on('error', () => undefined);
    cleanups.push(() => {
      session.destroy();
      server.close();
    });
    return session;
  }

  test.each([0, 60, 4096, 100_000])('reads answers with a table of %d bytes', async (bytes) => {
    let block: readonly SentField[] = pool;
    const session = await open((encoder) => encoder.encode(block), bytes);
    for (let i = 0; i < 5; i++) {
      block = i % 2 === 0 ? pool : [ok, ...pool.slice(1).reverse()];
      expect(await fieldsOf(session)).toEqual(block.flatMap(({ name, value }) => [name, value]));
    }
  });

  test('reads all answers however it limits its table between them', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        let fields: readonly SentField[] = [];
        const session = await open((encoder) => encoder.encode(fields));
        for (const { limits, block } of all) {
          for (const bytes of limits) limitTable(session, bytes);
          fields = [ok, ...block.filter((field) => field !== ok)];
          expect(await fieldsOf(session)).toEqual(
            fields.flatMap(({ name, value }) => [name, value]),
          );
        }
        session.destroy();
      }),
      { numRuns: 20 },
    );
  });
});
