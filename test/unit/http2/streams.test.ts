/** The life of a stream as its listener sees it (RFC 9113 sections 5.1 and 8.1). */
import { describe, expect, test } from 'vitest';
import { ConnectionError, ErrorCode } from '../../../src/http2/frames.ts';
import { SentField } from '../../../src/http2/header-encoder.ts';
import type { Stream } from '../../../src/http2/stream.ts';
import { callFields, Flag, frame, FrameType, headerBlock } from '../../support/http2-bytes.ts';
import {
  answer,
  data,
  expectGoesOn,
  goAway,
  head,
  headers,
  opened,
  patience,
  pattern,
  reset,
  type Served,
  StillClock,
  trailers,
  whole,
  windowUpdate,
} from './raw-client.ts';

const { endStream, endHeaders, padded } = Flag;
const { protocolError, refusedStream, enhanceYourCalm, internalError } = ErrorCode;
const priorityFlag = 0x20;
const fields = callFields('/a.Service/Method');
const block = headerBlock(fields);

function joined(...parts: readonly (Buffer | readonly number[])[]): Buffer {
  return Buffer.concat(parts.map((part) => Buffer.from(part)));
}

function continuation(flags: number, body: Buffer): Buffer {
  return frame(FrameType.continuation, flags, 1, body);
}

/** A block in as many frames as one may have. */
function inManyFrames(flags: number): Buffer {
  const ends = Array.from({ length: 65 }, (_, i) => (i < 64 ? 2 * i + 2 : block.length));
  const pieces = ends.map((end, i) => block.subarray(2 * i, end));
  return joined(
    headers(1, flags, pieces[0]),
    ...pieces.slice(1, -1).map((piece) => continuation(0, piece)),
    continuation(endHeaders, pieces[64] as Buffer),
  );
}

describe('a request is heard', () => {
  const body = [data(1, 'bo'), data(1, 'dy')];
  const empty = data(1, '');
  const withPadding = joined([3], block, [0, 0, 0]);
  const withPriority = joined([0, 0, 0, 0, 15], block);
  const withBoth = joined([1, 0x80, 0, 0, 1, 255], block, [0]);
  test.each([
    ['with a body', [headers(1), ...body, data(1, '', endStream)]],
    ['with a body whose last part is the end', [headers(1), body[0], data(1, 'dy', endStream)]],
    ['with a body and trailers', [headers(1), ...body, headers(1, whole, headerBlock({ a: 'b' }))]],
    ['with empty frames between', [headers(1), empty, ...body, empty, data(1, '', endStream)]],
    [
      'with padding',
      [headers(1), data(1, joined([2], Buffer.from('body'), [0, 0]), padded | endStream)],
    ],
    [
      'with no padding',
      [headers(1), data(1, joined([0], Buffer.from('body')), padded | endStream)],
    ],
    [
      'with frames of padding',
      [
        headers(1),
        ...body,
        data(1, joined([2, 0, 0]), padded),
        data(1, joined([0]), padded | endStream),
      ],
    ],
    [
      'with a padded head',
      [headers(1, endHeaders | padded, withPadding), data(1, 'body', endStream)],
    ],
    [
      'with a priority',
      [headers(1, endHeaders | priorityFlag, withPriority), data(1, 'body', endStream)],
    ],
    [
      'with both',
      [headers(1, endHeaders | padded | priorityFlag, withBoth), data(1, 'body', endStream)],
    ],
    ['with a head in many frames', [inManyFrames(0), data(1, 'body', endStream)]],
    [
      'with a head that goes on with nothing',
      [headers(1, 0), continuation(endHeaders, Buffer.alloc(0)), data(1, 'body', endStream)],
    ],
    ['with no body', [headers(1, whole)]],
    ['with no body, and a head in many frames', [inManyFrames(endStream)]],
    ['with no body but an empty frame', [headers(1), data(1, '', endStream)]],
    ['with no body but padding', [headers(1), data(1, joined([2, 0, 0]), padded | endStream)]],
    ['with nothing but trailers', [headers(1), headers(1, whole, headerBlock({ a: 'b' }))]],
  ])('%s', async (what, frames) => {
    const paths: string[] = [];
    const served = await opened({ request: (_stream, _listener, { path }) => paths.push(path) });
    const { client, listeners, streams } = served;
    client.write(joined(...(frames as Buffer[])));
    await expectGoesOn(served);
    const isEmpty = what.includes('no body') || what.includes('nothing but');
    expect(paths).toEqual([fields[':path']]);
    expect(listeners[0]?.body.toString()).toBe(isEmpty ? '' : 'body');
    expect(listeners[0]?.events).toEqual(isEmpty ? ['end'] : ['data', 'end']);
    answer(streams[0] as Stream, Buffer.from('answer'));
    await client.end(1);
    expect(listeners[0]?.events.at(-1)).toBe('closed');
    const answered = client.all({ streamId: 1 });
    expect(answered.map(({ type, flags }) => [type, flags])).toEqual([
      [FrameType.headers, endHeaders],
      [FrameType.data, 0],
      [FrameType.headers, whole],
    ]);
    expect(answered[0]?.fields?.get(':status')).toBe('200');
    expect(answered[2]?.fields?.get('grpc-status')).toBe('0');
    expect(client.body(1).toString()).toBe('answer');
  });
});

