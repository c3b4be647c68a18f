/**
 * What members ask their leader about leases, and its answers. They travel beside Raft's messages
 * and are as unreliable; to ask again does no harm.
 */
import { PeerProtocolError, type FrameReader, type FrameWriter } from './wire.ts';

export type LeaseQuestion = 'renew' | 'timeToLive';

export interface LeaseAsk {
  /** Chosen by the member that asks, never again in any of its lives. */
  readonly number: bigint;
  readonly question: LeaseQuestion;
  readonly lease: bigint;
}

/** What came of asking for a lease. */
export type LeaseAnswer =
  /** Its time in seconds: all of it after a renewal, what is left otherwise. */
  | { readonly outcome: 'alive'; readonly seconds: number }
  | { readonly outcome: 'missing' }
  /** Not here, or not now: whoever leads later may know. */
  | { readonly outcome: 'retry' };

export interface NumberedAnswer {
  readonly number: bigint;
  readonly answer: LeaseAnswer;
}

export type LeaseNote =
  | { readonly kind: 'leaseAsks'; readonly asks: readonly LeaseAsk[] }
  | { readonly kind: 'leaseAnswers'; readonly answers: readonly NumberedAnswer[] };

/** Asks or answers in one note; a sender makes several notes of more. */
export const leaseNoteItemsMax = 4096;
/** Kind of frame, count, and for each item number, kind and at most eight bytes more. */

const askBytes = 17;
const answerFloorBytes = 9;

const questionNumbers = { renew: 1, timeToLive: 2 } as const;
const outcomeNumbers = { alive: 1, missing: 2, retry: 3 } as const;

/** An upper bound of the size without the kind of frame. */
export function leaseNoteSizeLimit(note: LeaseNote): number {
  const items = note.kind === 'leaseAsks' ? note.asks.length : note.answers.length;
  return 8 + items * 17;
}

export function writeLeaseAsks(writer: FrameWriter, asks: readonly LeaseAsk[]): void {
  writer.integer(asks.length);
  for (const { number, question, lease } of asks) {
    writer.uint64(number);
    writer.byte(questionNumbers[question]);
    writer.uint64(BigInt.asUintN(64, lease));
  }
}

export function readLeaseAsks(reader: FrameReader): LeaseAsk[] {
  return readItems(reader, askBytes, () => {
    const number = reader.uint64();
    const kind = reader.byte();
    if (kind !== questionNumbers.renew && kind !== questionNumbers.timeToLive) {
      throw new PeerProtocolError(`unknown question ${kind} about a lease`);
    }
    const question = kind === questionNumbers.renew ? 'renew' : 'timeToLive';
    return { number, question, lease: BigInt.asIntN(64, reader.uint64()) };
  });
}

export function writeLeaseAnswers(writer: FrameWriter, answers: readonly NumberedAnswer[]): void {
  writer.integer(answers.length);
  for (const { number, answer } of answers) {
    writer.uint64(number);
    writer.byte(outcomeNumbers[answer.outcome]);
    if (answer.outcome === 'alive') writer.integer(answer.seconds);
  }
}

export function readLeaseAnswers(reader: FrameReader): NumberedAnswer[] {
  return readItems(reader, answerFloorBytes, () => {
    const number = reader.uint64();
    return { number, answer: readAnswer(reader) };
  });
}

function readAnswer(reader: FrameReader): LeaseAnswer {
  const outcome = reader.byte();
  switch (outcome) {
    case outcomeNumbers.alive:
      return { outcome: 'alive', seconds: reader.integer() };
    case outcomeNumbers.missing:
      return { outcome: 'missing' };
    case outcomeNumbers.retry:
      return { outcome: 'retry' };
    default:
      throw new PeerProtocolError(`unknown outcome ${outcome} about a lease`);
  }
}

function readItems<Item>(reader: FrameReader, floorBytes: number, read: () => Item): Item[] {
  const count = reader.count(floorBytes);
  if (count > leaseNoteItemsMax) throw new PeerProtocolError(`${count} items in a note`);
  return Array.from({ length: count }, read);
}
