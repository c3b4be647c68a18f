/**
 * What travels on a stream between two members, one frame per gRPC message.
 *
 * The receiver of messages dials and says `hello`; the sender answers `welcome` or `refused` and
 * from then on sends `batch`es on it. A snapshot is announced by an `offer` on the control stream;
 * the receiver dials a stream for it, which carries `begin`, `chunk`s and `end`, and answers with a
 * `result`. From version 2 on, members introduce themselves on the control stream; from version 3
 * on, questions about leases and their answers go there too; from version 4 on, refusals of changes
 * of membership; from version 5 on, comparisons of the state's hashes; from version 6 on, a member
 * that was added hears who its witnesses are. Either end sends a `ping` when it has had nothing to
 * say for a while.
 *
 * The first bytes of `hello` and the whole of `refused` keep their form for ever, so that members
 * of different versions can tell each other why they do not talk.
 */
import { PEER_PROTOCOL, WITNESS_PROTOCOL } from '../base/versions.ts';
import type { Introduction } from '../cluster/founding.ts';
import type { MemberId, Message, SnapshotMetadata } from '../raft/index.ts';
import {
  changeNoteBytes,
  readChangeNote,
  writeChangeNote,
  type ChangeNote,
} from './change-notes.ts';
import {
  messageSizeLimit,
  metadataSizeLimit,
  readMessages,
  readMetadata,
  writeMessages,
  writeMetadata,
} from './codec.ts';
import { hashNoteSizeLimit, readHashNote, writeHashNote, type HashNote } from './hash-notes.ts';
import {
  leaseNoteSizeLimit,
  readLeaseAnswers,
  readLeaseAsks,
  writeLeaseAnswers,
  writeLeaseAsks,
  type LeaseNote,
} from './lease-notes.ts';
import { FrameReader, FrameWriter, PeerProtocolError, integerSizeLimitBytes } from './wire.ts';

/** The newest protocol this program speaks. */
export const protocolVersion = PEER_PROTOCOL;
/** From this protocol on, a member says in its hello where it is found. */
const peerUrlsProtocolVersion = 5;
/** From this protocol on, members compare the hashes of their states. */
const hashProtocolVersion = 5;
/** From this protocol on, leaders tell why they refuse changes of membership. */
const changeProtocolVersion = 4;
/** From this protocol on, members ask their leader about leases. */
const leaseProtocolVersion = 3;
/** The oldest protocol this program still speaks. */
export const oldestProtocolVersion = 1;
/** The oldest protocol with introductions. */
export const introductionVersion = 2;

/** "QRT" and a zero: a stranger on the port is told apart at the first bytes. */
const magic = 0x00_54_52_51;

export const frameKinds = {
  hello: 1,
  welcome: 2,
  refused: 3,
  batch: 4,
  ping: 5,
  offer: 6,
  begin: 7,
  chunk: 8,
  end: 9,
  result: 10,
  introduction: 11,
  leaseAsks: 12,
  leaseAnswers: 13,
  changeRefused: 14,
  stateHashes: 15,
  witnessedIntroduction: 16,
} as const;

/** Streams of different channels use different connections, so that none waits behind another. */
export const channelNumbers = { control: 1, append: 2, snapshot: 3 } as const;
export type Channel = keyof typeof channelNumbers;

const channelsByNumber: readonly (Channel | undefined)[] = [
  undefined,
  'control',
  'append',
  'snapshot',
];

export interface Hello {
  readonly kind: 'hello';
  readonly version: number;
  readonly oldestVersion: number;
  readonly cluster: bigint;
  readonly from: MemberId;
  readonly to: MemberId;
  /** Random number of the dialling process. */
  readonly incarnation: bigint;
  /** Counts the dials of that process; the younger stream of a channel replaces the older. */
  readonly session: number;
  readonly channel: Channel;
  /** The offer that a snapshot stream answers, otherwise 0. */
  readonly transfer: number;
  /** Where the cluster finds the dialling member, for one that does not know it yet. */
  readonly peerUrls: readonly string[];
}

export interface Welcome {
  readonly kind: 'welcome';
  /** The version both will speak. */
  readonly version: number;
  /** Random number of the serving process; members of earlier versions keep numbers by it. */
  readonly incarnation: bigint;
}

