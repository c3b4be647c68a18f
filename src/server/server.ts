/**
 * A member's service to its API: take requests, agree on them through Raft, answer from the state
 * (etcd: etcdserver). The driver below decides nothing about requests; this file decides nothing
 * about the log.
 */
import { AssertionFailure } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { EtcdError, type EtcdErrorName } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { AppliedRequest, Outcome } from '../apply/applier.ts';
import { type Command, encodeCommand } from '../apply/request.ts';
import { majorityOf, type MemberId, noMember, type SoftState } from '../raft/index.ts';
import { LinearizableReads, type ReadDone } from './linearizable-reads.ts';
import type { RaftDriver } from './raft-driver.ts';
import { RequestIds } from './request-id.ts';
import type { ServerMetrics } from './metrics.ts';
import { WaitList } from './wait.ts';

/**
 * Committed entries that are not applied yet; above it requests are refused (etcd:
 * maxGapBetweenApplyAndCommitIndex).
 */
const applyBacklogLimit = 5000;
/** Requests that may wait for their outcome; together with the proposals' limits bounds memory. */
const waitingRequestsLimit = 50_000;
const waitingReadsLimit = 50_000;
/** Part of the request timeout beside two election timeouts (etcd: ReqTimeout). */
const baseTimeoutMs = 5000;

export interface ServerOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: ServerMetrics;
  readonly electionMs: number;
  /** Largest encoded request. */
  readonly requestLimitBytes: number;
  readonly voters: () => readonly MemberId[];
  /** Whether there is a live connection to a member now. */
  readonly connected: (member: MemberId) => boolean;
  readonly driver: RaftDriver;
}

type Settled = (outcome: Outcome) => void;

