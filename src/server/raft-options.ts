/** How this server sets up the Raft core. */
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { LogStorage, MemberId, RaftConfig, RawNode } from '../raft/index.ts';

/** One append message, and with it the largest piece of a follower's log write. */
const appendSizeLimitBytes = 1024 * 1024;
/** What is applied before other input gets its turn is bounded by time; this bounds the memory. */
const committedSizeLimitBytes = 16 * 1024 * 1024;
/** Entries a leader may hold that no quorum has: some 50 ms of a fast disk. */
const uncommittedSizeLimitBytes = 256 * 1024 * 1024;
/** Enough to fill the way to a follower 50 ms away (etcd: maxInflightMsgs is 512). */
const inflightMessagesLimit = 512;
const inflightBytesLimit = 64 * 1024 * 1024;

/** Limits that a simulation makes small enough to be reached. */
export interface RaftLimits {
  readonly appendSizeLimitBytes?: number;
  readonly uncommittedSizeLimitBytes?: number;
}

export interface RaftSettings {
  readonly limits?: RaftLimits;
  readonly memberId: MemberId;
  readonly storage: LogStorage;
  readonly applied: number;
  readonly abstainBelowTerm?: number | undefined;
  readonly awaitsSnapshot?: boolean | undefined;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly preVote: boolean;
  readonly random: Random;
  readonly logger: Logger;
}

export function raftConfig(settings: RaftSettings): RaftConfig {
  const { memberId, storage, applied, abstainBelowTerm, preVote, random, logger } = settings;
  const { awaitsSnapshot } = settings;
  return {
    id: memberId,
    storage,
    applied,
    abstainBelowTerm,
    awaitsSnapshot,
    electionTicks: electionTicksOf(settings),
    heartbeatTicks: 1,
    appendSizeLimitBytes,
    committedSizeLimitBytes,
    uncommittedSizeLimitBytes,
    inflightMessagesLimit,
    inflightBytesLimit,
    ...settings.limits,
    preVote,
    checkQuorum: true,
    leaseReads: false,
    stepDownOnRemoval: true,
    disableProposalForwarding: false,
    random: () => random.next(),
    trace: (event, fields) => {
      logger.debug(loggable(fields), event);
    },
  };
}

type Times = Pick<RaftSettings, 'electionMs' | 'heartbeatMs'>;

function electionTicksOf({ electionMs, heartbeatMs }: Times): number {
  return Math.ceil(electionMs / heartbeatMs);
}

/**
 * Lets a member's first election come early (etcd: initial-election-tick-advance): all but one of
 * the ticks of the shortest election timeout count as passed, so that a leader that is there is
 * heard before. Should it not be, only pre-vote keeps an election from disturbing it.
 */
export function giveHeadStart(
  node: Pick<RawNode, 'tick'>,
  settings: Times & { readonly preVote: boolean; readonly earlyFirstElection?: boolean },
): void {
  if (settings.earlyFirstElection !== true || !settings.preVote) return;
  for (let ticks = electionTicksOf(settings) - 1; ticks > 0; ticks--) node.tick();
}

/** Member ids as etcd prints them. */
function loggable(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? value.toString(16) : value,
    ]),
  );
}