/** Why a stream was refused. The numbers are part of the protocol. */
export const refusals = {
  version: 1,
  cluster: 2,
  notMe: 3,
  unknownMember: 4,
  stale: 5,
  noSnapshot: 6,
  malformed: 7,
  /** The dialling member was removed, for ever, and the other will not forget it. */
  removed: 8,
} as const;

export interface Refused {
  readonly kind: 'refused';
  readonly code: number;
  readonly text: string;
}

export interface Batch {
  readonly kind: 'batch';
  /**
   * Number of the first message; the serving process counts the messages of each channel from 1.
   */
  readonly sequence: number;
  readonly messages: readonly Message[];
}

export interface Offer {
  readonly kind: 'offer';
  readonly transfer: number;
}

export interface Begin {
  readonly kind: 'begin';
  /** Term of the Raft message that the snapshot stands for. */
  readonly term: number;
  readonly metadata: SnapshotMetadata;
}

export interface Chunk {
  readonly kind: 'chunk';
  /** False for all but the last piece of a chunk that was too large for one frame. */
  readonly last: boolean;
  /** CRC-32 of everything sent so far, this piece included. */
  readonly digest: number;
  readonly bytes: Uint8Array;
}

export interface End {
  readonly kind: 'end';
  readonly sizeBytes: number;
  readonly digest: number;
}

export interface Result {
  readonly kind: 'result';
  readonly ok: boolean;
  readonly text: string;
}

export interface Introduced {
  readonly kind: 'introduction';
  readonly introduction: Introduction;
}

export type Frame =
  | Hello
  | Welcome
  | Refused
  | Batch
  | { readonly kind: 'ping' }
  | Offer
  | Begin
  | Chunk
  | End
  | Result
  | Introduced
  | PeerNote;

/** What members tell each other beside Raft's messages. */
export type PeerNote = LeaseNote | ChangeNote | HashNote;

export function isNote(frame: Frame): frame is PeerNote {
  const { kind } = frame;
  const other = kind === 'leaseAsks' || kind === 'leaseAnswers' || kind === 'changeRefused';
  return other || isHashNote(frame);
}

export function isHashNote(frame: Frame): frame is HashNote {
  return frame.kind.startsWith('hash');
}

/** The oldest protocol that knows a note. */
export function protocolOf(note: PeerNote): number {
  if (isHashNote(note)) return hashProtocolVersion;
  return note.kind === 'changeRefused' ? changeProtocolVersion : leaseProtocolVersion;
}

export const pingFrame: Uint8Array = Uint8Array.of(frameKinds.ping);

export function encodeHello(hello: Omit<Hello, 'kind'>): Uint8Array {
  const textBytes = hello.peerUrls.reduce((sum, url) => sum + textSizeLimit(url), 0);
  const writer = new FrameWriter(64 + 3 * integerSizeLimitBytes + textBytes);
  writer.byte(frameKinds.hello);
  writer.uint32(magic);
  writer.uint16(hello.version);
  writer.uint16(hello.oldestVersion);
  writer.uint64(hello.cluster);
  writer.uint64(hello.from);
  writer.uint64(hello.to);
  writer.uint64(hello.incarnation);
  writer.integer(hello.session);
  writer.byte(channelNumbers[hello.channel]);
  writer.integer(hello.transfer);
  if (hello.version >= peerUrlsProtocolVersion) {
    writer.integer(hello.peerUrls.length);
    for (const url of hello.peerUrls) writer.text(url);
  }
  return writer.finish();
}

/** The most bytes that a text takes: a length, and three for each unit of UTF-16. */
function textSizeLimit(text: string): number {
  return integerSizeLimitBytes + 3 * text.length;
}