describe('a malformed request resets its stream, and nothing else (section 8.1.1)', () => {
  const { ':method': _method, ...noMethod } = fields;
  const { ':scheme': _scheme, ...noScheme } = fields;
  const { ':path': _path, ...noPath } = fields;
  const twice = (name: string): Buffer => joined(headerBlock({ [name]: 'POST' }), block);
  const and = (name: string, value = 'a'): Buffer => joined(block, headerBlock({ [name]: value }));
  const ofHttp1 = ['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'];
  test.each<[string, Buffer]>([
    ['no method', headerBlock(noMethod)],
    ['no scheme', headerBlock(noScheme)],
    ['no path', headerBlock(noPath)],
    ['an empty path', headerBlock({ ...fields, ':path': '' })],
    ['two methods', twice(':method')],
    ['two schemes', twice(':scheme')],
    ['two paths', twice(':path')],
    ['two authorities', twice(':authority')],
    ['a status', twice(':status')],
    ['an unknown pseudo-header', twice(':unknown')],
    ['a pseudo-header after a field', joined(headerBlock({ a: 'b' }), block)],
    ['nothing', Buffer.alloc(0)],
    ['upper case in a name', and('Name')],
    ['an empty name', and('')],
    ['a space in a name', and('na me')],
    ['a colon in a name', and('na:me')],
    ['a name beyond ASCII', and('n\u00e4me')],
    ['a zero in a value', and('name', 'a\0b')],
    ['a line feed in a value', and('name', 'a\nb')],
    ['a carriage return in a value', and('name', 'a\rb')],
    ...ofHttp1.map((name): [string, Buffer] => [`a field of HTTP/1: ${name}`, and(name)]),
    ['te other than trailers', headerBlock({ ...fields, te: 'gzip' })],
  ])('with %s', async (_what, malformed) => {
    const served = await opened();
    const { client, listeners, streams } = served;
    client.write(headers(1), headers(3, endHeaders, malformed), data(3, 'body', endStream));
    await expectGoesOn(served);
    expect(await client.resetCode(3)).toBe(protocolError);
    expect(streams.map(({ id }) => id)).toEqual([1]);
    expect(listeners[0]?.events).toEqual([]);
  });

  test('with a list that is too long, although its block is short', async () => {
    const values: (string | undefined)[] = [];
    const served = await opened({
      request: (_stream, _listener, list) => values.push(list.get('x')),
    });
    const { client } = served;
    const value = 'a'.repeat(2_000);
    // The table has it as number 62 at first, and as 63 behind the next request's authority.
    const kept = joined([0x40, 1], Buffer.from('x'), [0x7f, 0xd1, 0x0e], Buffer.from(value));
    client.write(headers(1, whole, joined(block, kept, Buffer.alloc(40, 0xbe))));
    client.write(headers(3, whole, joined(block, [0xbf])));
    await expectGoesOn(served);
    expect(await client.resetCode(1)).toBe(enhanceYourCalm);
    expect(values).toEqual([value]);
  });
});

