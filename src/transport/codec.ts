/**
 * Raft messages as bytes. Sender and receiver are those of the stream, so a message carries neither
 * and a peer cannot speak in another's name. The numbers of the types are part of the protocol:
 * they are never reused, and a change of a type's fields needs a new protocol version.
 */
import { unreachable } from '../base/assert.ts';
import { COMMITTED_PROTOCOL } from '../base/versions.ts';
import type {
  ConfState,
  Entry,
  EntryKind,
  MemberId,
  Message,
  SnapshotMetadata,
} from '../raft/index.ts';
import { PeerProtocolError, integerSizeLimitBytes } from './wire.ts';
import type { FrameReader, FrameWriter } from './wire.ts';

const typeNumbers = {
  propose: 1,
  append: 2,
  appendResponse: 3,
  vote: 4,
  preVote: 5,
  voteResponse: 6,
  preVoteResponse: 7,
  snapshot: 8,
  heartbeat: 9,
  heartbeatResponse: 10,
  timeoutNow: 11,
  transferLeader: 12,
  readIndex: 13,
  readIndexResponse: 14,
  committed: 15,
} as const satisfies Record<Message['type'], number>;

const typesByNumber = new Map<number, Message['type']>(
  (Object.keys(typeNumbers) as Message['type'][]).map((type) => [typeNumbers[type], type]),
);

/** The oldest protocol whose members understand a message; to others it is not sent. */
export function protocolOfMessage({ type }: Message): number {
  return type === 'committed' ? COMMITTED_PROTOCOL : 1;
}

/** Upper bound of everything in a message but its entries and its configuration. */
const messageHeadLimitBytes = 1 + 6 * integerSizeLimitBytes;
/** Upper bound of what surrounds an entry's data: index, term, kind and length. */
const entryHeadLimitBytes = 1 + 3 * integerSizeLimitBytes;
/** The least an entry takes: one byte for each of its four fields. */
const entrySizeFloorBytes = 4;
/** The least a message takes: its type and its term. */
const messageSizeFloorBytes = 2;

/** An upper bound of the encoded size, cheap enough to be computed as a message is queued. */
export function messageSizeLimit(message: Message): number {
  if (message.type === 'append' || message.type === 'propose') {
    let size = messageHeadLimitBytes;
    for (const entry of message.entries) size += entryHeadLimitBytes + entry.data.length;
    return size;
  }
  if (message.type === 'snapshot') {
    return messageHeadLimitBytes + metadataSizeLimit(message.snapshot);
  }
  return messageHeadLimitBytes;
}

export function metadataSizeLimit(metadata: SnapshotMetadata): number {
  const { voters, votersOutgoing, learners, learnersNext } = metadata.confState;
  const members = voters.length + votersOutgoing.length + learners.length + learnersNext.length;
  return 1 + 6 * integerSizeLimitBytes + 8 * members;
}

export function writeMessage(writer: FrameWriter, message: Message): void {
  writer.byte(typeNumbers[message.type]);
  writer.integer(message.term);
  switch (message.type) {
    case 'propose':
      writeEntries(writer, message.entries);
      return;
    case 'append':
      writer.integer(message.index);
      writer.integer(message.logTerm);
      writer.integer(message.commit);
      writeEntries(writer, message.entries);
      return;
    case 'appendResponse':
      writer.integer(message.index);
      writer.byte(message.reject ? 1 : 0);
      writer.integer(message.rejectHint);
      writer.integer(message.logTerm);
      return;
    case 'vote':
    case 'preVote':
      writer.integer(message.index);
      writer.integer(message.logTerm);
      writer.byte(message.transfer ? 1 : 0);
      return;
    case 'voteResponse':
    case 'preVoteResponse':
      writer.byte(message.reject ? 1 : 0);
      return;
    case 'committed':
      writer.integer(message.index);
      writer.integer(message.logTerm);
      return;
    case 'snapshot':
      writeMetadata(writer, message.snapshot);
      return;
    case 'heartbeat':
      writer.integer(message.commit);
      writer.uint64(message.context);
      return;
    case 'heartbeatResponse':
    case 'readIndex':
      writer.uint64(message.context);
      return;
    case 'timeoutNow':
      return;
    case 'transferLeader':
      writer.uint64(message.transferee);
      return;
    case 'readIndexResponse':
      writer.integer(message.index);
      writer.uint64(message.context);
      return;
    default:
      return unreachable(message);
  }
}

