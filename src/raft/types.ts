/** The nouns of the Raft core. Everything here is plain data. */

/** A member's random 64-bit id. Zero is no member. */
export type MemberId = bigint;
export const noMember: MemberId = 0n;

/** What an entry of the log carries. The numbers are stored on disk and never reused. */
export const EntryKind = { normal: 0, confChange: 1 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** One position of the replicated log (Raft section 5.3). */
export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  /**
   * Opaque to the core for normal entries; an encoded {@link ConfChange} otherwise. Empty for a
   * leader's first entry.
   */
  readonly data: Uint8Array;
}

/**
 * What must be durable before a member answers (Raft figure 2, persistent state), with the commit
 * index as a hint.
 */
export interface HardState {
  readonly term: number;
  readonly vote: MemberId;
  readonly commit: number;
}

/**
 * Membership as of one applied index; `votersOutgoing` is non-empty while in a joint configuration.
 */
export interface ConfState {
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  readonly learners: readonly MemberId[];
  /**
   * Voters of the outgoing configuration that become learners when the joint configuration is left.
   */
  readonly learnersNext: readonly MemberId[];
  readonly autoLeave: boolean;
}

/** What the core must know of a snapshot; its contents belong to the host. */
export interface SnapshotMetadata {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

export const ConfChangeType = { addVoter: 0, remove: 1, update: 2, addLearner: 3 } as const;
export type ConfChangeType = (typeof ConfChangeType)[keyof typeof ConfChangeType];

export interface ConfChangeSingle {
  readonly type: ConfChangeType;
  readonly member: MemberId;
}

/**
 * How a change is made: `auto` uses a joint configuration only where more than one voter changes
 * and leaves it by itself; `jointImplicit` always goes through one and leaves it by itself;
 * `jointExplicit` stays in it until an empty change is proposed.
 */
export const ConfChangeTransition = { auto: 0, jointImplicit: 1, jointExplicit: 2 } as const;
export type ConfChangeTransition = (typeof ConfChangeTransition)[keyof typeof ConfChangeTransition];

/**
 * A change of membership (Raft dissertation, chapter 4). Without changes: leave the joint
 * configuration.
 */
export interface ConfChange {
  readonly transition: ConfChangeTransition;
  readonly changes: readonly ConfChangeSingle[];
  /** The host's own data, e.g. the member's addresses. */
  readonly context: Uint8Array;
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** Volatile facts that a host shows or routes by; never persisted. */
export interface SoftState {
  readonly leader: MemberId;
  readonly role: Role;
}