describe('the number of streams (section 5.1.2)', () => {
  test('is limited, and a stream that is over makes room for another', async () => {
    const { client, streams } = await opened({ maxConcurrentStreams: 3 });
    client.write(...[1, 3, 5, 7].map((id) => headers(id)), data(7, 'body'));
    expect(await client.resetCode(7)).toBe(refusedStream);
    answer(streams[0] as Stream, Buffer.from('answer'));
    await client.resetCode(1);
    client.write(reset(3), headers(9), headers(11), headers(13));
    expect(await client.resetCode(13)).toBe(refusedStream);
    expect(streams.map(({ id }) => id)).toEqual([1, 3, 5, 9, 11]);
    expect(client.all({ type: FrameType.reset, streamId: 7 })).toHaveLength(1);
  });

  test('counts those that are reset and worked on, beyond a thousand', async () => {
    const request = (stream: Stream): void => void (stream.isWorkedOn = true);
    const { client, connection, streams } = await opened({ request, maxConcurrentStreams: 2 });
    let next = 1;
    const open = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++, next += 2) client.write(headers(next, whole), reset(next));
      await client.settled();
    };
    await open(1_002);
    expect(connection.streamCount).toBe(0);
    expect(streams).toHaveLength(1_002);
    await open(1);
    expect(streams).toHaveLength(1_002);
    for (const stream of streams.slice(0, 2)) stream.isWorkedOn = false;
    await open(3);
    expect(streams).toHaveLength(1_004);
    expect(client.all({ type: FrameType.reset })).toHaveLength(2);
  });

  test('is the same after work on streams that are closed already', async () => {
    const { client, connection, streams } = await opened({ maxConcurrentStreams: 1 });
    client.write(headers(1), reset(1));
    await client.settled();
    for (const isWorkedOn of [true, false, false, true, false]) {
      (streams[0] as Stream).isWorkedOn = isWorkedOn;
    }
    connection.leave();
    await client.closed();
  });
});

describe('a stream is over for its listener', () => {
  const dataOf = ({ client }: Served): number =>
    client.all({ streamId: 1 }).filter(({ type }) => type <= FrameType.headers).length;

  test.each<[string, (served: Served, stream: Stream) => unknown]>([
    [
      'once it is answered',
      async ({ client }, stream) => {
        client.write(data(1, '', endStream));
        await client.settled();
        answer(stream, Buffer.from('answer'));
        await client.end(1);
      },
    ],
    [
      'once it is answered before all was asked',
      async ({ client }, stream) => {
        answer(stream, Buffer.from('answer'));
        await client.end(1);
        expect(await client.resetCode(1)).toBe(ErrorCode.noError);
      },
    ],
    [
      'once it is answered with nothing but a head',
      async ({ client }, stream) => {
        stream.sendOnlyHead(head);
        expect((await client.end(1)).flags).toBe(whole);
        expect(await client.resetCode(1)).toBe(ErrorCode.noError);
      },
    ],
    ['when the client resets it', ({ client }) => client.write(reset(1))],
    [
      'when the server resets it',
      async ({ client }, stream) => {
        stream.sendHead(head);
        stream.write(Buffer.from('part'));
        stream.reset(internalError);
        expect(await client.resetCode(1)).toBe(internalError);
        expect(client.all({ streamId: 1 })).toHaveLength(1);
      },
    ],
    ['when the client makes a mistake on it', ({ client }) => client.write(windowUpdate(1, 0))],
    ['when the client makes a mistake elsewhere', ({ client }) => client.write(data(0, 'x'))],
    [
      'when the connection fails',
      ({ connection }) => connection.fail(new ConnectionError(internalError, 'no')),
    ],
    ['when the connection is cut off', ({ connection }) => connection.destroy()],
    ['when the client ends the connection', ({ client }) => client.socket.end()],
    ['when the client cuts the connection off', ({ client }) => client.socket.resetAndDestroy()],
  ])('%s', async (_what, end) => {
    const served = await opened();
    const { client, connection, listeners, streams } = served;
    client.write(headers(1), data(1, 'body'));
    await client.settled();
    const [stream] = streams as [Stream];
    await end(served, stream);
    await expect.poll(() => connection.streamCount, patience).toBe(0);
    const events = [...(listeners[0]?.events ?? [])];
    expect(events.at(-1)).toBe('closed');
    // Whatever either side does now.
    const sent = dataOf(served);
    stream.sendHead(head);
    stream.write(Buffer.from('late'), () => events.push('sent'));
    stream.write(Buffer.alloc(0), () => events.push('sent'));
    stream.sendOnlyHead(head);
    stream.end(trailers);
    stream.pause();
    stream.resume();
    stream.reset();
    client.write(data(1, 'late'), windowUpdate(1, 1), headers(1, whole), reset(1));
    await Promise.race([client.settled(), client.closed()]);
    expect(listeners[0]?.events).toEqual(events);
    expect(dataOf(served)).toBe(sent);
  });
});

