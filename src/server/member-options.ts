/** What a member is put together from. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import type { Entry, MemberId, RawNode } from '../raft/index.ts';
import type { DataDirectory } from '../storage/data-directory.ts';
import type { Transport } from '../transport/transport.ts';
import type { AutoCompactionMode } from './auto-compaction.ts';
import type { ReconfigurationSettings } from './member-changes.ts';
import type { RaftLimits } from './raft-options.ts';

/**
 * Sees what a member does, to check what no member can check of itself: simulation compares what
 * several of them decide.
 */
export interface MemberObserver {
  /** After each input to the core and each batch out of it. */
  stepped(node: RawNode): void;
  /** Before a log entry changes the state. */
  applying(entry: Entry): void;
  /** The state is that of `index`, complete. */
  applied(index: number): void;
}

export interface MemberOptions {
  readonly memberId: MemberId;
  readonly directory: DataDirectory;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly preVote: boolean;
  /** Applied entries after which the log is compacted. */
  readonly snapshotCount: number;
  /** Entries kept behind that point for followers that lag. */
  readonly catchUpEntries: number;
  /** How the cluster may be changed; etcd's defaults if absent. */
  readonly reconfiguration?: ReconfigurationSettings;
  readonly requestLimitBytes: number;
  readonly compactionRestMs: number;
  /** Records that a part of a compaction removes; the store's own number if absent. */
  readonly compactionBatchLimit?: number;
  /** Applying an entry for longer is told of; never if absent. */
  readonly warningApplyMs?: number;
  /**
   * Whether the first election after a start may come early, as if no leader had been heard for
   * most of an election timeout; false if absent.
   */
  readonly earlyFirstElection?: boolean;
  /** Time from one note in the log of what a long lease has left to the next; etcd's if absent. */
  readonly leaseCheckpointIntervalMs?: number;
  /** Size of the state above which writes are refused; no limit if absent. */
  readonly quotaBackendBytes?: number | undefined;
  /** Whether the alarm of a quota clears when space is free again; true if absent. */
  readonly quotaAutoDisarm?: boolean;
  /** How history is compacted without being asked; not if absent. */
  readonly autoCompaction?: AutoCompactionMode;
  /** Time between comparisons of the state with the leader's; 0 or absent means the default. */
  readonly stateCheckIntervalMs?: number;
  /** Memory for values. */
  readonly cacheBytes?: number;
  readonly limits?: RaftLimits;
  /** Changes that may wait for a flush of the state before applying waits too. */
  readonly pendingLimitBytes?: number;
  readonly observer?: MemberObserver;
}
