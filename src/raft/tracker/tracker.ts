/** The active configuration, with each member's progress and the votes of the current election. */
import * as joint from '../quorum/joint.ts';
import type { JointConfig } from '../quorum/joint.ts';
import {
  compareMembers,
  formatMembers,
  sortedMembers,
  type VoteResult,
} from '../quorum/majority.ts';
import type { ConfState, MemberId } from '../types.ts';
import { Inflights, type InflightsLimits } from './inflights.ts';
import { Progress } from './progress.ts';

/** Who votes and who learns. Learners are never voters in either half. */
export interface TrackerConfig {
  readonly voters: JointConfig;
  readonly learners: ReadonlySet<MemberId>;
  /**
   * Voters of the outgoing half that are to be learners. They wait here until the joint
   * configuration is left, because a member is never voter and learner at once.
   */
  readonly learnersNext: ReadonlySet<MemberId>;
  /** The leader leaves the joint configuration by itself. */
  readonly autoLeave: boolean;
}

export type ProgressMap = ReadonlyMap<MemberId, Progress>;

/** A configuration and the progress of exactly its members: the result of a change. */
export interface TrackedConfig {
  readonly config: TrackerConfig;
  readonly progress: ProgressMap;
}

const noMembers: ReadonlySet<MemberId> = new Set();

export const emptyConfig: TrackerConfig = {
  voters: { incoming: noMembers, outgoing: noMembers },
  learners: noMembers,
  learnersNext: noMembers,
  autoLeave: false,
};

export interface VoteTally {
  readonly granted: number;
  readonly rejected: number;
  readonly result: VoteResult;
}

export class Tracker {
  readonly limits: InflightsLimits;
  #config = emptyConfig;
  /** In ascending order of ids, so that every walk over it is the same on every member. */
  #progress: ProgressMap = new Map();
  #votes = new Map<MemberId, boolean>();
  readonly #matchOf = (member: MemberId): number | undefined => this.#progress.get(member)?.match;

  constructor(limits: InflightsLimits) {
    this.limits = limits;
  }

  get config(): TrackerConfig {
    return this.#config;
  }

  get progress(): ProgressMap {
    return this.#progress;
  }

  get votes(): ReadonlyMap<MemberId, boolean> {
    return this.#votes;
  }

  /** Makes a configuration the active one. */
  install(tracked: TrackedConfig): void {
    this.#config = tracked.config;
    this.#progress = new Map(
      [...tracked.progress].sort(([left], [right]) => compareMembers(left, right)),
    );
  }

  /** Forgets what was known of all members, as a new term requires; membership stays. */
  resetProgress(next: number): void {
    const fresh = new Map<MemberId, Progress>();
    for (const [member, { isLearner }] of this.#progress) {
      const inflights = new Inflights(this.limits);
      fresh.set(
        member,
        new Progress({ match: 0, next, inflights, isLearner, recentActive: false }),
      );
    }
    this.#progress = fresh;
  }

  /** Calls back for every member in ascending order of ids. */
  visit(callback: (member: MemberId, progress: Progress) => void): void {
    for (const [member, progress] of this.#progress) callback(member, progress);
  }

  isVoter(member: MemberId): boolean {
    return joint.isVoter(this.#config.voters, member);
  }

  isLearner(member: MemberId): boolean {
    return this.#config.learners.has(member);
  }

  isJoint(): boolean {
    return joint.isJoint(this.#config.voters);
  }

  /** One voter decides alone. */
  isSingleton(): boolean {
    return this.#config.voters.incoming.size === 1 && !this.isJoint();
  }

  voterIds(): MemberId[] {
    return sortedMembers(joint.allVoters(this.#config.voters));
  }

  /** The largest index that the needed majorities hold; Infinity without voters. */
  committed(): number {
    return joint.committedIndex(this.#config.voters, this.#matchOf);
  }

  /** Whether a quorum was heard from since the flags were last cleared (dissertation 6.2). */
  quorumActive(): boolean {
    const heard = new Map<MemberId, boolean>();
    for (const [member, progress] of this.#progress) {
      if (!progress.isLearner) heard.set(member, progress.recentActive);
    }
    return joint.voteResult(this.#config.voters, heard) === 'won';
  }

  resetVotes(): void {
    this.#votes = new Map();
  }

  /** Takes a member's vote; only its first one in an election counts. */
  recordVote(member: MemberId, granted: boolean): void {
    if (!this.#votes.has(member)) this.#votes.set(member, granted);
  }

  voteResult(): VoteResult {
    return joint.voteResult(this.#config.voters, this.#votes);
  }

  /** Counts the votes of present voters; votes of others stay without effect. */
  tallyVotes(): VoteTally {
    let granted = 0;
    let rejected = 0;
    for (const [member, progress] of this.#progress) {
      const vote = this.#votes.get(member);
      if (progress.isLearner || vote === undefined) continue;
      if (vote) granted++;
      else rejected++;
    }
    return { granted, rejected, result: this.voteResult() };
  }

  confState(): ConfState {
    return confStateOf(this.#config);
  }
}

/** The durable form of a configuration, members in ascending order. */
export function confStateOf(config: TrackerConfig): ConfState {
  return {
    voters: sortedMembers(config.voters.incoming),
    votersOutgoing: sortedMembers(config.voters.outgoing),
    learners: sortedMembers(config.learners),
    learnersNext: sortedMembers(config.learnersNext),
    autoLeave: config.autoLeave,
  };
}

/** Prints e.g. `voters=(1 2)&&(1) learners=(3) learners_next=(2) autoleave`. */
export function formatConfig(config: TrackerConfig): string {
  const parts = [`voters=${joint.formatVoters(config.voters)}`];
  if (config.learners.size > 0) parts.push(`learners=${formatMembers(config.learners)}`);
  if (config.learnersNext.size > 0) {
    parts.push(`learners_next=${formatMembers(config.learnersNext)}`);
  }
  if (config.autoLeave) parts.push('autoleave');
  return parts.join(' ');
}

/** Prints one line for each member. */
export function formatProgress(progress: ProgressMap): string {
  return [...progress]
    .sort(([left], [right]) => compareMembers(left, right))
    .map(([member, each]) => `${member}: ${each.toString()}\n`)
    .join('');
}