export function readMessage(reader: FrameReader, from: MemberId, to: MemberId): Message {
  const number = reader.byte();
  const type = typesByNumber.get(number);
  if (type === undefined) throw new PeerProtocolError(`unknown message type ${number}`);
  const term = reader.integer();
  if ((term === 0) !== (type === 'propose' || type === 'readIndex')) {
    throw new PeerProtocolError(`a message of type ${type} in term ${term}`);
  }
  switch (type) {
    case 'propose':
      return { type, from, to, term, entries: readEntries(reader) };
    case 'append': {
      const index = reader.integer();
      const logTerm = reader.integer();
      const commit = reader.integer();
      const entries = readEntries(reader);
      checkOrder(entries, index, logTerm, term);
      return { type, from, to, term, index, logTerm, commit, entries };
    }
    case 'appendResponse': {
      const index = reader.integer();
      const reject = reader.flag();
      const rejectHint = reader.integer();
      return { type, from, to, term, index, reject, rejectHint, logTerm: reader.integer() };
    }
    case 'vote':
    case 'preVote': {
      const index = reader.integer();
      const logTerm = reader.integer();
      return { type, from, to, term, index, logTerm, transfer: reader.flag() };
    }
    case 'voteResponse':
    case 'preVoteResponse':
      return { type, from, to, term, reject: reader.flag() };
    case 'committed': {
      const index = reader.integer();
      return { type, from, to, term, index, logTerm: reader.integer() };
    }
    case 'snapshot':
      return { type, from, to, term, snapshot: readMetadata(reader) };
    case 'heartbeat': {
      const commit = reader.integer();
      return { type, from, to, term, commit, context: reader.uint64() };
    }
    case 'heartbeatResponse':
    case 'readIndex':
      return { type, from, to, term, context: reader.uint64() };
    case 'timeoutNow':
      return { type, from, to, term };
    case 'transferLeader':
      return { type, from, to, term, transferee: reader.uint64() };
    case 'readIndexResponse': {
      const index = reader.integer();
      return { type, from, to, term, index, context: reader.uint64() };
    }
    default:
      return unreachable(type);
  }
}

/** Messages with their number in front. */
export function writeMessages(writer: FrameWriter, messages: readonly Message[]): void {
  writer.integer(messages.length);
  for (const message of messages) writeMessage(writer, message);
}

export function readMessages(reader: FrameReader, from: MemberId, to: MemberId): Message[] {
  const count = reader.count(messageSizeFloorBytes);
  const messages: Message[] = [];
  for (let i = 0; i < count; i++) messages.push(readMessage(reader, from, to));
  return messages;
}

export function writeMetadata(writer: FrameWriter, metadata: SnapshotMetadata): void {
  writer.integer(metadata.index);
  writer.integer(metadata.term);
  const { confState } = metadata;
  writeMembers(writer, confState.voters);
  writeMembers(writer, confState.votersOutgoing);
  writeMembers(writer, confState.learners);
  writeMembers(writer, confState.learnersNext);
  writer.byte(confState.autoLeave ? 1 : 0);
}

export function readMetadata(reader: FrameReader): SnapshotMetadata {
  const index = reader.integer();
  const term = reader.integer();
  const confState: ConfState = {
    voters: readMembers(reader),
    votersOutgoing: readMembers(reader),
    learners: readMembers(reader),
    learnersNext: readMembers(reader),
    autoLeave: reader.flag(),
  };
  return { index, term, confState };
}

function writeEntries(writer: FrameWriter, entries: readonly Entry[]): void {
  writer.integer(entries.length);
  for (const entry of entries) {
    writer.integer(entry.index);
    writer.integer(entry.term);
    writer.byte(entry.kind);
    writer.bytes(entry.data);
  }
}

/** The data of the entries are views of the frame: nothing is copied on the way to the log. */
function readEntries(reader: FrameReader): Entry[] {
  const count = reader.count(entrySizeFloorBytes);
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const index = reader.integer();
    const term = reader.integer();
    const kind = reader.byte();
    if (kind > 1) throw new PeerProtocolError(`unknown kind of entry ${kind}`);
    entries.push({ index, term, kind: kind as EntryKind, data: reader.bytes() });
  }
  return entries;
}

/**
 * The entries of an append follow the one that it names, and their terms rise to the leader's at
 * most. The core relies on it: a gap would put entries in places that are not theirs.
 */
function checkOrder(
  entries: readonly Entry[],
  index: number,
  logTerm: number,
  leaderTerm: number,
): void {
  let lastIndex = index;
  // Term 0 is that of no entry, only of the place before the first.
  let lastTerm = Math.max(logTerm, 1);
  for (const entry of entries) {
    lastIndex++;
    if (entry.index !== lastIndex || entry.term < lastTerm || entry.term > leaderTerm) {
      throw new PeerProtocolError(
        `entry ${entry.index} of term ${entry.term} in the place of ${lastIndex}, ` +
          `after one of term ${lastTerm}, from a leader of term ${leaderTerm}`,
      );
    }
    lastTerm = entry.term;
  }
}

function writeMembers(writer: FrameWriter, members: readonly MemberId[]): void {
  writer.integer(members.length);
  for (const member of members) writer.uint64(member);
}

function readMembers(reader: FrameReader): MemberId[] {
  const count = reader.count(8);
  const members: MemberId[] = [];
  for (let i = 0; i < count; i++) members.push(reader.uint64());
  return members;
}
