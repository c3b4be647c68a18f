/** The two ends of a channel under virtual time. */
import { beforeEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Message } from '../../../src/raft/index.ts';
import {
  decodeFrame,
  encodeBatch,
  encodeOffer,
  encodeRefused,
  encodeWelcome,
  pingFrame,
  refusals,
  type Batch,
} from '../../../src/transport/frames.ts';
import { InboundChannel } from '../../../src/transport/inbound.ts';
import { defaultLimits, type TransportLimits } from '../../../src/transport/limits.ts';
import { OutboundChannel } from '../../../src/transport/outbound.ts';
import { LiveStream } from '../../../src/transport/stream.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { RecordingLogger, append, heartbeat, snapshot } from './members.ts';
import { TestOwner, TestStream } from './streams.ts';

let clock: VirtualClock;

beforeEach(() => {
  clock = new VirtualClock();
});

function liveStream(stream: TestStream, owner = new TestOwner()): LiveStream {
  const live = new LiveStream(clock, defaultLimits, owner);
  stream.events = live;
  live.bind(stream);
  return live;
}

describe('a live stream', () => {
  test('says something when it has been quiet', () => {
    const stream = new TestStream();
    liveStream(stream);
    clock.advance(defaultLimits.pingMs);
    expect(stream.written).toEqual([pingFrame]);
    clock.advance(3 * defaultLimits.pingMs);
    expect(stream.written.length, 'no further ping while one is stuck').toBe(1);
    stream.taken();
    clock.advance(2 * defaultLimits.pingMs);
    expect(stream.written.length).toBeGreaterThan(1);
  });

  test('closes when nothing is heard', () => {
    const stream = new TestStream();
    const owner = new TestOwner();
    const live = liveStream(stream, owner);
    clock.advance(defaultLimits.silenceMs);
    live.frame(pingFrame);
    clock.advance(defaultLimits.silenceMs);
    expect(owner.reasons).toEqual([]);
    clock.advance(2 * defaultLimits.pingMs);
    expect(owner.reasons.length).toBe(1);
    expect(owner.reasons[0]).toContain('nothing heard');
    expect(stream.closed).toBe(true);
    expect(owner.frames, 'pings are not passed on').toEqual([]);
  });

  test('takes a large frame that comes slowly for a sign of life', () => {
    const owner = new TestOwner();
    const live = liveStream(new TestStream(), owner);
    for (let i = 0; i < 10; i++) {
      clock.advance(defaultLimits.silenceMs / 2);
      live.alive();
    }
    expect(owner.reasons).toEqual([]);
    clock.advance(defaultLimits.silenceMs + 2 * defaultLimits.pingMs);
    expect(owner.reasons).toHaveLength(1);
  });

  test('does not take its own pause for silence', () => {
    const stream = new TestStream();
    const owner = new TestOwner();
    const live = liveStream(stream, owner);
    live.pause();
    clock.advance(10 * defaultLimits.silenceMs);
    expect(owner.reasons).toEqual([]);
    live.resume();
    clock.advance(2 * defaultLimits.silenceMs);
    expect(owner.reasons.length).toBe(1);
  });

  test('tells of its end once, and not if the owner ended it', () => {
    const owner = new TestOwner();
    const live = liveStream(new TestStream(), owner);
    live.closed('one');
    live.closed('two');
    expect(owner.reasons).toEqual(['one']);
    const other = new TestOwner();
    const ended = liveStream(new TestStream(), other);
    ended.close();
    ended.closed('late');
    ended.frame(encodeOffer(1));
    expect(other.reasons).toEqual([]);
    expect(other.frames).toEqual([]);
    expect(clock.pending, 'no timer is left').toBe(0);
  });
});

