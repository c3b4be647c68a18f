/** Messages and frames as members send them, with any numbers. */
import fc from 'fast-check';
import type { Entry, MemberId, Message } from '../../src/raft/index.ts';
import {
  encodeBatch,
  encodeBegin,
  encodeChunk,
  encodeEnd,
  encodeHello,
  encodeIntroduction,
  encodeNote,
  encodeOffer,
  encodeRefused,
  encodeResult,
  encodeWelcome,
  protocolVersion,
  type Channel,
  type Frame,
} from '../../src/transport/frames.ts';
import { hashNoteItemsMax, type HashNote } from '../../src/transport/hash-notes.ts';
import type { LeaseAnswer, LeaseNote } from '../../src/transport/lease-notes.ts';

/** Numbers that fit everywhere, and those at which encodings change. */
export const anyInteger: fc.Arbitrary<number> = fc.oneof(
  fc.nat(300),
  fc.maxSafeNat(),
  fc.constantFrom(0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 49, Number.MAX_SAFE_INTEGER),
);
const anyId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

export interface MessageRange {
  readonly from: fc.Arbitrary<MemberId>;
  readonly to: fc.Arbitrary<MemberId>;
  readonly members: fc.Arbitrary<MemberId>;
  readonly term: fc.Arbitrary<number>;
  readonly index: fc.Arbitrary<number>;
  readonly context: fc.Arbitrary<bigint>;
  readonly data: fc.Arbitrary<Uint8Array>;
}

/** Any message of any members. */
export const anyRange: MessageRange = {
  from: fc.constant(1n),
  to: fc.constant(2n),
  members: anyId,
  term: anyInteger,
  index: anyInteger,
  context: anyId,
  data: fc.uint8Array({ maxLength: 60 }),
};

const kind = fc.constantFrom(0 as const, 1 as const);

interface AppendParts {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: number;
  readonly index: number;
  readonly logTerm: number;
  readonly commit: number;
  readonly steps: readonly {
    readonly rise: number;
    readonly data: Uint8Array;
    readonly kind: 0 | 1;
  }[];
}

/** Entries follow one another, and their terms rise at most to that of the leader. */
function appendOf({ steps, ...message }: AppendParts): Message {
  const index = Math.min(message.index, Number.MAX_SAFE_INTEGER - steps.length);
  const logTerm = Math.min(message.logTerm, message.term);
  let term = Math.max(logTerm, 1);
  const entries: Entry[] = steps.map(({ rise, data, kind }, position) => {
    term = Math.min(term + rise, message.term);
    return { index: index + 1 + position, term, kind, data };
  });
  return { type: 'append', ...message, index, logTerm, entries };
}

export function messages(range: MessageRange): fc.Arbitrary<Message> {
  const { from, to, index, context, data, members } = range;
  const term = range.term.map((number) => Math.max(number, 1));
  const way = { from, to, term };
  const type = <T extends Message['type']>(...names: T[]): { type: fc.Arbitrary<T> } => ({
    type: fc.constantFrom(...names),
  });
  const step = fc.record({ rise: fc.nat(2), data, kind });
  const draft = fc.record({ index: fc.constant(0), term: fc.constant(0), kind, data });
  return fc.oneof(
    fc.record({
      ...type('propose'),
      ...way,
      term: fc.constant(0),
      entries: fc.array(draft, { maxLength: 4 }),
    }),
    fc
      .record({
        ...way,
        index,
        logTerm: range.term,
        commit: index,
        steps: fc.array(step, { maxLength: 5 }),
      })
      .map(appendOf),
    fc.record({
      ...type('appendResponse'),
      ...way,
      index,
      reject: fc.boolean(),
      rejectHint: index,
      logTerm: term,
    }),
    fc.record({
      ...type('vote', 'preVote'),
      ...way,
      index,
      logTerm: term,
      transfer: fc.boolean(),
    }),
    fc.record({ ...type('voteResponse', 'preVoteResponse'), ...way, reject: fc.boolean() }),
    fc.record({ ...type('committed'), ...way, index, logTerm: term }),
    fc.record({ ...type('heartbeat'), ...way, commit: index, context }),
    fc.record({ ...type('heartbeatResponse'), ...way, context }),
    fc.record({ ...type('timeoutNow'), ...way }),
    fc.record({ ...type('transferLeader'), ...way, transferee: members }),
    fc.record({ ...type('readIndex'), ...way, term: fc.constant(0), context }),
    fc.record({ ...type('readIndexResponse'), ...way, index, context }),
  );
}

const ids = fc.array(anyId, { maxLength: 5 });
export const anyMetadata = fc.record({
  index: anyInteger,
  term: anyInteger,
  confState: fc.record({
    voters: ids,
    votersOutgoing: ids,
    learners: ids,
    learnersNext: ids,
    autoLeave: fc.boolean(),
  }),
});

const text = fc.string({ maxLength: 20 });
const uint32 = fc.nat(0xffff_ffff);

const leaseAnswer: fc.Arbitrary<LeaseAnswer> = fc.oneof(
  fc.record({ outcome: fc.constant('alive' as const), seconds: anyInteger }),
  fc.record({ outcome: fc.constantFrom('missing' as const, 'retry' as const) }),
);

