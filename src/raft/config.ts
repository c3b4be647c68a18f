/** Options of the core, with etcd-io/raft's meaning. All times in ticks, all sizes in bytes. */
import type { LogStorage } from './storage.ts';
import type { MemberId } from './types.ts';

export interface RaftConfig {
  readonly id: MemberId;
  readonly storage: LogStorage;
  /** Last index the host has applied; entries up to it are not handed out again. */
  readonly applied: number;
  /**
   * Set by a host that lost entries which it may have acknowledged: a term above all that the
   * member was ever in, and at most the one that it starts with. Until its last entry is of this
   * term or a later one, it abstains: it neither votes nor stands for election (`abstention.ts`).
   */
  readonly abstainBelowTerm?: number | undefined;
  /**
   * The host's state does not begin where the log does, as that of a member that came later: until
   * it has a log, the member refuses the log's beginning and waits for a snapshot.
   */
  readonly awaitsSnapshot?: boolean | undefined;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Limit of one append message. A single larger entry still travels. */
  readonly appendSizeLimitBytes: number;
  /** Limit of `Ready.committedEntries`. */
  readonly committedSizeLimitBytes: number;
  /** Limit of entries appended by a leader and not yet committed; further proposals are refused. */
  readonly uncommittedSizeLimitBytes: number;
  /** Limits of what is on its way to one follower. */
  readonly inflightMessagesLimit: number;
  readonly inflightBytesLimit: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  /**
   * Answer reads from the leader's lease instead of a round of heartbeats. Needs checkQuorum and
   * bounded clocks.
   */
  readonly leaseReads: boolean;
  /** A leader that a configuration change removed or demoted steps down. */
  readonly stepDownOnRemoval: boolean;
  /** Refuse proposals at followers instead of forwarding them. */
  readonly disableProposalForwarding: boolean;
  /** A number in [0, 1) from the host's seeded generator. */
  random(): number;
  /** Told of notable events; must have no effect on the core. */
  trace(event: string, fields: Readonly<Record<string, unknown>>): void;
}