describe('an outbound channel', () => {
  const limits: TransportLimits = {
    ...defaultLimits,
    queueMessages: 10,
    queueBytes: 5_000,
    batchBytes: 2_000,
    batchMessages: 4,
    frameBytes: 20_000,
  };
  let channel: OutboundChannel;
  let stream: TestStream;
  let live: LiveStream;

  const batches = (): Batch[] =>
    stream.written.map((bytes) => decodeFrame(bytes, 1n, 2n)).filter((f) => f.kind === 'batch');
  const shape = (): [number, number][] =>
    batches().map((batch) => [batch.sequence, batch.messages.length]);
  const offer = (count: number, message: Message = heartbeat(1n, 2n, 1)): number => {
    let taken = 0;
    for (let i = 0; i < count; i++) if (channel.offer(message)) taken++;
    return taken;
  };

  beforeEach(() => {
    channel = new OutboundChannel(limits, () => {});
    stream = new TestStream();
    live = liveStream(stream);
    channel.attach(live, 1);
  });

  test('sends at once when quiet and gathers while it waits', () => {
    offer(1);
    channel.flush();
    offer(1);
    channel.flush();
    offer(2);
    channel.flush();
    expect(shape()).toEqual([[1, 1]]);
    stream.taken();
    expect(shape()).toEqual([
      [1, 1],
      [2, 3],
    ]);
  });

  test('splits what is too much for one batch, by number and by size', () => {
    offer(6);
    channel.flush();
    stream.taken();
    expect(shape()).toEqual([
      [1, 4],
      [5, 2],
    ]);
    stream.taken();
    offer(3, append(1n, 2n, 1, new Uint8Array(900)));
    channel.flush();
    stream.taken();
    expect(shape().slice(2)).toEqual([
      [7, 2],
      [9, 1],
    ]);
  });

  test('drops beyond its limits of messages and bytes', () => {
    expect(offer(20)).toBe(10);
    channel.flush();
    stream.taken();
    stream.taken();
    stream.taken();
    expect(channel.queuedMessages).toBe(0);
    expect(offer(20, append(1n, 2n, 1, new Uint8Array(1_500)))).toBe(3);
    expect(channel.queuedBytes).toBeLessThanOrEqual(limits.queueBytes);
  });

  test('takes one message above the limit of bytes, none above that of a frame', () => {
    expect(offer(2, append(1n, 2n, 1, new Uint8Array(10_000)))).toBe(1);
    channel.flush();
    expect(shape()).toEqual([[1, 1]]);
    expect(offer(1, append(1n, 2n, 1, new Uint8Array(20_000)))).toBe(0);
  });

  test('drops everything without a stream, and counts on with the next', () => {
    offer(2);
    channel.flush();
    offer(3);
    expect(channel.detach(live)).toBe(true);
    expect(offer(1)).toBe(0);
    expect(channel.queuedBytes).toBe(0);
    stream = new TestStream();
    channel.attach(liveStream(stream), 1);
    offer(1);
    channel.flush();
    expect(shape()).toEqual([[3, 1]]);
  });

  test('lets the newest stream replace the one before', () => {
    const first = stream;
    stream = new TestStream();
    channel.attach(liveStream(stream), 1);
    expect(first.closed).toBe(true);
    expect(channel.detach(live)).toBe(false);
    expect(channel.attached).toBe(true);
    offer(1);
    channel.flush();
    first.taken();
    expect(shape()).toEqual([[1, 1]]);
  });

  test('speaks the version of its stream, and none without', () => {
    expect(channel.version).toBe(1);
    channel.attach(liveStream(new TestStream()), 3);
    expect(channel.version).toBe(3);
    channel.close();
    expect(channel.version).toBe(0);
  });

  test('takes no more frames ahead of the batches than the limit says', () => {
    let taken = 0;
    while (taken < 1_000 && channel.sendFrame(encodeOffer(taken))) taken++;
    expect(taken).toBe(limits.controlFrames + 1);
    stream.taken();
    expect(channel.sendFrame(encodeOffer(0))).toBe(true);
  });

  test('lets other frames overtake batches that wait', () => {
    offer(1);
    channel.flush();
    offer(1);
    channel.sendFrame(encodeOffer(5));
    stream.taken();
    stream.taken();
    expect(stream.written.map((bytes) => decodeFrame(bytes, 1n, 2n).kind)).toEqual([
      'batch',
      'offer',
      'batch',
    ]);
  });
});

