/** What a connection answers to frames, right and wrong (RFC 9113, whose sections are named). */
import { describe, expect, test } from 'vitest';
import { ConnectionError, ErrorCode, preface } from '../../../src/http2/frames.ts';
import {
  callFields,
  Flag,
  frame,
  FrameType,
  headerBlock,
  opening,
  settings,
  uint32,
} from '../../support/http2-bytes.ts';
import {
  acknowledgement,
  answer,
  connected,
  data,
  expectGoesOn,
  goAway,
  headers,
  opened,
  patience,
  ping,
  reset,
  type Served,
  type ServeOptions,
  StillClock,
  whole,
  windowUpdate,
} from './raw-client.ts';

const { settings: settingsType, ping: pingType } = FrameType;
const {
  protocolError,
  flowControlError,
  settingsTimeout,
  streamClosed,
  frameSizeError,
  compressionError,
  enhanceYourCalm,
} = ErrorCode;
const block = headerBlock(callFields('/a.Service/Method'));

function repeat(count: number, bytes: Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => bytes));
}

/** Ends with a GOAWAY; the server says why, and ends its side. */
async function expectFails(served: Served, code: number, lastStreamId: number): Promise<void> {
  const { client, failures } = served;
  // Whichever comes first: this fails at once if the connection goes on.
  await Promise.race([client.closed(), client.pong()]);
  expect(client.all({ type: FrameType.goAway })).toHaveLength(1);
  expect(await client.goAway()).toMatchObject({ code, lastStreamId });
  await client.closed();
  expect(failures).toHaveLength(1);
  expect(failures[0]).toMatchObject({ name: 'ConnectionError', code });
}

/**
 * A connection with a stream in each state: 1 is open, 3 was ended by the client, 5 was reset by
 * it, 7 is over, and 9 was reset by the server. Everything higher is idle.
 */
async function withStreams(options: ServeOptions = {}): Promise<Served> {
  const served = await opened({
    ...options,
    request: (stream) => {
      if (stream.id === 7) answer(stream, Buffer.from('answer'));
      if (stream.id === 9) stream.reset(ErrorCode.internalError);
    },
  });
  const { client } = served;
  client.write(headers(1), headers(3, whole), headers(5), reset(5), headers(7, whole), headers(9));
  await client.end(7);
  await client.resetCode(9);
  return served;
}

