/** What members say to each other: one type per kind, told apart by `type`. */
import type { Entry, MemberId, SnapshotMetadata } from './types.ts';

/**
 * Fields of every message. `term` is the sender's, except in pre-votes (the term it would start)
 * and in `propose` and `readIndex`, where it is 0.
 */
interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: number;
}

/** A follower hands entries to the leader; index and term of the entries are not yet set. */
export interface ProposeMessage extends Envelope {
  readonly type: 'propose';
  readonly entries: readonly Entry[];
}

/** AppendEntries (Raft figure 2). `index` and `logTerm` name the entry before `entries`. */
export interface AppendMessage extends Envelope {
  readonly type: 'append';
  readonly index: number;
  readonly logTerm: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
}

/**
 * `index` is the last index known to match or, if `reject`, the refused one; then `rejectHint` and
 * `logTerm` speed up the search for a match.
 */
export interface AppendResponseMessage extends Envelope {
  readonly type: 'appendResponse';
  readonly index: number;
  readonly reject: boolean;
  readonly rejectHint: number;
  readonly logTerm: number;
}

/**
 * RequestVote. `index` and `logTerm` name the candidate's last entry; `transfer` overrides the
 * lease check (dissertation 4.2.3).
 */
export interface VoteMessage extends Envelope {
  readonly type: 'vote' | 'preVote';
  readonly index: number;
  readonly logTerm: number;
  readonly transfer: boolean;
}

export interface VoteResponseMessage extends Envelope {
  readonly type: 'voteResponse' | 'preVoteResponse';
  readonly reject: boolean;
}

/**
 * Up to the entry of `index` and `logTerm`, the receiver's log is committed if it holds that entry.
 * Told by a leader to a follower that holds everything, in place of an append that would have to be
 * answered, and by whoever refuses a vote to the candidate: that may not know, and wait for the
 * vote of a member that these entries remove.
 */
export interface CommittedMessage extends Envelope {
  readonly type: 'committed';
  readonly index: number;
  readonly logTerm: number;
}

/**
 * A snapshot is needed or, at the receiver, has been received whole and can be installed. The host
 * moves its contents.
 */
export interface SnapshotMessage extends Envelope {
  readonly type: 'snapshot';
  readonly snapshot: SnapshotMetadata;
}

/** `context` numbers the leader's rounds of heartbeats within its term, from 1. */
export interface HeartbeatMessage extends Envelope {
  readonly type: 'heartbeat';
  readonly commit: number;
  readonly context: bigint;
}

/**
 * Confirms that the leader was not deposed, as far as the sender knew, when round `context` began.
 */
export interface HeartbeatResponseMessage extends Envelope {
  readonly type: 'heartbeatResponse';
  readonly context: bigint;
}

/** Leadership transfer: campaign at once (dissertation 3.10). */
export interface TimeoutNowMessage extends Envelope {
  readonly type: 'timeoutNow';
}

/** A member asks the leader to hand over to `transferee`. */
export interface TransferLeaderMessage extends Envelope {
  readonly type: 'transferLeader';
  readonly transferee: MemberId;
}

/**
 * A follower asks the leader for a read index (dissertation 6.4). `context` is never 0 and never
 * reused.
 */
export interface ReadIndexMessage extends Envelope {
  readonly type: 'readIndex';
  readonly context: bigint;
}

export interface ReadIndexResponseMessage extends Envelope {
  readonly type: 'readIndexResponse';
  readonly index: number;
  readonly context: bigint;
}

export type Message =
  | ProposeMessage
  | AppendMessage
  | AppendResponseMessage
  | VoteMessage
  | VoteResponseMessage
  | CommittedMessage
  | SnapshotMessage
  | HeartbeatMessage
  | HeartbeatResponseMessage
  | TimeoutNowMessage
  | TransferLeaderMessage
  | ReadIndexMessage
  | ReadIndexResponseMessage;