export const leaseNotes: fc.Arbitrary<LeaseNote> = fc.oneof(
  fc.record({
    kind: fc.constant('leaseAsks' as const),
    asks: fc.array(
      fc.record({
        number: anyId,
        question: fc.constantFrom('renew' as const, 'timeToLive' as const),
        lease: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      }),
      { maxLength: 5 },
    ),
  }),
  fc.record({
    kind: fc.constant('leaseAnswers' as const),
    answers: fc.array(fc.record({ number: anyId, answer: leaseAnswer }), { maxLength: 5 }),
  }),
);

const digestUpTo = fc.record({ to: anyInteger, high: uint32, low: uint32 });

export const hashNotes: fc.Arbitrary<HashNote> = fc.oneof(
  fc.record({
    kind: fc.constant('hashReport' as const),
    algorithm: fc.nat(255),
    from: anyInteger,
    digest: digestUpTo,
    deviates: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('hashAgreed' as const),
    to: anyInteger,
    certain: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('hashAsks' as const),
    algorithm: fc.nat(255),
    from: anyInteger,
    tos: fc.array(anyInteger, { maxLength: hashNoteItemsMax }),
  }),
  fc.record({
    kind: fc.constant('hashAnswers' as const),
    from: anyInteger,
    digests: fc.array(digestUpTo, { maxLength: hashNoteItemsMax }),
  }),
  fc.record({
    kind: fc.constant('hashVerdict' as const),
    from: anyInteger,
    digest: digestUpTo,
    first: anyInteger,
    certain: fc.boolean(),
  }),
);

const changeRefusals = [
  'memberNotFound',
  'learnerNotReady',
  'notEnoughStarted',
  'memberNotLearner',
  'notCapable',
] as const;

export const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    kind: fc.constant('hello' as const),
    version: fc.constant(protocolVersion),
    oldestVersion: fc.constant(protocolVersion),
    cluster: anyId,
    from: anyId,
    to: anyId,
    incarnation: anyId,
    session: anyInteger,
    channel: fc.constantFrom<Channel>('control', 'append', 'snapshot'),
    transfer: anyInteger,
    peerUrls: fc.array(text, { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant('welcome' as const),
    version: fc.nat(0xffff),
    incarnation: anyId,
  }),
  fc.record({ kind: fc.constant('refused' as const), code: fc.nat(255), text }),
  fc.record({
    kind: fc.constant('batch' as const),
    sequence: anyInteger,
    messages: fc.array(messages(anyRange), { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('offer' as const), transfer: anyInteger }),
  fc.tuple(anyInteger, anyMetadata).map(([later, { index, term: number, confState }]) => {
    const term = Math.max(number, 1);
    const metadata = { index: Math.max(index, 1), term, confState };
    return { kind: 'begin' as const, term: Math.max(later, term), metadata };
  }),
  fc.record({
    kind: fc.constant('chunk' as const),
    last: fc.boolean(),
    digest: uint32,
    bytes: fc.uint8Array({ maxLength: 100 }),
  }),
  fc.record({ kind: fc.constant('end' as const), sizeBytes: anyInteger, digest: uint32 }),
  fc.record({ kind: fc.constant('result' as const), ok: fc.boolean(), text }),
  fc.record({
    kind: fc.constant('introduction' as const),
    introduction: fc.record({
      life: anyId,
      takesPart: fc.boolean(),
      asks: fc.boolean(),
      noted: anyId,
      early: fc.boolean(),
      announced: fc.boolean(),
      witnesses: fc
        .uniqueArray(fc.tuple(anyId, fc.boolean()), { selector: ([id]) => id, maxLength: 3 })
        .chain((ids) =>
          fc.nat(ids.length).map((spare) => ({
            ids: ids.map(([id]) => id),
            spare,
            removed: ids.flatMap(([id, isRemoved]) => (isRemoved ? id : [])),
          })),
        ),
    }),
  }),
  leaseNotes,
  hashNotes,
  fc.record({
    kind: fc.constant('changeRefused' as const),
    request: anyId,
    reason: fc.constantFrom(...changeRefusals),
  }),
);

export function encodeFrame(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case 'hello':
      return encodeHello(frame);
    case 'welcome':
      return encodeWelcome(frame.version, frame.incarnation);
    case 'refused':
      return encodeRefused(frame.code, frame.text);
    case 'batch':
      return encodeBatch(frame.sequence, frame.messages);
    case 'ping':
      return Uint8Array.of(5);
    case 'offer':
      return encodeOffer(frame.transfer);
    case 'begin':
      return encodeBegin(frame.term, frame.metadata);
    case 'chunk':
      return encodeChunk(frame.last, frame.digest, frame.bytes);
    case 'end':
      return encodeEnd(frame.sizeBytes, frame.digest);
    case 'result':
      return encodeResult(frame.ok, frame.text);
    case 'introduction':
      return encodeIntroduction(frame.introduction, protocolVersion);
    case 'leaseAsks':
    case 'leaseAnswers':
    case 'changeRefused':
    case 'hashReport':
    case 'hashAgreed':
    case 'hashAsks':
    case 'hashAnswers':
    case 'hashVerdict':
      return encodeNote(frame);
  }
}