/** A version range is read even where the rest has a form that this program does not know. */
function readHello(reader: FrameReader): Hello {
  if (reader.uint32() !== magic) throw new PeerProtocolError('not a member of a cluster');
  const version = reader.uint16();
  const oldestVersion = reader.uint16();
  const cluster = reader.uint64();
  const from = reader.uint64();
  const to = reader.uint64();
  const head = { kind: 'hello', version, oldestVersion, cluster, from, to } as const;
  if (oldestVersion > protocolVersion) {
    reader.rest();
    return { ...head, incarnation: 0n, session: 0, channel: 'control', transfer: 0, peerUrls: [] };
  }
  const incarnation = reader.uint64();
  const session = reader.integer();
  const channel = channelsByNumber[reader.byte()];
  if (channel === undefined) throw new PeerProtocolError('unknown channel');
  const transfer = reader.integer();
  const peerUrls: string[] = [];
  if (version >= peerUrlsProtocolVersion) {
    for (let count = reader.count(1); count > 0; count--) peerUrls.push(reader.text());
  }
  if (version > protocolVersion) reader.rest();
  return { ...head, incarnation, session, channel, transfer, peerUrls };
}

export function encodeWelcome(version: number, incarnation: bigint): Uint8Array {
  const writer = new FrameWriter(11);
  writer.byte(frameKinds.welcome);
  writer.uint16(version);
  writer.uint64(incarnation);
  return writer.finish();
}

export function encodeRefused(code: number, text: string): Uint8Array {
  const writer = new FrameWriter(2 + integerSizeLimitBytes + 3 * text.length);
  writer.byte(frameKinds.refused);
  writer.byte(code);
  writer.text(text);
  return writer.finish();
}

export function encodeBatch(sequence: number, messages: readonly Message[]): Uint8Array {
  let size = 1 + 2 * integerSizeLimitBytes;
  for (const message of messages) size += messageSizeLimit(message);
  const writer = new FrameWriter(size);
  writer.byte(frameKinds.batch);
  writer.integer(sequence);
  writeMessages(writer, messages);
  return writer.finish();
}

export function encodeOffer(transfer: number): Uint8Array {
  const writer = new FrameWriter(1 + integerSizeLimitBytes);
  writer.byte(frameKinds.offer);
  writer.integer(transfer);
  return writer.finish();
}

export function encodeNote(note: PeerNote): Uint8Array {
  if (note.kind === 'changeRefused') {
    const change = new FrameWriter(1 + changeNoteBytes);
    change.byte(frameKinds.changeRefused);
    writeChangeNote(change, note);
    return change.finish();
  }
  if (isHashNote(note)) {
    const hashes = new FrameWriter(1 + hashNoteSizeLimit(note));
    hashes.byte(frameKinds.stateHashes);
    writeHashNote(hashes, note);
    return hashes.finish();
  }
  const writer = new FrameWriter(1 + leaseNoteSizeLimit(note));
  writer.byte(frameKinds[note.kind]);
  if (note.kind === 'leaseAsks') writeLeaseAsks(writer, note.asks);
  else writeLeaseAnswers(writer, note.answers);
  return writer.finish();
}

export function encodeBegin(term: number, metadata: SnapshotMetadata): Uint8Array {
  const writer = new FrameWriter(1 + integerSizeLimitBytes + metadataSizeLimit(metadata));
  writer.byte(frameKinds.begin);
  writer.integer(term);
  writeMetadata(writer, metadata);
  return writer.finish();
}

export function encodeChunk(last: boolean, digest: number, bytes: Uint8Array): Uint8Array {
  const writer = new FrameWriter(6 + bytes.length);
  writer.byte(frameKinds.chunk);
  writer.byte(last ? 1 : 0);
  writer.uint32(digest);
  writer.raw(bytes);
  return writer.finish();
}

export function encodeEnd(sizeBytes: number, digest: number): Uint8Array {
  const writer = new FrameWriter(5 + integerSizeLimitBytes);
  writer.byte(frameKinds.end);
  writer.integer(sizeBytes);
  writer.uint32(digest);
  return writer.finish();
}

export function encodeResult(ok: boolean, text: string): Uint8Array {
  const writer = new FrameWriter(2 + integerSizeLimitBytes + 3 * text.length);
  writer.byte(frameKinds.result);
  writer.byte(ok ? 1 : 0);
  writer.text(text);
  return writer.finish();
}

