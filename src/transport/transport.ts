/** How members exchange messages; the driver sees only this. */
import type { Introduction } from '../cluster/founding.ts';
import type { Message, MemberId, SnapshotMetadata } from '../raft/index.ts';
import type { PeerNote } from './frames.ts';

export interface PeerAddress {
  readonly id: MemberId;
  readonly peerUrls: readonly string[];
}

/**
 * Contents of a snapshot on its way out: batches of key-value pairs of the state database, in key
 * order.
 */
export interface SnapshotSource {
  /** What the view holds; may be newer than what was asked for. */
  readonly metadata: SnapshotMetadata;
  /** Reads the next chunk; undefined at the end. */
  next(done: (error: Error | undefined, chunk: Uint8Array | undefined) => void): void;
  close(): void;
}

/** Where a received snapshot goes: a new state directory. */
export interface SnapshotSink {
  /** Takes one chunk; `done` when the next may come. */
  write(chunk: Uint8Array, done: (error: Error | undefined) => void): void;
  /** All chunks came and the digest matched: make everything durable. */
  finish(done: (error: Error | undefined) => void): void;
  /** The transfer failed; remove what was written. */
  abort(): void;
}

/** What the transport asks of and tells its member. */
export interface TransportHandlers {
  /** Messages from one peer, in the order in which it sent them. */
  receive(messages: readonly Message[]): void;
  /** `member` says who it is. */
  introduced(member: MemberId, introduction: Introduction): void;
  /** A note from one peer; it may have been lost before, or come twice. */
  note(member: MemberId, note: PeerNote): void;
  /** Whether a member was removed for ever. */
  isRemoved(member: MemberId): boolean;
  /** Whether this member will not forget that: only then is the removed one told when it dials. */
  remembersRemoval(): boolean;
  /** The oldest protocol that the members have agreed to speak; older members are refused. */
  oldestProtocol(): number;
  /** Another member says that this one was removed, and will not forget it. */
  removed(by: MemberId): void;
  /** A message to `member` could not be sent; the leader slows down its appends. */
  unreachable(member: MemberId): void;
  /** A snapshot stream to `member` ended. */
  snapshotStatus(member: MemberId, ok: boolean): void;
  /** Opens a view for sending to `member`; undefined if there is nothing to send. */
  openSnapshot(member: MemberId): SnapshotSource | undefined;
  /**
   * A snapshot from `member` begins. `held` says that all it covers is here: the transfer has
   * succeeded. Undefined refuses it (e.g. one is under way).
   */
  receiveSnapshot(member: MemberId, metadata: SnapshotMetadata): SnapshotSink | 'held' | undefined;
}

/**
 * Unreliable, ordered per peer and channel, bounded: past a limit messages are dropped, which
 * Raft stands. `propose` messages are delivered at most once per send.
 */
export interface Transport {
  /**
   * Starts to serve and dial; `handlers` may be called from now on, never from within a call of
   * `send`.
   */
  start(handlers: TransportHandlers): void;
  /** The members, this one too where it is one; connections to others are closed. */
  setPeers(peers: readonly PeerAddress[]): void;
  /** Queues messages by their `to`. Snapshot messages start a stream. */
  send(messages: readonly Message[]): void;
  /** Says to `to` who this member is; lost if `to` cannot be reached or does not understand it. */
  introduce(to: MemberId, introduction: Introduction): void;
  /**
   * Sends a note beside the messages. False if it cannot be sent: there is no connection, too much
   * waits, or the member's version does not know such notes.
   */
  sendNote(to: MemberId, note: PeerNote): boolean;
  /** The newest protocol that `member` speaks, as it said last; undefined if it never did. */
  protocolOf(member: MemberId): number | undefined;
  /** Monotonic milliseconds at which `member` was last heard of, undefined if never. */
  lastHeardMs(member: MemberId): number | undefined;
  /**
   * Live streams exist in both directions: what is sent now is likely to arrive, and an answer to
   * return.
   */
  connected(member: MemberId): boolean;
  stop(done: () => void): void;
}
