import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Message } from '../../../src/raft/index.ts';
import { messageSizeLimit, readMessages, writeMessages } from '../../../src/transport/codec.ts';
import {
  decodeFrame,
  encodeBatch,
  encodeBegin,
  encodeChunk,
  encodeEnd,
  encodeHello,
  encodeOffer,
  encodeRefused,
  encodeResult,
  encodeWelcome,
  type Hello,
} from '../../../src/transport/frames.ts';
import { FrameReader, FrameWriter, PeerProtocolError } from '../../../src/transport/wire.ts';
import { append, metadata, oneOfEach, plain, snapshot } from './members.ts';

const integer = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(300),
  fc.constantFrom(0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 49, Number.MAX_SAFE_INTEGER),
);
const id = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const ids = fc.array(id, { maxLength: 5 });
const entry = fc.record({
  index: integer,
  term: integer,
  kind: fc.constantFrom(0 as const, 1 as const),
  data: fc.uint8Array({ maxLength: 300 }),
});
const entries = fc.array(entry, { maxLength: 8 });
const way = { from: fc.constant(1n), to: fc.constant(2n), term: integer };
const snapshotMetadata = fc.record({
  index: integer,
  term: integer,
  confState: fc.record({
    voters: ids,
    votersOutgoing: ids,
    learners: ids,
    learnersNext: ids,
    autoLeave: fc.boolean(),
  }),
});

const type = <T extends Message['type']>(name: T): { type: fc.Arbitrary<T> } => ({
  type: fc.constant(name),
});

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ ...type('propose'), ...way, entries }),
  fc.record({
    ...type('append'),
    ...way,
    index: integer,
    logTerm: integer,
    commit: integer,
    entries,
  }),
  fc.record({
    ...type('appendResponse'),
    ...way,
    index: integer,
    reject: fc.boolean(),
    rejectHint: integer,
    logTerm: integer,
  }),
  fc.record({
    ...type('preVote'),
    ...way,
    index: integer,
    logTerm: integer,
    transfer: fc.boolean(),
  }),
  fc.record({ ...type('voteResponse'), ...way, reject: fc.boolean() }),
  fc.record({ ...type('snapshot'), ...way, snapshot: snapshotMetadata }),
  fc.record({ ...type('heartbeat'), ...way, commit: integer, context: id }),
  fc.record({ ...type('heartbeatResponse'), ...way, context: id }),
  fc.record({ ...type('timeoutNow'), ...way }),
  fc.record({ ...type('transferLeader'), ...way, transferee: id }),
  fc.record({ ...type('readIndex'), ...way, context: id }),
  fc.record({ ...type('readIndexResponse'), ...way, index: integer, context: id }),
);

/** Decodes, and says what is wrong; anything but a protocol error is a defect. */
function attempt(bytes: Uint8Array): string {
  try {
    return decodeFrame(bytes, 1n, 2n).kind;
  } catch (error) {
    if (error instanceof PeerProtocolError) return 'refused';
    throw error;
  }
}

describe('the codec of messages', () => {
  test('gives back what it was given, within the size it foretold', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), (messages) => {
        let limit = 8;
        for (const each of messages) limit += messageSizeLimit(each);
        const writer = new FrameWriter(limit);
        writeMessages(writer, messages);
        const bytes = writer.finish();
        expect(bytes.length).toBeLessThanOrEqual(limit);
        const reader = new FrameReader(bytes);
        expect(readMessages(reader, 1n, 2n).map(plain)).toEqual(messages);
        reader.end();
      }),
      { numRuns: 500 },
    );
  });

  test('knows every kind of message', () => {
    const messages = [...oneOfEach(1n, 2n), snapshot(1n, 2n)];
    const frame = decodeFrame(encodeBatch(5, messages), 1n, 2n);
    expect(frame.kind === 'batch' && frame.messages.map(plain)).toEqual(messages);
  });

  test('takes sender and receiver from the stream, not from the message', () => {
    const frame = decodeFrame(encodeBatch(1, [append(7n, 8n, 1)]), 1n, 2n);
    const [first] = frame.kind === 'batch' ? frame.messages : [];
    expect([first?.from, first?.to]).toEqual([1n, 2n]);
  });

  test('does not copy the data of entries', () => {
    const bytes = encodeBatch(1, [append(1n, 2n, 1, new Uint8Array(1_000))]);
    const frame = decodeFrame(bytes, 1n, 2n);
    const [first] = frame.kind === 'batch' ? frame.messages : [];
    const data = first?.type === 'append' ? first.entries[0]?.data : undefined;
    expect(data?.buffer).toBe(bytes.buffer);
  });

  test('refuses to send what is no safe integer', () => {
    for (const index of [-1, 1.5, Number.NaN, 2 ** 53]) {
      expect(() => encodeBatch(1, [append(1n, 2n, index)])).toThrow('cannot send');
    }
  });
});

