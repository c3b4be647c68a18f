/** What members send each other: frames, the messages in them, and changes of membership. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ConfChangeError,
  decodeConfChange,
  encodeConfChange,
  type AppendMessage,
  type ConfChange,
  type Message,
} from '../../src/raft/index.ts';
import { decodeFrame, encodeBatch, type Frame } from '../../src/transport/frames.ts';
import { PeerProtocolError } from '../../src/transport/wire.ts';
import { decoded, expectSame, fuzz, weightOf, type Verdict } from './fuzz.ts';
import { edits, mutate, type Edit } from './mutation.ts';
import { anyRange, encodeFrame, frames, messages } from '../support/peer-messages.ts';

/** A message of two bytes has half a dozen fields. */
const partsPerByte = 12;
const partsOfNothing = 60;

const decode = (bytes: Uint8Array): Frame => decodeFrame(bytes, 1n, 2n);

/** What the Raft core takes for granted of an append. */
function expectConsistent({ index, logTerm, term, entries }: AppendMessage): void {
  let last = { index, term: logTerm };
  for (const entry of entries) {
    expect(entry.index).toBe(last.index + 1);
    expect(entry.term).toBeGreaterThanOrEqual(last.term);
    expect(entry.term).toBeLessThanOrEqual(term);
    last = entry;
  }
}

function expectSound(bytes: Uint8Array, frame: Frame): void {
  expect(weightOf(frame)).toBeLessThan(partsPerByte * bytes.length + partsOfNothing);
  if (frame.kind === 'batch') {
    for (const message of frame.messages) if (message.type === 'append') expectConsistent(message);
  }
  // A hello of a version to come has fields that this one does not know.
  if (frame.kind !== 'hello') expectSame(decode(encodeFrame(frame)), frame);
}

describe('frames', () => {
  const attempt = ([frame, changes]: [Frame, readonly Edit[]]): Verdict => {
    const bytes = encodeFrame(frame);
    expectSame(decode(bytes), frame);
    const damaged = mutate(bytes, changes);
    const found = decoded(() => decode(damaged), PeerProtocolError);
    if (found === undefined) return 'refused';
    expectSound(damaged, found);
    return 'accepted';
  };
  fuzz('damaged frames', fc.tuple(frames, edits), attempt, { weight: 2 });

  const few: fc.Arbitrary<[Message[], readonly Edit[]]> = fc.tuple(
    fc.array(messages(anyRange), { minLength: 1, maxLength: 4 }),
    edits,
  );
  const attemptBatch = ([list, changes]: [Message[], readonly Edit[]]): Verdict => {
    const damaged = mutate(encodeBatch(7, list), changes);
    const found = decoded(() => decode(damaged), PeerProtocolError);
    if (found === undefined) return 'refused';
    expectSound(damaged, found);
    return 'accepted';
  };
  fuzz('damaged batches', few, attemptBatch, { weight: 2 });

  const attemptBytes = (bytes: Uint8Array): Verdict => {
    const found = decoded(() => decode(bytes), PeerProtocolError);
    if (found === undefined) return 'refused';
    expectSound(bytes, found);
    return 'accepted';
  };
  const random = fc
    .tuple(fc.integer({ min: 0, max: 11 }), fc.uint8Array({ maxLength: 80 }))
    .map(([kind, rest]) => Uint8Array.of(kind, ...rest));
  fuzz('random bytes', random, attemptBytes, { weight: 2 });

  test('announce no more than they have', () => {
    // Counts and lengths of 2^53-1, which would fill any memory.
    const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for (const head of [
      [4, 1],
      [4, 1, 1, 1, 1],
      [4, 1, 1, 2, 1, 0, 0, 0],
      [3, 1],
      [7, 1, 1, 1],
    ]) {
      expect(() => decode(Uint8Array.from([...head, ...huge, 0, 0]))).toThrow(PeerProtocolError);
    }
  });
});

const confChange: fc.Arbitrary<ConfChange> = fc.record({
  transition: fc.constantFrom(0 as const, 1 as const, 2 as const),
  changes: fc.array(
    fc.record({
      type: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
      member: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    }),
    { maxLength: 5 },
  ),
  context: fc.uint8Array({ maxLength: 60 }),
});

describe('changes of membership', () => {
  const attempt = ([change, changes]: [ConfChange, readonly Edit[]]): Verdict => {
    const bytes = encodeConfChange(change);
    expectSame(decodeConfChange(bytes), change);
    const damaged = mutate(bytes, changes);
    const found = decoded(() => decodeConfChange(damaged), ConfChangeError);
    if (found === undefined) return 'refused';
    expect(weightOf(found)).toBeLessThan(partsPerByte * damaged.length + partsOfNothing);
    expectSame(decodeConfChange(encodeConfChange(found)), found);
    return 'accepted';
  };
  fuzz('ConfChangeV2', fc.tuple(confChange, edits), attempt);
});
