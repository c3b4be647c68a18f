import { describe, expect, test } from 'vitest';
import type { Codec } from '../../../src/base/wire.ts';
import { AnswerFrames } from '../../../src/api/grpc/answer-frames.ts';
import { RangeStreamResponse, WatchResponse } from '../../../src/gen/rpc.ts';
import { framed } from '../../support/api-calls.ts';

function answer(watchId: number): WatchResponse {
  return WatchResponse.create({ watchId });
}

/** A message of about so many bytes. */
function long(bytes: number): WatchResponse {
  return WatchResponse.create({ watchId: 7, cancelReason: 'x'.repeat(bytes) });
}

function framesOf(...messages: readonly WatchResponse[]): Buffer {
  return Buffer.concat(messages.map((message) => framed(WatchResponse.encode(message))));
}

describe('frames of answers', () => {
  test('are one piece, however many they are', () => {
    const frames = new AnswerFrames();
    const messages = Array.from({ length: 300 }, (_, i) => answer(i));
    const lengths = messages.map((message) => frames.add(WatchResponse, message));
    expect(lengths).toEqual(messages.map((message) => WatchResponse.encode(message).length));
    expect(frames.messages).toBe(300);
    expect(frames.bytes).toBe(lengths.reduce((sum, length) => sum + length));
    expect(frames.take()).toEqual([framesOf(...messages)]);
    expect([frames.messages, frames.bytes, frames.take()]).toEqual([0, 0, []]);
  });

  test('of streams that take turns stay apart', () => {
    const [a, b] = [new AnswerFrames(), new AnswerFrames()];
    for (const id of [1, 3, 5]) {
      a.add(WatchResponse, answer(id));
      b.add(WatchResponse, answer(id + 1));
    }
    b.add(WatchResponse, answer(8));
    const { length } = WatchResponse.encode(answer(1));
    expect([a.messages, a.bytes]).toEqual([3, 3 * length]);
    const ofA = Buffer.concat(a.take());
    a.add(WatchResponse, answer(9));
    expect(ofA).toEqual(framesOf(answer(1), answer(3), answer(5)));
    expect(Buffer.concat(b.take())).toEqual(framesOf(answer(2), answer(4), answer(6), answer(8)));
    expect(Buffer.concat(a.take())).toEqual(framesOf(answer(9)));
  });

  test.each([40_000, 70_000, 2_000_000])('may be long: %d bytes', (bytes) => {
    const frames = new AnswerFrames();
    const messages = [answer(1), long(bytes), answer(2)];
    for (const message of messages) frames.add(WatchResponse, message);
    const taken = frames.take();
    frames.add(WatchResponse, answer(3));
    expect(Buffer.compare(Buffer.concat(taken), framesOf(...messages))).toBe(0);
    expect(Buffer.concat(frames.take())).toEqual(framesOf(answer(3)));
  });

  test('that nobody takes are forgotten, and others are not', () => {
    const [gone, other] = [new AnswerFrames(), new AnswerFrames()];
    gone.add(WatchResponse, answer(1));
    other.add(WatchResponse, answer(2));
    gone.add(WatchResponse, answer(3));
    gone.clear();
    expect([gone.messages, gone.bytes, gone.take()]).toEqual([0, 0, []]);
    expect(Buffer.concat(other.take())).toEqual(framesOf(answer(2)));
  });

  test('leave nothing of a message that cannot be encoded', () => {
    const broken: Codec<RangeStreamResponse> = {
      ...RangeStreamResponse,
      write: (writer, message) => {
        RangeStreamResponse.write(writer, message);
        writer.raw(new Uint8Array(100));
        throw new Error('broken');
      },
    };
    const frames = new AnswerFrames();
    frames.add(WatchResponse, answer(1));
    expect(() => frames.add(broken, RangeStreamResponse.create())).toThrow('broken');
    frames.add(WatchResponse, answer(2));
    expect(frames.messages).toBe(2);
    expect(Buffer.concat(frames.take())).toEqual(framesOf(answer(1), answer(2)));
  });
});
