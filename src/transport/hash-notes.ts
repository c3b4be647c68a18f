/**
 * How members compare what they made of the log (`server/state-check.ts`): digests of the hashes
 * that the state had after each entry of a range. They travel beside Raft's messages and are as
 * unreliable; each says again what an earlier one said, or more.
 */
import type { DigestHalves } from '../mvcc/state-digest.ts';
import { PeerProtocolError, type FrameReader, type FrameWriter } from './wire.ts';

/** A digest of the hashes from some index to `to`, both included. */
export interface DigestUpTo extends DigestHalves {
  readonly to: number;
}

export type HashNote =
  /** To the leader: what came of the entries from `from` on. */
  | {
      readonly kind: 'hashReport';
      /** Number of the algorithm; hashes of different ones are not compared. */
      readonly algorithm: number;
      readonly from: number;
      readonly digest: DigestUpTo;
      /** The sender knows that its state deviates. */
      readonly deviates: boolean;
    }
  /** From the leader: up to `to` both have the same. */
  | { readonly kind: 'hashAgreed'; readonly to: number; readonly certain: boolean }
  /** From the leader: what has the state's hashes from `from` to each of `tos`? */
  | {
      readonly kind: 'hashAsks';
      readonly algorithm: number;
      readonly from: number;
      readonly tos: readonly number[];
    }
  /** Without digests: not known any more. */
  | {
      readonly kind: 'hashAnswers';
      readonly from: number;
      readonly digests: readonly DigestUpTo[];
    }
  /**
   * From the leader to the member with this digest: yours is wrong, from entry `first` on; or,
   * where no majority tells who is wrong, it may be.
   */
  | {
      readonly kind: 'hashVerdict';
      readonly from: number;
      readonly digest: DigestUpTo;
      readonly first: number;
      readonly certain: boolean;
    };

/** Indexes or digests in one note. */
export const hashNoteItemsMax = 64;

const kindNumbers = {
  hashReport: 1,
  hashAgreed: 2,
  hashAsks: 3,
  hashAnswers: 4,
  hashVerdict: 5,
} as const satisfies Record<HashNote['kind'], number>;

/** An integer of one byte and two halves. */
const digestFloorBytes = 9;
const digestLimitBytes = 16;

/** An upper bound of the size without the kind of frame. */
export function hashNoteSizeLimit(note: HashNote): number {
  const fixed = 4 + 4 * 8 + digestLimitBytes;
  if (note.kind === 'hashAsks') return fixed + note.tos.length * 8;
  return note.kind === 'hashAnswers' ? fixed + note.digests.length * digestLimitBytes : fixed;
}

export function writeHashNote(writer: FrameWriter, note: HashNote): void {
  writer.byte(kindNumbers[note.kind]);
  switch (note.kind) {
    case 'hashReport':
      writer.byte(note.algorithm);
      writer.integer(note.from);
      writeDigest(writer, note.digest);
      writer.byte(note.deviates ? 1 : 0);
      return;
    case 'hashAgreed':
      writer.integer(note.to);
      writer.byte(note.certain ? 1 : 0);
      return;
    case 'hashAsks':
      writer.byte(note.algorithm);
      writer.integer(note.from);
      writer.integer(note.tos.length);
      for (const to of note.tos) writer.integer(to);
      return;
    case 'hashAnswers':
      writer.integer(note.from);
      writer.integer(note.digests.length);
      for (const digest of note.digests) writeDigest(writer, digest);
      return;
    case 'hashVerdict':
      writer.integer(note.from);
      writeDigest(writer, note.digest);
      writer.integer(note.first);
      writer.byte(note.certain ? 1 : 0);
  }
}

export function readHashNote(reader: FrameReader): HashNote {
  const kind = reader.byte();
  switch (kind) {
    case kindNumbers.hashReport: {
      const algorithm = reader.byte();
      const from = reader.integer();
      const digest = readDigest(reader);
      return { kind: 'hashReport', algorithm, from, digest, deviates: reader.flag() };
    }
    case kindNumbers.hashAgreed:
      return { kind: 'hashAgreed', to: reader.integer(), certain: reader.flag() };
    case kindNumbers.hashAsks: {
      const algorithm = reader.byte();
      const from = reader.integer();
      const tos = readItems(reader, 1, () => reader.integer());
      return { kind: 'hashAsks', algorithm, from, tos };
    }
    case kindNumbers.hashAnswers: {
      const from = reader.integer();
      const digests = readItems(reader, digestFloorBytes, () => readDigest(reader));
      return { kind: 'hashAnswers', from, digests };
    }
    case kindNumbers.hashVerdict: {
      const from = reader.integer();
      const digest = readDigest(reader);
      const first = reader.integer();
      return { kind: 'hashVerdict', from, digest, first, certain: reader.flag() };
    }
    default:
      throw new PeerProtocolError(`unknown note ${kind} about hashes of the state`);
  }
}

function writeDigest(writer: FrameWriter, { to, high, low }: DigestUpTo): void {
  writer.integer(to);
  writer.uint32(high);
  writer.uint32(low);
}

function readDigest(reader: FrameReader): DigestUpTo {
  return { to: reader.integer(), high: reader.uint32(), low: reader.uint32() };
}

function readItems<Item>(reader: FrameReader, floorBytes: number, read: () => Item): Item[] {
  const count = reader.count(floorBytes);
  if (count > hashNoteItemsMax) throw new PeerProtocolError(`${count} items in a note`);
  return Array.from({ length: count }, read);
}