describe('malformed frames', () => {
  const whole = [
    encodeBatch(3, [...oneOfEach(1n, 2n), snapshot(1n, 2n)]),
    encodeBegin(3, metadata),
    encodeOffer(300),
    encodeEnd(5_000, 7),
    encodeWelcome(1, 77n),
    encodeRefused(2, 'words'),
    encodeResult(true, 'words'),
  ];

  test('cut off anywhere are refused', () => {
    for (const bytes of whole) {
      for (let length = 0; length < bytes.length; length++) {
        expect(attempt(bytes.subarray(0, length))).toBe('refused');
      }
    }
  });

  test('with bytes after their end are refused', () => {
    for (const bytes of whole) {
      expect(attempt(Buffer.concat([bytes, Uint8Array.of(0)]))).toBe('refused');
    }
  });

  test('with any byte changed are refused or understood, never worse', () => {
    for (const bytes of whole) {
      for (let at = 0; at < bytes.length; at++) {
        for (const value of [0, 1, 127, 128, 255]) {
          const changed = Uint8Array.from(bytes);
          changed[at] = value;
          attempt(changed);
        }
      }
    }
  });

  test('of chance are refused or understood, never worse', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        attempt(bytes);
      }),
      { numRuns: 3_000 },
    );
  });

  test('that announce more than they hold are refused before anything is built', () => {
    const writer = new FrameWriter(32);
    writer.byte(4);
    writer.integer(1);
    writer.integer(2 ** 40);
    expect(attempt(writer.finish())).toBe('refused');
  });

  test('with an integer above 2^53-1 are refused', () => {
    expect(attempt(Uint8Array.of(6, 255, 255, 255, 255, 255, 255, 255, 127))).toBe('refused');
    expect(attempt(Uint8Array.of(6, 255, 255, 255, 255, 255, 255, 255, 255, 1))).toBe('refused');
    const largest = encodeOffer(Number.MAX_SAFE_INTEGER);
    expect(decodeFrame(largest, 1n, 2n)).toEqual({
      kind: 'offer',
      transfer: Number.MAX_SAFE_INTEGER,
    });
  });
});

describe('a hello', () => {
  const hello: Omit<Hello, 'kind'> = {
    version: 1,
    oldestVersion: 1,
    cluster: 2n ** 63n + 1n,
    from: 5n,
    to: 6n,
    incarnation: 2n ** 64n - 1n,
    session: 2 ** 50,
    channel: 'append',
    transfer: 12,
  };

  test('comes back as it was', () => {
    expect(decodeFrame(encodeHello(hello), 0n, 0n)).toEqual({ kind: 'hello', ...hello });
  });

  test('of a stranger is refused', () => {
    const bytes = Uint8Array.from(encodeHello(hello));
    bytes[1] = 0;
    expect(attempt(bytes)).toBe('refused');
  });

  test('of a later version is read as far as it is known', () => {
    const later = Buffer.concat([
      encodeHello({ ...hello, version: 9, oldestVersion: 8 }),
      Uint8Array.of(1, 2, 3),
    ]);
    const frame = decodeFrame(later, 0n, 0n);
    expect(frame.kind === 'hello' && [frame.version, frame.oldestVersion, frame.from]).toEqual([
      9,
      8,
      5n,
    ]);
  });

  test('of a later version that still speaks ours may carry more than we know', () => {
    const later = Buffer.concat([encodeHello({ ...hello, version: 2 }), Uint8Array.of(1, 2, 3)]);
    expect(decodeFrame(later, 0n, 0n)).toMatchObject({ kind: 'hello', version: 2, transfer: 12 });
  });

  test('chunks carry their bytes without copying', () => {
    const bytes = encodeChunk(true, 99, Uint8Array.of(1, 2, 3));
    const frame = decodeFrame(bytes, 1n, 2n);
    expect(frame).toMatchObject({ kind: 'chunk', last: true, digest: 99 });
    expect(frame.kind === 'chunk' && [...frame.bytes]).toEqual([1, 2, 3]);
  });
});