export class Server {
  readonly #options: ServerOptions;
  readonly #clock: Clock;
  readonly #waiting: WaitList<Outcome>;
  readonly #reads: LinearizableReads;
  readonly #requestIds: RequestIds;
  readonly #readContexts: RequestIds;
  readonly #leaderLost = new Set<() => void>();
  /** Since when each connected member has been so, as seen at the ticks. */
  readonly #connectedSinceMs = new Map<MemberId, number>();
  #leaderElectedMs = Number.NEGATIVE_INFINITY;
  #leaderLostMs: number | undefined = 0;
  #stopped = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#waiting = new WaitList(options.clock, this.requestTimeoutMs);
    this.#requestIds = new RequestIds(options.random);
    this.#readContexts = new RequestIds(options.random);
    this.#reads = new LinearizableReads({
      clock: options.clock,
      timeoutMs: this.requestTimeoutMs,
      waitingLimit: waitingReadsLimit,
      ask: (context) => {
        this.#driver.readIndex(context);
      },
      nextContext: () => this.#readContexts.next(),
      appliedIndex: () => this.#driver.appliedIndex,
      slow: () => options.metrics.readIndexSlow(),
    });
    this.#leaderLostMs = options.clock.monotonicMs();
  }

  get #driver(): RaftDriver {
    return this.#options.driver;
  }

  /** How long a request may take before it is answered with an error of etcd's timeouts. */
  get requestTimeoutMs(): number {
    return baseTimeoutMs + 2 * this.#options.electionMs;
  }

  get term(): number {
    return this.#driver.term;
  }
  get leader(): MemberId {
    return this.#driver.leader;
  }
  get isLeader(): boolean {
    return this.#driver.isLeader;
  }
  get committedIndex(): number {
    return this.#driver.committedIndex;
  }
  get appliedIndex(): number {
    return this.#driver.appliedIndex;
  }

  /**
   * Agrees on `command` and resolves with what applying it came to here.
   * @throws EtcdError the outcome's, or why there is none: `tooManyRequests` and `requestTooLarge`
   * mean that nothing was done, a timeout that it may or may not have been
   */
  request(command: Command): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#propose(command, (outcome) => {
        if (outcome.error === undefined) resolve(outcome);
        else reject(outcome.error);
      });
    });
  }

  #propose(command: Command, settle: Settled): void {
    if (this.#stopped) {
      settle({ error: new EtcdError('stopped') });
      return;
    }
    const driver = this.#driver;
    const backlog = driver.committedIndex - driver.appliedIndex;
    if (backlog > applyBacklogLimit || this.#waiting.size >= waitingRequestsLimit) {
      settle({ error: new EtcdError('tooManyRequests') });
      return;
    }
    const id = this.#requestIds.next();
    const data = encodeCommand(id, command);
    if (data.length > this.#options.requestLimitBytes) {
      settle({ error: new EtcdError('requestTooLarge') });
      return;
    }
    if (!driver.propose({ id, data })) {
      settle({ error: new EtcdError('tooManyRequests') });
      return;
    }
    const { metrics } = this.#options;
    this.#waiting.register(id, (outcome, startedMs) => {
      metrics.proposalsPending(this.#waiting.size);
      if (outcome === undefined) metrics.proposalFailed();
      settle(outcome ?? { error: new EtcdError(this.timeoutCause(startedMs)) });
    });
    metrics.proposalsPending(this.#waiting.size);
  }

  /**
   * Resolves once this member's state shows every write acknowledged before the call.
   * @throws EtcdError `leaderChanged`, `timeout`, `tooManyRequests` or `stopped`
   */
  linearizableRead(): Promise<void> {
    if (this.#stopped) return Promise.reject(new EtcdError('stopped'));
    return new Promise((resolve, reject) => {
      this.confirmLeader((refusal) => {
        if (refusal === undefined) {
          resolve();
        } else {
          this.#options.metrics.readIndexFailed();
          reject(new EtcdError(refusal));
        }
      });
    });
  }

  /**
   * Calls back once a round of heartbeats that began after now has confirmed the leader, whoever
   * that is, and this member has applied all that was committed before; with a refusal if none
   * did in time.
   */
  confirmLeader(done: ReadDone): void {
    if (this.#stopped) {
      this.#clock.defer(() => done('stopped'));
      return;
    }
    this.#reads.wait(done);
    this.#driver.wake();
  }

  /**
   * Calls `listener` once when this member has had no leader for three election timeouts, as
   * streams that asked for it by `hasleader` are cut then (etcd: monitorLeader). Returns how to
   * stop listening.
   */
  onLeaderLost(listener: () => void): () => void {
    this.#leaderLost.add(listener);
    return () => this.#leaderLost.delete(listener);
  }

  /** Called every turn of the driver. */
  turn(): void {
    this.#reads.begin();
  }

  /** Called with every tick. */
  tick(): void {
    this.#observeConnections();
    if (this.#leaderLostMs === undefined || this.#leaderLost.size === 0) return;
    if (this.#clock.monotonicMs() - this.#leaderLostMs < 3 * this.#options.electionMs) return;
    const listeners = [...this.#leaderLost];
    this.#leaderLost.clear();
    for (const listener of listeners) listener();
  }

  awaited(id: bigint): boolean {
    return this.#waiting.has(id);
  }

  applied(applied: AppliedRequest): void {
    this.#waiting.trigger(applied.id, applied.outcome);
  }

  appliedUpTo(index: number): void {
    this.#reads.applied(index);
  }

  readIndexConfirmed(context: bigint, index: number): void {
    this.#reads.confirmed(context, index);
  }

  readIndexDropped(context: bigint): void {
    this.#reads.dropped(context);
  }

  leaderChanged(state: SoftState, previous: SoftState): void {
    const { logger, metrics } = this.#options;
    if (state.leader === noMember) {
      this.#leaderLostMs ??= this.#clock.monotonicMs();
    } else {
      this.#leaderLostMs = undefined;
    }
    if (state.leader !== noMember && state.leader !== previous.leader) {
      this.#leaderElectedMs = this.#clock.monotonicMs();
      metrics.leaderSeen();
      this.#reads.leaderChanged();
    }
    metrics.leadership(state.leader !== noMember, state.role === 'leader');
    logger.info(
      {
        leader: memberHex(state.leader),
        role: state.role,
        term: this.#driver.term,
      },
      'leadership changed',
    );
  }

  /** Refuses what waits and whatever comes. */
  stop(): void {
    this.#stopped = true;
    this.#reads.stop('stopped');
    this.#waiting.triggerAll({ error: new EtcdError('stopped') });
  }

  /** Which of etcd's timeouts fits a request proposed at `startedMs` (etcd: parseProposeCtxErr). */
  timeoutCause(startedMs: number): EtcdErrorName {
    const leaderLostMs = this.#leaderElectedMs - 2 * this.#options.electionMs;
    if (startedMs > leaderLostMs && startedMs < this.#leaderElectedMs)
      return 'timeoutLeaderFailure';
    const { leader } = this;
    if (leader === noMember) return 'timeout';
    const connected =
      leader === this.#options.memberId
        ? this.#connectedToQuorumSince(startedMs)
        : this.connectedSince(leader, startedMs);
    return connected ? 'timeout' : 'timeoutConnectionLost';
  }

  #observeConnections(): void {
    for (const member of this.#options.voters()) {
      if (!this.#options.connected(member)) this.#connectedSinceMs.delete(member);
      else if (!this.#connectedSinceMs.has(member)) {
        this.#connectedSinceMs.set(member, this.#clock.monotonicMs());
      }
    }
  }

  /** Whether a voter has been connected since before a time. */
  connectedSince(member: MemberId, startedMs: number): boolean {
    const sinceMs = this.#connectedSinceMs.get(member);
    return sinceMs !== undefined && sinceMs < startedMs;
  }

  #connectedToQuorumSince(startedMs: number): boolean {
    const voters = this.#options.voters();
    const connected = voters.filter(
      (voter) => voter === this.#options.memberId || this.connectedSince(voter, startedMs),
    );
    return connected.length >= majorityOf(voters.length);
  }
}

/** Ids appear in logs as etcd writes them: lowercase hexadecimal. */
export function memberHex(id: MemberId): string {
  if (id < 0n) throw new AssertionFailure(`member id ${id} is negative`);
  return id.toString(16);
}