describe('an inbound channel', () => {
  let streams: TestStream[];
  let received: Message[];
  let logger: RecordingLogger;
  let channel: InboundChannel;
  let turns: boolean[];
  let malformed: number;

  beforeEach(() => {
    streams = [];
    received = [];
    turns = [];
    malformed = 0;
    logger = new RecordingLogger();
    channel = new InboundChannel(
      'append',
      {
        self: 2n,
        id: 1n,
        dial: (_channel, _transfer, events) => {
          const stream = new TestStream();
          stream.events = events;
          streams.push(stream);
          return stream;
        },
        heard: () => {},
        receive: (messages) => received.push(...messages),
        note: () => {},
        offered: () => {},
        introduced: () => {},
        removed: () => {},
        liveChanged: () => turns.push(channel.live),
        malformed: () => malformed++,
      },
      { clock, random: new SeededRandom(1), limits: defaultLimits, logger },
    );
    channel.dial();
  });

  const last = (): TestStream => {
    const stream = streams.at(-1);
    if (stream === undefined) throw new Error('nothing was dialled');
    return stream;
  };
  const frame = (bytes: Uint8Array): void => last().events?.frame(bytes);
  const numbers = (): unknown[] => received.map((m) => m.type === 'heartbeat' && m.commit);
  const beats = (...numbers: number[]): Message[] => numbers.map((n) => heartbeat(1n, 2n, n));

  test('delivers each message once, however often it comes', () => {
    frame(encodeWelcome(1, 9n));
    frame(encodeBatch(1, beats(1, 2)));
    frame(encodeBatch(1, beats(1, 2)));
    frame(encodeBatch(2, beats(2, 3, 4)));
    frame(encodeBatch(1, beats(1)));
    frame(encodeBatch(5, beats(5)));
    expect(numbers()).toEqual([1, 2, 3, 4, 5]);
  });

  test.each([
    ['goes on counting', 4],
    ['counts anew, as it did not know this member before', 1],
  ])('hears what a peer says on its next stream that %s', (_what, next) => {
    frame(encodeWelcome(1, 9n));
    frame(encodeBatch(1, beats(1, 2, 3)));
    frame(encodeBatch(2, beats(2, 3)));
    last().events?.closed('cut');
    clock.advance(defaultLimits.redialMs);
    expect(streams.length).toBe(2);
    frame(encodeWelcome(1, 9n));
    frame(encodeBatch(next, beats(7)));
    expect(numbers()).toEqual([1, 2, 3, 7]);
  });

  test('closes on a frame it does not understand, and dials again', () => {
    frame(encodeWelcome(1, 9n));
    frame(Uint8Array.of(4, 255));
    expect(last().closed).toBe(true);
    expect(channel.live).toBe(false);
    expect(turns).toEqual([true, false]);
    expect(malformed).toBe(1);
    expect(logger.has('warn', 'malformed')).toBe(true);
    clock.advance(defaultLimits.redialMs);
    expect(streams.length).toBe(2);
  });

  test('takes no snapshot without its contents', () => {
    frame(encodeWelcome(1, 9n));
    frame(encodeBatch(1, [...beats(1), snapshot(1n, 2n)]));
    expect(received).toEqual([]);
    expect(last().closed).toBe(true);
    expect(logger.has('warn', 'a snapshot without its contents')).toBe(true);
  });

  test('wants a welcome before anything else', () => {
    frame(encodeBatch(1, beats(1)));
    expect(received).toEqual([]);
    expect(last().closed).toBe(true);
  });

  test('gives up a dial that is not answered', () => {
    clock.advance(defaultLimits.handshakeMs);
    expect(streams[0]?.closed).toBe(true);
    clock.advance(defaultLimits.redialMs);
    expect(streams.length).toBe(2);
  });

  test('dials ever less often, up to a limit', () => {
    const dials: number[] = [];
    for (let i = 0; i < 12; i++) {
      const before = streams.length;
      const fromMs = clock.monotonicMs();
      last().events?.closed('refused');
      while (streams.length === before) clock.advance(1);
      dials.push(clock.monotonicMs() - fromMs);
    }
    expect(dials[0]).toBeLessThanOrEqual(defaultLimits.redialMs + 1);
    expect(Math.min(...dials.slice(7))).toBeGreaterThanOrEqual(defaultLimits.redialLongestMs / 2);
    expect(Math.max(...dials)).toBeLessThanOrEqual(defaultLimits.redialLongestMs + 1);
  });

  test('says once why it is refused, as an error if time will not cure it', () => {
    for (let i = 0; i < 3; i++) {
      frame(encodeRefused(refusals.cluster, 'cluster ids differ'));
      clock.advance(defaultLimits.redialLongestMs);
    }
    expect(streams.length).toBe(4);
    const errors = logger.lines.filter((line) => line.level === 'error');
    expect(errors.map((line) => line.fields['reason'])).toEqual(['refused: cluster ids differ']);
  });

  test('stops for good', () => {
    channel.stop();
    expect(last().closed).toBe(true);
    clock.advance(60_000);
    expect(streams.length).toBe(1);
    expect(clock.pending).toBe(0);
  });
});
