/** What the core asks its host to do. Pure data; the host owns all I/O. */
import type { Message } from './message.ts';
import type {
  ConfState,
  Entry,
  HardState,
  MemberId,
  Role,
  SnapshotMetadata,
  SoftState,
} from './types.ts';

/**
 * Returned by the host when a write is durable. Acknowledgements for entries that were overwritten
 * meanwhile are ignored.
 */
export interface PersistAck {
  /** Number of the write, from 1. Acknowledging a write acknowledges all earlier ones too. */
  readonly sequence: number;
  /** The member's term when the write was asked for. */
  readonly term: number;
  /** Last entry of the write, 0 if it had none. */
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Index of the snapshot in the write, 0 if none. */
  readonly snapshotIndex: number;
}

/**
 * One batch to make durable, in the order in which Readies were taken. A later batch may overwrite
 * entries of an earlier one from its first index on.
 */
export interface Persist {
  /** Present if it changed in a way that must be durable (term or vote) or commit moved. */
  readonly hardState: HardState | undefined;
  /**
   * The write must be synced before its messages are sent and it is acknowledged. False only if the
   * commit index alone changed.
   */
  readonly mustSync: boolean;
  readonly entries: readonly Entry[];
  /** Install before the entries: the host has received its contents already. */
  readonly snapshot: SnapshotMetadata | undefined;
  /** Send these to other members once the batch is durable, not before. */
  readonly messages: readonly Message[];
  readonly ack: PersistAck;
}

/** A linearizable read may be served once `index` is applied. */
export interface ReadState {
  readonly index: number;
  readonly context: bigint;
}

/**
 * Work for the host, taken with `RawNode.ready()`; each piece is handed out once.
 *
 * The host sends `messages` at once (`committed` may wait, see README.md), makes `persist` durable
 * (Readies in order, several may be merged into one write), then sends its messages and calls
 * `RawNode.persisted(ack)`; it applies `committedEntries` in order and calls
 * `RawNode.applied(index)`. A new Ready may be taken while earlier writes are still under way.
 */
export interface Ready {
  /** Present if it changed. */
  readonly softState: SoftState | undefined;
  readonly messages: readonly Message[];
  readonly persist: Persist | undefined;
  /** Committed and durable here: index at most min(commit, last acknowledged write). */
  readonly committedEntries: readonly Entry[];
  readonly readStates: readonly ReadState[];
  /**
   * Contexts of reads that were dropped (leader lost or changed); the host may ask again under a
   * new context.
   */
  readonly droppedReads: readonly bigint[];
}

/** Why a proposal was not taken. Nothing was appended or sent. */
export type ProposalRefusal =
  | 'noLeader'
  | 'transferring'
  | 'uncommittedLimit'
  | 'forwardingDisabled'
  | 'removed'
  /** An earlier change of membership is not applied yet, or this term has committed nothing yet. */
  | 'confChangePending'
  /** The change makes no sense in the present configuration. */
  | 'confChangeInvalid';

/** A follower's standing in the eyes of the leader; for status answers. */
export interface ProgressStatus {
  readonly member: MemberId;
  readonly match: number;
  readonly next: number;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly recentActive: boolean;
  readonly learner: boolean;
  readonly pendingSnapshot: number;
}

/** What a host shows of the member. */
export interface RaftStatus {
  readonly id: MemberId;
  readonly term: number;
  readonly vote: MemberId;
  readonly leader: MemberId;
  readonly role: Role;
  readonly isLearner: boolean;
  /** It lost entries and does not vote or lead until it has them again. */
  readonly abstains: boolean;
  readonly lastIndex: number;
  readonly durable: number;
  readonly committed: number;
  readonly applied: number;
  /** The member that leadership is being handed to, if any. */
  readonly transferee: MemberId;
  readonly confState: ConfState;
  /** Known to a leader only, in ascending order of ids. */
  readonly progress: readonly ProgressStatus[];
}