describe('the end of an answer', () => {
  test('is followed by nothing, although the client goes on', async () => {
    const clock = new StillClock();
    const { client, listeners, streams } = await opened({ clock });
    client.write(headers(1));
    await client.settled();
    clock.held = [];
    const [stream] = streams as [Stream];
    answer(stream, Buffer.from('answer'));
    await client.end(1);
    client.write(data(1, 'more'));
    stream.write(Buffer.from('late'));
    stream.end(trailers);
    stream.sendOnlyHead(head);
    await client.settled();
    expect(listeners[0]?.events).toEqual(['data']);
    for (const deferred of clock.held.splice(0)) deferred();
    expect(listeners[0]?.events).toEqual(['data', 'closed']);
    expect(await client.resetCode(1)).toBe(ErrorCode.noError);
    expect(client.all({ streamId: 1 })).toHaveLength(4);
  });

  test('is all that a client gets which ends its side in time', async () => {
    const clock = new StillClock();
    const { client, listeners, streams } = await opened({ clock });
    client.write(headers(1));
    await client.settled();
    clock.held = [];
    answer(streams[0] as Stream, Buffer.from('answer'));
    await client.end(1);
    client.write(data(1, '', endStream));
    await client.settled();
    expect(listeners[0]?.events).toEqual(['closed']);
    for (const deferred of clock.held.splice(0)) deferred();
    await client.settled();
    expect(client.all({ type: FrameType.reset })).toEqual([]);
  });

  test.each([0, 20_000, 40_000])('and its head may be long: %d bytes', async (length) => {
    const long = SentField.once('long', pattern(1, 0, length).toString('latin1'));
    const request = (stream: Stream): void => {
      if (stream.id === 1) stream.sendOnlyHead([...head, long]);
      else {
        stream.sendHead([...head, long]);
        stream.end([...trailers, long]);
      }
    };
    const { client } = await opened({ request });
    client.write(headers(1, whole), headers(3, whole));
    await client.end(1);
    const isDone = ({ fields: list }: { fields: unknown }): boolean => list !== undefined;
    await client.until('blocks', () => client.frames.filter(isDone).length === 3 || undefined);
    for (const { fields: list } of client.frames.filter(isDone)) {
      expect(list?.get('long')).toBe(long.value);
    }
  });
});