test('the numbers of errors are those of section 7', () => {
  expect(Object.values(ErrorCode)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect([protocolError, flowControlError, settingsTimeout, streamClosed]).toEqual([1, 3, 4, 5]);
  expect([frameSizeError, compressionError, enhanceYourCalm]).toEqual([6, 9, 11]);
});

describe('the beginning of a connection (section 3.4)', () => {
  test('the server says first what it takes, and waits for nothing', async () => {
    const { client } = await connected({ maxConcurrentStreams: 7 });
    const { type, flags, streamId, body } = await client.frame({});
    expect([type, flags, streamId, body.length % 6]).toEqual([settingsType, 0, 0, 0]);
    const values = new Map<number, number>();
    for (let at = 0; at < body.length; at += 6) {
      values.set(body.readUInt16BE(at), body.readUInt32BE(at + 2));
    }
    expect(Object.fromEntries(values)).toEqual({ 3: 7, 4: 262_144, 6: 65_536 });
    await client.frame({ type: FrameType.windowUpdate, streamId: 0 });
    expect(client.granted(0)).toBe(1024 * 1024 - 65_535);
  });

  test('everything may come byte by byte', async () => {
    const served = await connected();
    const { client, connection, listeners } = served;
    const body = data(1, 'body', Flag.endStream);
    const padded = data(1, Buffer.from([2, ...Buffer.from('more'), 0, 0]), Flag.padded);
    const bytes = [opening(), acknowledgement, headers(1), padded, body, ping('8 bytes.')];
    for (const byte of Buffer.concat(bytes)) connection.receive(Buffer.of(byte));
    await client.frame({ type: pingType, flags: Flag.acknowledgement });
    expect(listeners[0]?.events).toEqual(['data', 'end']);
    expect(listeners[0]?.body.toString()).toBe('morebody');
    client.lastStreamId = 1;
    await expectGoesOn(served);
    expect(served.heldBytes).toBe(0);
  });

  test.each([
    ['of HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['that is wrong in its last byte', Buffer.concat([preface.subarray(0, 23), Buffer.from('x')])],
    ['that is missing', settings()],
  ])('a preface %s is an error', async (_what, bytes) => {
    const served = await connected();
    served.client.write(bytes);
    await expectFails(served, protocolError, 0);
  });

  test.each([
    ['DATA', data(1, 'body')],
    ['HEADERS', headers(1)],
    ['PRIORITY', frame(FrameType.priority, 0, 1, Buffer.alloc(5))],
    ['RST_STREAM', reset(1)],
    ['an acknowledgement', acknowledgement],
    ['PUSH_PROMISE', frame(FrameType.pushPromise, Flag.endHeaders, 1, uint32(2))],
    ['PING', ping('8 bytes.')],
    ['GOAWAY', goAway()],
    ['WINDOW_UPDATE', windowUpdate(0, 1)],
    ['CONTINUATION', frame(FrameType.continuation, Flag.endHeaders, 1, block)],
    ['a frame of unknown type', frame(0x42, 0, 0, Buffer.from('unknown'))],
  ])('%s before settings is an error', async (_what, bytes) => {
    const served = await connected();
    served.client.write(preface, bytes, settings(), acknowledgement);
    await expectFails(served, protocolError, 0);
    expect(served.streams).toEqual([]);
  });

  test.each([
    ['says nothing', []],
    ['sends half of the preface', [preface.subarray(0, 12)]],
    ['does not acknowledge', [opening(), headers(1)]],
  ])('a client that %s in ten seconds is cut off', async (_what, parts) => {
    const clock = new StillClock();
    const served = await connected({ clock });
    served.client.write(...parts);
    if (parts.length > 1) await served.client.settled();
    clock.advance(9_999);
    expect(served.failures).toEqual([]);
    clock.advance(1);
    await expectFails(served, settingsTimeout, parts.length > 1 ? 1 : 0);
  });

  test('a client that acknowledges has all the time of the world', async () => {
    const clock = new StillClock();
    const served = await opened({ clock });
    clock.advance(1_000_000);
    await expectGoesOn(served);
  });
});

const joined = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const zeros = (bytes: number): Buffer => Buffer.alloc(bytes);
const unknown = frame(0x42, 0, 0, Buffer.from('unknown'));
/** A block of which more is to come. */
const begun = headers(11, 0, block.subarray(0, 5));
const continued = (streamId: number, flags: number = Flag.endHeaders, body = block): Buffer =>
  frame(FrameType.continuation, flags, streamId, body);
const brokenBlock = (...bytes: readonly number[]): Buffer => headers(11, whole, Buffer.from(bytes));
const paddedTooMuch = Buffer.from([3, 0x82, 0]);
const paddedIntoPriority = Buffer.from([3, 0, 0, 0, 0, 0, 0x82, 0]);

/** By error; what they are begins with their section. */
const fatal: Partial<Record<keyof typeof ErrorCode, Readonly<Record<string, Buffer>>>> = {
  frameSizeError: {
    '4.2: DATA that are too large': data(1, zeros(16_385)),
    '4.2: HEADERS that are too large': headers(11, whole, zeros(16_385)),
    '4.2: settings that are too large': frame(4, 0, 0, zeros(16_386)),
    '4.2: something unknown that is too large': frame(99, 0, 0, zeros(16_385)),
    '6.2: HEADERS shorter than their priority': headers(11, 0x24, zeros(4)),
    '6.3: PRIORITY of four bytes': frame(2, 0, 1, zeros(4)),
    '6.4: RST_STREAM of three bytes': frame(3, 0, 1, zeros(3)),
    '6.4: RST_STREAM of five bytes': frame(3, 0, 1, zeros(5)),
    '6.5: an acknowledgement that says more': frame(4, 1, 0, zeros(6)),
    '6.5: settings of five bytes': frame(4, 0, 0, zeros(5)),
    '6.7: a ping of seven bytes': frame(6, 0, 0, zeros(7)),
    '6.7: a ping of nine bytes': frame(6, 0, 0, zeros(9)),
    '6.8: GOAWAY of seven bytes': frame(7, 0, 0, zeros(7)),
    '6.9: WINDOW_UPDATE of three bytes': frame(8, 0, 1, zeros(3)),
    '6.9: WINDOW_UPDATE of five bytes': frame(8, 0, 0, zeros(5)),
  },
  compressionError: {
    '4.3: a field with number 0': brokenBlock(0x80),
    '4.3: a field that no table has': brokenBlock(0xff, 0x20),
    '4.3: a number that is cut short': brokenBlock(0xff),
    '4.3: a number without end': brokenBlock(0xff, ...Buffer.alloc(20, 0x80), 0),
    '4.3: a text that is cut short': brokenBlock(0, 3, 0x61),
    '4.3: a text with wrong padding': brokenBlock(0, 1, 0x61, 0x81, 0),
    '4.3: a table larger than allowed': brokenBlock(0x3f, 0xe2, 0x1f),
    '4.3: a size of the table after a field': brokenBlock(0x82, 0x20),
    '4.3: a broken block in two frames': joined(begun, continued(11, 4, zeros(1))),
  },
  protocolError: {
    '5.1: DATA on an idle stream': data(11, 'x'),
    '5.1: RST_STREAM on an idle stream': reset(11),
    '5.1: WINDOW_UPDATE on an idle stream': windowUpdate(11, 1),
    '5.1: CONTINUATION on an idle stream': continued(11),
    '5.1.1: HEADERS on an even stream': headers(2, whole),
    '5.1.1: HEADERS in two frames on an even stream': joined(headers(2, 0), continued(2)),
    '5.1.1: DATA on an even stream': data(2, 'x'),
    '5.1.1: RST_STREAM on an even stream': reset(2),
    '5.1.1: WINDOW_UPDATE on an even stream': windowUpdate(2, 1),
    '5.5: a block interrupted by what is unknown': joined(begun, unknown),
    '6.1: DATA without a stream': data(0, 'x'),
    '6.1: DATA with padding too long': data(1, Buffer.from([4, 1, 2, 3]), Flag.padded),
    '6.1: DATA with nothing but padding too long': data(1, Buffer.from([1]), Flag.padded),
    '6.2: HEADERS without a stream': headers(0, whole),
    '6.2: HEADERS with padding too long': headers(11, 0x0c, paddedTooMuch),
    '6.2: padding longer than the block, not the rest': headers(11, 0x2c, paddedIntoPriority),
    '6.2: a block interrupted by HEADERS': joined(begun, begun),
    '6.2: a block interrupted by DATA': joined(begun, data(11, 'x')),
    '6.2: a block interrupted by PRIORITY': joined(begun, frame(2, 0, 1, zeros(5))),
    '6.2: a block interrupted by a ping': joined(begun, ping('8 bytes.')),
    '6.2: a block interrupted by settings': joined(begun, settings()),
    '6.3: PRIORITY without a stream': frame(2, 0, 0, zeros(5)),
    '6.4: RST_STREAM without a stream': reset(0),
    '6.5: settings of a stream': frame(4, 0, 1, zeros(6)),
    '6.5: an acknowledgement of a stream': frame(4, 1, 1),
    '6.5.2: a setting of push other than 0 and 1': settings([[2, 2]]),
    '6.5.2: too small a frame size': settings([[5, 16_383]]),
    '6.5.2: too large a frame size': settings([[5, 16_777_216]]),
    '6.6: PUSH_PROMISE': frame(5, Flag.endHeaders, 1, uint32(2)),
    '6.7: a ping of a stream': frame(6, 0, 1, zeros(8)),
    '6.8: GOAWAY of a stream': frame(7, 0, 1, zeros(8)),
    '6.9: WINDOW_UPDATE of nothing': windowUpdate(0, 0),
    '6.10: CONTINUATION of nothing': continued(1),
    '6.10: CONTINUATION after the last': joined(headers(1, whole), continued(1)),
    '6.10: CONTINUATION of another stream': joined(begun, continued(1)),
    '6.10: CONTINUATION without a stream': joined(begun, continued(0)),
  },
  flowControlError: {
    '6.5.2: too large an initial window': settings([[4, 0x8000_0000]]),
    '6.9.1: a window that is too large': windowUpdate(0, 0x7fff_ffff),
  },
  enhanceYourCalm: {
    '10.5.1: a block of 66 frames': joined(begun, repeat(65, continued(11, 0, zeros(0)))),
    '10.5.1: a block of 64 KiB and 5 bytes': joined(
      begun,
      repeat(4, continued(11, 0, zeros(16_384))),
    ),
  },
};

describe.each(Object.entries(fatal))('a connection ends with a %s for', (code, cases) => {
  test.each(Object.entries(cases))('%s', async (_what, bytes) => {
    const served = await withStreams();
    served.client.write(bytes, headers(13, whole));
    await expectFails(served, ErrorCode[code as keyof typeof ErrorCode], 9);
    // Nothing that follows is listened to.
    expect(served.streams).toHaveLength(5);
  });
});

describe('a stream ends with an error, and the connection goes on, after', () => {
  const invalidTrailers = headers(1, whole, headerBlock({ A: 'b' }));
  test.each([
    ['5.1: DATA on a stream that the client has ended', 3, streamClosed, data(3, 'x')],
    ['5.1: HEADERS on a stream that it has ended', 3, streamClosed, headers(3, whole)],
    ['5.1: DATA on a stream that it has reset', 5, streamClosed, data(5, 'x')],
    ['5.1: HEADERS on a stream that it has reset', 5, streamClosed, headers(5, whole)],
    ['5.1: DATA on a stream that is over', 7, streamClosed, data(7, 'x')],
    ['5.1: HEADERS on a stream that is over', 7, streamClosed, headers(7, whole)],
    ['6.9: WINDOW_UPDATE of nothing', 1, protocolError, windowUpdate(1, 0)],
    ['6.9: WINDOW_UPDATE of nothing for an answer', 3, protocolError, windowUpdate(3, 0)],
    ['6.9.1: a window that is too large', 1, flowControlError, windowUpdate(1, 0x7fff_ffff)],
    ['8.1: trailers without an end', 1, protocolError, headers(1, 4, headerBlock({ a: 'b' }))],
    ['8.1: a pseudo-header in trailers', 1, protocolError, headers(1, whole)],
    ['8.2.1: an invalid field in trailers', 1, protocolError, invalidTrailers],
  ])('%s', async (_what, streamId, code, bytes) => {
    const served = await withStreams();
    const { client, listeners, streams } = served;
    client.write(bytes);
    await expectGoesOn(served);
    expect(client.all({ type: FrameType.reset, streamId })).toHaveLength(1);
    expect(await client.resetCode(streamId)).toBe(code);
    expect(streams).toHaveLength(5);
    // The others are as they were.
    if (streamId !== 1) expect(listeners[0]?.events).toEqual([]);
    if (streamId !== 3) expect(listeners[1]?.events).toEqual(['end']);
  });
});

test('a stream with a lower number than another is not opened (section 5.1.1)', async () => {
  const served = await opened();
  const { client, streams } = served;
  client.write(headers(5), headers(3, whole), headers(1));
  expect(await client.resetCode(3)).toBe(streamClosed);
  expect(await client.resetCode(1)).toBe(streamClosed);
  await expectGoesOn(served);
  expect(streams.map(({ id }) => id)).toEqual([5]);
});

describe('nothing is changed by', () => {
  const streams = [1, 2, 3, 5, 11];
  const closed = [5, 7, 9];
  const least = [
    [1, 0],
    [2, 0],
    [3, 0],
    [4, 0],
    [5, 16_384],
    [6, 0],
  ] as const;
  const most = [
    [1, 0xffff_ffff],
    [2, 1],
    [4, 0x7fff_ffff],
    [5, 0xff_ffff],
  ] as const;
  const priority = (streamId: number): Buffer => frame(FrameType.priority, 0, streamId, zeros(5));
  const onItself = frame(FrameType.priority, 0, 1, Buffer.from([0, 0, 0, 1, 16]));
  const unasked = joined(ping('8 bytes.', 1), ping('quorate?', 1));
  test.each([
    ['4.1: a frame of unknown type', unknown],
    ['4.1: such frames on streams', joined(...streams.map((id) => frame(99, 0xff, id)))],
    ['4.1: undefined flags of DATA', data(1, '', 0xf6)],
    ['4.1: undefined flags elsewhere', joined(frame(8, 0xff, 1, uint32(1)), frame(4, 0xfe, 0))],
    ['4.1: the reserved bit of a stream number', frame(8, 0, 0x8000_0001, uint32(1))],
    ['5.1: RST_STREAM on closed streams', joined(...closed.map((id) => reset(id)))],
    [
      '5.1: what follows on a stream that the server has reset',
      joined(data(9, 'x'), headers(9, whole)),
    ],
    ['5.1: WINDOW_UPDATE on closed streams', joined(...closed.map((id) => windowUpdate(id, 1)))],
    ['5.1: WINDOW_UPDATE on a stream that the client has ended', windowUpdate(3, 1)],
    ['5.3: PRIORITY on any stream', joined(...streams.map(priority))],
    ['5.3: PRIORITY that depends on itself', onItself],
    ['6.5: one more acknowledgement', acknowledgement],
    ['6.5.2: an unknown setting', joined(settings([[99, 0xffff_ffff]]), settings([[0, 0]]))],
    ['6.5.2: the least that settings may say', settings(least)],
    ['6.5.2: the most', settings(most)],
    ['6.7: answers to pings that nobody sent', unasked],
    [
      '6.9.1: the largest window',
      joined(windowUpdate(0, 0x7fff_0000), windowUpdate(1, 0x7fff_0000)),
    ],
    ['6.9: the reserved bit of a window', joined(windowUpdate(0, 0x8000_0001))],
  ])('%s', async (_what, bytes) => {
    const served = await withStreams();
    const { client, listeners } = served;
    client.write(bytes);
    await expectGoesOn(served);
    expect(client.all({ type: FrameType.reset }).map(({ streamId }) => streamId)).toEqual([9]);
    const events = [[], ['end'], ['closed'], ['end', 'closed'], ['closed']];
    expect(listeners.map((listener) => listener.events)).toEqual(events);
  });
});

describe('pings (section 6.7)', () => {
  const answers = ({ client }: Served): string[] =>
    client.all({ type: pingType, flags: Flag.acknowledgement }).map(({ body }) => body.toString());

  test('are answered in their order with what they say', async () => {
    const served = await opened();
    const { client } = served;
    const before = served.pings;
    client.write(ping('8 bytes.'), ping('\0\0\0\0\0\0\0\0'), ping('8 bytes.'));
    await client.settled();
    expect(answers(served).slice(2, 5)).toEqual(['8 bytes.', '\0\0\0\0\0\0\0\0', '8 bytes.']);
    expect(served.pings - before).toBe(5);
  });

  test('of the server are answered by nothing but what they say, and once', async () => {
    const served = await opened();
    const { client, connection } = served;
    let answered = 0;
    connection.ping(() => answered++);
    const { flags, body } = await client.frame({ type: pingType }, 2);
    expect([flags, body.length]).toEqual([0, 8]);
    client.write(frame(pingType, Flag.acknowledgement, 0, zeros(8)));
    await client.settled();
    expect(answered).toBe(0);
    const answer = frame(pingType, Flag.acknowledgement, 0, body);
    client.write(answer, answer);
    await client.settled();
    expect(answered).toBe(1);
    const { pings } = served;
    connection.ping(() => answered++);
    await client.settled();
    client.write(answer);
    await client.settled();
    expect([answered, served.pings - pings]).toEqual([2, 4]);
  });
});

test('settings are acknowledged one by one (section 6.5.3)', async () => {
  const { client } = await opened();
  const acknowledged = (): number =>
    client.all({ type: settingsType, flags: Flag.acknowledgement }).length;
  expect(acknowledged()).toBe(1);
  client.write(
    settings(),
    settings([[4, 1]]),
    settings([
      [4, 2],
      [4, 3],
    ]),
  );
  await client.settled();
  expect(acknowledged()).toBe(4);
});

describe('a connection that fails', () => {
  test('says why, cuts its streams off and ends, once', async () => {
    const served = await withStreams();
    const { client, connection, listeners, streams } = served;
    connection.fail(new ConnectionError(enhanceYourCalm, 'too much of it'));
    connection.fail(new ConnectionError(protocolError, 'again'));
    expect(listeners.map(({ events }) => events.at(-1))).toEqual(Array(5).fill('closed'));
    for (const stream of streams) answer(stream, Buffer.from('too late'));
    const reason = 'too much of it';
    expect(await client.goAway()).toEqual({ lastStreamId: 9, code: enhanceYourCalm, reason });
    await client.closed();
    expect(client.all({ type: FrameType.goAway })).toHaveLength(1);
    expect(client.all({ type: FrameType.headers, streamId: 1 })).toEqual([]);
    expect(served.failures).toMatchObject([{ message: 'too much of it' }]);
  });

  test('waits a second for a client that does not end its side', async () => {
    const clock = new StillClock();
    const served = await opened({ clock, allowHalfOpen: true });
    served.connection.fail(new ConnectionError(protocolError, 'no'));
    await served.client.goAway();
    clock.advance(999);
    expect(served.closings).toBe(0);
    clock.advance(1);
    expect(served.closings).toBe(1);
    expect(clock.pending).toBe(0);
  });

  const again = new ConnectionError(protocolError, 'again');
  test.each<[string, ({ connection }: Served) => void]>([
    ['cuts it off', ({ connection }) => connection.destroy()],
    ['fails it again', ({ connection }) => connection.fail(again)],
    ['has it leave', ({ connection }) => connection.leave()],
  ])('ends once, although whoever is told %s', async (_what, end) => {
    const clock = new StillClock();
    const served = await withStreams({ clock });
    const { client, connection, failures, listeners } = served;
    for (const listener of listeners) listener.onClosed = () => end(served);
    connection.fail(new ConnectionError(protocolError, 'no'));
    await client.closed();
    expect(failures).toMatchObject([{ message: 'no' }]);
    expect(client.all({ type: FrameType.goAway }).length).toBeLessThanOrEqual(1);
    await expect.poll(() => clock.pending, patience).toBe(0);
  });
});

describe('memory', () => {
  const begin = headers(1, Flag.endStream, block.subarray(0, 5));
  const inMany = [begin, repeat(63, continued(1, 0, zeros(0))), continued(1, 4, block.subarray(5))];
  test.each([
    ['a ping', ping('8 bytes.')],
    ['a block', headers(1, whole)],
    ['a block of 65 frames', joined(...inMany)],
  ])('is taken for what has come of %s until the rest is there', async (_what, bytes) => {
    const served = await opened();
    const { client } = served;
    client.write(bytes.subarray(0, -1));
    await expect.poll(() => served.heldBytes, patience).toBeGreaterThan(0);
    client.socket.write(bytes.subarray(-1));
    client.lastStreamId = 1;
    await expectGoesOn(served);
    expect(served.heldBytes).toBe(0);
  });

  test('is taken for many fields until their stream is over', async () => {
    const served = await opened({ maxHeldBytes: 15_000 });
    const { client } = served;
    const many = callFields('/a', { many: 'a'.repeat(10_000) });
    client.write(headers(1, whole, many), headers(3, whole, many));
    expect(await client.resetCode(3)).toBe(enhanceYourCalm);
    expect(served.heldBytes).toBeGreaterThan(10_000);
    client.write(reset(1));
    await expectGoesOn(served);
    expect(served.heldBytes).toBe(0);
  });

  test('that is not there ends the connection', async () => {
    const served = await opened({ maxHeldBytes: 1_000 });
    served.client.socket.write(headers(1, whole, zeros(8_000)).subarray(0, 4_000));
    await expectFails(served, enhanceYourCalm, 0);
  });
});
