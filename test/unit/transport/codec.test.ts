import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Introduction } from '../../../src/cluster/founding.ts';
import { messageSizeLimit, readMessages, writeMessages } from '../../../src/transport/codec.ts';
import {
  decodeFrame,
  encodeBatch,
  encodeBegin,
  encodeChunk,
  encodeEnd,
  encodeHello,
  encodeIntroduction,
  encodeOffer,
  encodeRefused,
  encodeResult,
  encodeWelcome,
  type Hello,
  protocolVersion,
} from '../../../src/transport/frames.ts';
import { FrameReader, FrameWriter, PeerProtocolError } from '../../../src/transport/wire.ts';
import { nobody } from '../../support/introductions.ts';
import { anyRange, messages } from '../../support/peer-messages.ts';
import { append, metadata, oneOfEach, plain, snapshot } from './members.ts';

const introduction: Introduction = {
  life: 2n ** 63n,
  takesPart: true,
  asks: false,
  noted: 300n,
  early: true,
  announced: false,
  witnesses: nobody,
};
const witnessed: Introduction = {
  ...introduction,
  witnesses: { ids: [1n, 2n ** 64n - 1n], spare: 1, removed: [1n] },
};

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
      fc.property(fc.array(messages(anyRange), { maxLength: 6 }), (sent) => {
        let limit = 8;
        for (const each of sent) limit += messageSizeLimit(each);
        const writer = new FrameWriter(limit);
        writeMessages(writer, sent);
        const bytes = writer.finish();
        expect(bytes.length).toBeLessThanOrEqual(limit);
        const reader = new FrameReader(bytes);
        expect(readMessages(reader, 1n, 2n).map(plain)).toEqual(sent);
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
    encodeIntroduction(introduction, protocolVersion),
    encodeIntroduction(witnessed, protocolVersion),
  ];

  test('without the witnesses that they announce are refused', () => {
    const whole = Buffer.from(encodeIntroduction(witnessed, protocolVersion));
    // The count, before an id and a flag of each.
    const at = whole.length - 2 * 9 - 1;
    expect(whole[at]).toBe(2);
    whole[at] = 0;
    expect(attempt(whole.subarray(0, at + 1))).toBe('refused');
  });

  test('tell nothing of witnesses to members that do not know of them', () => {
    const frame = encodeIntroduction(witnessed, 5);
    expect(decodeFrame(frame, 1n, 2n)).toEqual({ kind: 'introduction', introduction });
  });

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

  test.each([
    ['a gap', [6, 3], [8, 3]],
    ['a repetition', [6, 3], [6, 3]],
    ['a first entry elsewhere', [7, 3], [8, 3]],
    ['a term that falls', [6, 3], [7, 2]],
    ['a term below the one before', [6, 1], [7, 3]],
    ['a term of no leader', [6, 0], [7, 0]],
    ['a term beyond the leader', [6, 3], [7, 5]],
  ])('of appends with %s are refused', (_what, ...places) => {
    const data = new Uint8Array(2);
    const entries = places.map(([index = 0, term = 0]) => ({
      index,
      term,
      kind: 0 as const,
      data,
    }));
    const way = { type: 'append', from: 1n, to: 2n, term: 4 } as const;
    const message = { ...way, index: 5, logTerm: 2, commit: 0, entries };
    expect(attempt(encodeBatch(1, [message]))).toBe('refused');
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
    peerUrls: [],
  };

  test('comes back as it was', () => {
    expect(decodeFrame(encodeHello(hello), 0n, 0n)).toEqual({ kind: 'hello', ...hello });
    const found = { ...hello, version: 5, peerUrls: ['http://höst:1', 'unix:socket'] };
    expect(decodeFrame(encodeHello(found), 0n, 0n)).toEqual({ kind: 'hello', ...found });
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
    const version = protocolVersion + 1;
    const later = Buffer.concat([encodeHello({ ...hello, version }), Uint8Array.of(1, 2, 3)]);
    expect(decodeFrame(later, 0n, 0n)).toMatchObject({ kind: 'hello', version, transfer: 12 });
  });

  test('chunks carry their bytes without copying', () => {
    const bytes = encodeChunk(true, 99, Uint8Array.of(1, 2, 3));
    const frame = decodeFrame(bytes, 1n, 2n);
    expect(frame).toMatchObject({ kind: 'chunk', last: true, digest: 99 });
    expect(frame.kind === 'chunk' && [...frame.bytes]).toEqual([1, 2, 3]);
  });
});