describe('whoever is told of something may do anything', () => {
  const deeds: Record<string, (stream: Stream, other: Stream, served: Served) => void> = {
    'begins an answer': (stream) => {
      stream.sendHead(head);
      stream.write(Buffer.from('part'));
    },
    answers: (stream) => answer(stream, Buffer.from('answer')),
    'answers with a head': (stream) => stream.sendOnlyHead(head),
    ends: (stream) => stream.end(trailers),
    resets: (stream) => stream.reset(internalError),
    'pauses and resumes': (stream) => {
      stream.pause();
      stream.resume();
    },
    'answers another': (_stream, other) => answer(other, Buffer.from('answer')),
    'resets another': (_stream, other) => other.reset(internalError),
    leaves: (_stream, _other, { connection }) => connection.leave(),
    fails: (_stream, _other, { connection }) =>
      connection.fail(new ConnectionError(internalError, 'no')),
    destroys: (_stream, _other, { connection }) => connection.destroy(),
  };
  const occasions = ['request', 'data', 'end', 'sent', 'closed'];
  const cases = occasions.flatMap((on) => Object.keys(deeds).map((deed) => [on, deed] as const));

  test.each(cases)('on %s: %s', async (occasion, deed) => {
    let times = 0;
    const act = (served: Served): void => {
      const [other, stream] = served.streams as [Stream, Stream];
      if (times++ === 0) deeds[deed]?.(stream, other, served);
    };
    const served = await opened({
      request: (stream, listener, _fields, own) => {
        if (stream.id !== 3) return;
        if (occasion === 'data') listener.onData = () => act(own);
        if (occasion === 'end') listener.onEnd = () => act(own);
        if (occasion === 'closed') listener.onClosed = () => act(own);
        if (occasion === 'request') act(own);
        if (occasion !== 'sent') return;
        stream.sendHead(head);
        for (const piece of ['one', '', 'two']) stream.write(Buffer.from(piece), () => act(own));
      },
    });
    const { client, failures, streams } = served;
    client.write(headers(1));
    client.write(headers(3), data(3, 'one'), data(3, 'two', endStream), windowUpdate(3, 1));
    await Promise.race([client.settled(), client.closed()]);
    if (!client.isClosed) client.write(reset(3));
    await Promise.race([client.settled(), client.closed()]);
    expect(times).toBeGreaterThan(0);
    if (deed === 'leaves') for (const stream of streams) answer(stream, Buffer.from('answer'));
    if (['leaves', 'fails', 'destroys'].includes(deed)) {
      await client.closed();
      expect(client.all({ type: FrameType.goAway })).toHaveLength(deed === 'destroys' ? 0 : 1);
      expect(failures).toHaveLength(deed === 'fails' ? 1 : 0);
    } else {
      await expectGoesOn(served);
      answer(streams[0] as Stream, Buffer.from('answer'));
      if (deed === 'resets another') expect(await client.resetCode(1)).toBe(internalError);
      else await client.end(1);
    }
  });
});

describe('a connection that leaves (section 6.8)', () => {
  test.each([
    ['because it is told to', ({ connection }: Served) => connection.leave()],
    ['because the client leaves', ({ client }: Served) => client.write(goAway())],
  ])('%s: finishes what is open and ignores what is new', async (_why, leave) => {
    const served = await opened({}, [[4, 3]]);
    const { client, connection, listeners, streams } = served;
    client.write(headers(1), headers(3, whole));
    await client.settled();
    leave(served);
    connection.leave();
    expect(await client.goAway()).toEqual({ lastStreamId: 3, code: 0, reason: '' });
    // What the table learns from a stream that is ignored, it knows on others.
    const learnt = joined(block, [0x40, 1], Buffer.from('x'), [1], Buffer.from('y'));
    client.write(headers(5, whole, learnt), headers(7), data(7, 'body'), windowUpdate(7, 1));
    client.write(data(1, 'body'), headers(1, whole, Buffer.of(0xbf)), reset(7), headers(9, whole));
    await client.settled();
    expect(streams).toHaveLength(2);
    expect(listeners[0]?.events).toEqual(['data', 'end']);
    for (const stream of streams) answer(stream, Buffer.from('answer'));
    await client.settled();
    expect(client.body(1).toString()).toBe('ans');
    client.write(windowUpdate(1, 3), windowUpdate(3, 3));
    await client.closed();
    for (const id of [1, 3]) expect(client.body(id).toString()).toBe('answer');
    for (const id of [5, 7, 9]) expect(client.all({ streamId: id })).toEqual([]);
    expect(client.all({ type: FrameType.goAway })).toHaveLength(1);
    expect(served.failures).toEqual([]);
  });

  test('ends at once if there is nothing to do', async () => {
    const { client, connection } = await opened();
    connection.leave();
    expect(await client.goAway()).toEqual({ lastStreamId: 0, code: 0, reason: '' });
    await client.closed();
  });

  test('waits for what somebody works on', async () => {
    const served = await opened();
    const { client, connection, streams } = served;
    client.write(headers(1));
    await client.settled();
    (streams[0] as Stream).isWorkedOn = true;
    client.write(reset(1));
    await client.settled();
    connection.leave();
    await client.settled();
    expect(client.isClosed).toBe(false);
    (streams[0] as Stream).isWorkedOn = false;
    await client.closed();
  });
});