/** @param protocol of the stream: older ones know nothing of witnesses */
export function encodeIntroduction(introduction: Introduction, protocol: number): Uint8Array {
  const { life, takesPart, asks, noted, early, announced } = introduction;
  const witnesses = protocol >= WITNESS_PROTOCOL ? introduction.witnesses : nobody;
  const writer = new FrameWriter(21 + 2 * integerSizeLimitBytes + 9 * witnesses.ids.length);
  const isWitnessed = witnesses.ids.length > 0;
  writer.byte(isWitnessed ? frameKinds.witnessedIntroduction : frameKinds.introduction);
  writer.uint64(life);
  writer.byte(takesPart ? 1 : 0);
  writer.byte(asks ? 1 : 0);
  writer.uint64(noted);
  writer.byte(early ? 1 : 0);
  writer.byte(announced ? 1 : 0);
  if (isWitnessed) {
    writer.integer(witnesses.spare);
    writer.integer(witnesses.ids.length);
    for (const each of witnesses.ids) {
      writer.uint64(each);
      writer.byte(witnesses.removed.includes(each) ? 1 : 0);
    }
  }
  return writer.finish();
}

function readIntroduction(reader: FrameReader, isWitnessed: boolean): Introduction {
  return {
    life: reader.uint64(),
    takesPart: reader.flag(),
    asks: reader.flag(),
    noted: reader.uint64(),
    early: reader.flag(),
    announced: reader.flag(),
    witnesses: isWitnessed ? readWitnesses(reader) : nobody,
  };
}

const nobody: Introduction['witnesses'] = { ids: [], spare: 0, removed: [] };

function readWitnesses(reader: FrameReader): Introduction['witnesses'] {
  const spare = reader.integer();
  const count = reader.integer();
  if (count === 0) throw new PeerProtocolError('an introduction that lacks its witnesses');
  const ids: MemberId[] = [];
  const removed: MemberId[] = [];
  while (ids.length < count) {
    const id = reader.uint64();
    ids.push(id);
    if (reader.flag()) removed.push(id);
  }
  return { ids, spare, removed };
}

/** Reads one frame that `from` sent to `to`; throws {@link PeerProtocolError}. */
export function decodeFrame(bytes: Uint8Array, from: MemberId, to: MemberId): Frame {
  const reader = new FrameReader(bytes);
  const frame = readFrame(reader, from, to);
  reader.end();
  return frame;
}

function readFrame(reader: FrameReader, from: MemberId, to: MemberId): Frame {
  const kind = reader.byte();
  switch (kind) {
    case frameKinds.hello:
      return readHello(reader);
    case frameKinds.welcome:
      return { kind: 'welcome', version: reader.uint16(), incarnation: reader.uint64() };
    case frameKinds.refused:
      return { kind: 'refused', code: reader.byte(), text: reader.text() };
    case frameKinds.batch: {
      const sequence = reader.integer();
      return { kind: 'batch', sequence, messages: readMessages(reader, from, to) };
    }
    case frameKinds.ping:
      return { kind: 'ping' };
    case frameKinds.offer:
      return { kind: 'offer', transfer: reader.integer() };
    case frameKinds.begin: {
      const term = reader.integer();
      const metadata = readMetadata(reader);
      const { index, term: lastTerm } = metadata;
      if (index < 1 || lastTerm < 1 || lastTerm > term) {
        throw new PeerProtocolError(`snapshot of ${index} in term ${lastTerm}, sent in ${term}`);
      }
      return { kind: 'begin', term, metadata };
    }
    case frameKinds.chunk: {
      const last = reader.flag();
      const digest = reader.uint32();
      return { kind: 'chunk', last, digest, bytes: reader.rest() };
    }
    case frameKinds.end:
      return { kind: 'end', sizeBytes: reader.integer(), digest: reader.uint32() };
    case frameKinds.result:
      return { kind: 'result', ok: reader.flag(), text: reader.text() };
    case frameKinds.introduction:
      return { kind: 'introduction', introduction: readIntroduction(reader, false) };
    case frameKinds.witnessedIntroduction:
      return { kind: 'introduction', introduction: readIntroduction(reader, true) };
    case frameKinds.leaseAsks:
      return { kind: 'leaseAsks', asks: readLeaseAsks(reader) };
    case frameKinds.leaseAnswers:
      return { kind: 'leaseAnswers', answers: readLeaseAnswers(reader) };
    case frameKinds.changeRefused:
      return readChangeNote(reader);
    case frameKinds.stateHashes:
      return readHashNote(reader);
    default:
      throw new PeerProtocolError(`unknown kind of frame ${kind}`);
  }
}
