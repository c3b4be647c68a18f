/**
 * Keeps the state within its quota (etcd: server/storage/quota.go and the alarm NOSPACE).
 *
 * - Before a request that adds to the state is proposed, the member asked checks it. Who finds no
 *   room makes sure that it is not behind, has the alarm raised through the log, then refuses.
 * - Requests that were under way together may still exceed the quota a little. The leader raises
 *   the alarm then, too.
 * - Under the alarm, applying refuses what adds to the state, equally on all members. Deletions,
 *   revocations of leases and compactions are never refused: for them there is always room.
 * - When a part of the quota has come free the leader has the alarm cleared, which etcd leaves to
 *   an operator. It does so only for alarms of a quota: a client's stays until a client clears it.
 *
 * Counted are not the bytes on disk but those of the history that is not compacted. They are equal
 * on all members with the same state, so it does not matter which one is asked; they fall as soon
 * as a compaction is applied, while files shrink later and differently on each member.
 */
import type { AlarmStore } from '../alarm/alarm-store.ts';
import { raisedByHand } from '../alarm/alarm-store.ts';
import type { Outcome } from '../apply/applier.ts';
import { spaceCostBytes } from '../apply/cost.ts';
import type { Command } from '../apply/request.ts';
import type { Clock } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { AlarmAction, AlarmType } from '../gen/rpc.ts';
import type { MemberId } from '../raft/index.ts';

/**
 * Share of a quota that must be free before its alarm clears: without a gap between the two, a
 * cluster at its limit would raise and clear it with every few writes.
 */
const freeShare = 1 / 20;
/** What an alarm is recorded with where there is no limit: it clears at once. */
const unlimitedBytes = Number.MAX_SAFE_INTEGER;

export interface QuotaOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly electionMs: number;
  /** Undefined: no limit. */
  readonly quotaBytes: number | undefined;
  /** Whether this member, when it leads, clears alarms for which there is no reason any more. */
  readonly autoDisarm: boolean;
  /** Equal on members that have applied the same entries. */
  readonly sizeBytes: () => number;
  readonly alarms: () => AlarmStore;
  readonly isMember: (member: MemberId) => boolean;
  readonly leader: () => MemberId;
  readonly term: () => number;
  /** Appends to the log if this member leads in `term`; false if not, or if it cannot now. */
  readonly propose: (term: number, command: Command) => boolean;
  /** See Server.request. */
  readonly request: (command: Command) => Promise<Outcome>;
  /** See Server.linearizableRead. */
  readonly catchUp: () => Promise<void>;
}

/** The size up to which an alarm of a quota has no reason any more. */
export function clearsAtBytes(quotaBytes: number): number {
  return Math.floor(quotaBytes * (1 - freeShare));
}

export class Quota {
  readonly #options: QuotaOptions;
  /** What is to be recorded with alarms of this member. */
  readonly #ownBytes: number;
  /** Term of the newest applied entry. */
  #appliedTerm = 0;
  /** Until when what was proposed may be under way, and is not proposed again. */
  #raiseQuietUntilMs = Number.NEGATIVE_INFINITY;
  #clearQuietUntilMs = Number.NEGATIVE_INFINITY;
  #raising: Promise<void> | undefined;

  constructor(options: QuotaOptions) {
    this.#options = options;
    this.#ownBytes = options.quotaBytes ?? unlimitedBytes;
  }

  /**
   * Agrees on `command` if there is room for it.
   * @throws EtcdError `noSpace`, or as Server.linearizableRead and Server.request
   */
  request(command: Command): Promise<Outcome> {
    const costBytes = spaceCostBytes(command);
    if (this.#hasRoom(costBytes)) return this.#options.request(command);
    return this.#requestInFull(command, costBytes);
  }

  #hasRoom(costBytes: number): boolean {
    const { quotaBytes, sizeBytes } = this.#options;
    return quotaBytes === undefined || costBytes === 0 || sizeBytes() + costBytes < quotaBytes;
  }

  /** Others may have made room that this member does not know of yet. */
  async #requestInFull(command: Command, costBytes: number): Promise<Outcome> {
    const { catchUp, request } = this.#options;
    await catchUp();
    return this.#hasRoom(costBytes) ? request(command) : this.#refuse();
  }

  /** As in etcd, the alarm is up when the refusal is answered. */
  async #refuse(): Promise<never> {
    const { autoDisarm, sizeBytes } = this.#options;
    // A request that is large for its quota stops no others: its alarm would clear at once.
    const isLasting = !autoDisarm || sizeBytes() > clearsAtBytes(this.#ownBytes);
    if (isLasting && this.#own() === undefined) {
      this.#raising ??= this.#raise();
      await this.#raising;
    }
    throw new EtcdError('noSpace');
  }

  async #raise(): Promise<void> {
    try {
      await this.#options.request(this.#command(AlarmAction.activate));
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.#options.logger.warn({ error: error.message }, 'could not raise the alarm NOSPACE');
    } finally {
      this.#raising = undefined;
    }
  }

  /** Called after entries were applied, the last of `term`. */
  applied(term: number): void {
    this.#appliedTerm = term;
    this.#lead();
  }

  /** Called with every tick: what could not be proposed is tried again. */
  tick(): void {
    this.#lead();
    const own = this.#own();
    if (own === undefined || this.#raising !== undefined) return;
    // The quota was changed since, and with it the size at which the alarm clears.
    const isOutdated = own.quotaBytes !== raisedByHand && own.quotaBytes !== this.#ownBytes;
    if (isOutdated) this.#raising = this.#raise();
  }

  #own(): ReturnType<AlarmStore['get']> {
    return this.#options.alarms().get(this.#options.memberId, AlarmType.nospace);
  }

  /** What the leader decides, once it knows all that leaders before it did. */
  #lead(): void {
    const { alarms, leader, memberId, term, quotaBytes, sizeBytes } = this.#options;
    const exceeded = quotaBytes !== undefined && sizeBytes() >= quotaBytes;
    if (!exceeded && alarms().size === 0) return;
    if (leader() !== memberId || this.#appliedTerm !== term()) return;
    if (!exceeded) this.#clear();
    else if (!alarms().has(AlarmType.nospace)) this.#raiseAsLeader();
  }

  #raiseAsLeader(): void {
    const { clock, electionMs, logger, propose, sizeBytes } = this.#options;
    if (clock.monotonicMs() < this.#raiseQuietUntilMs) return;
    if (!propose(this.#appliedTerm, this.#command(AlarmAction.activate))) return;
    this.#raiseQuietUntilMs = clock.monotonicMs() + electionMs;
    logger.warn(
      { size: sizeBytes(), quota: this.#ownBytes },
      'the state has come to exceed its quota: writes are refused until space is free',
    );
  }

  #clear(): void {
    const { alarms, autoDisarm, clock, electionMs, isMember, logger, propose, sizeBytes } =
      this.#options;
    if (!autoDisarm || clock.monotonicMs() < this.#clearQuietUntilMs) return;
    const size = sizeBytes();
    for (const { memberId, quotaBytes } of alarms().list(AlarmType.nospace)) {
      if (quotaBytes === raisedByHand) continue;
      // The quota of a member that was removed binds nobody.
      if (isMember(memberId) && size > clearsAtBytes(quotaBytes)) continue;
      if (!propose(this.#appliedTerm, this.#command(AlarmAction.deactivate, memberId))) return;
      this.#clearQuietUntilMs = clock.monotonicMs() + electionMs;
      logger.info({ size, quota: quotaBytes }, 'space is free again: clearing the alarm NOSPACE');
    }
  }

  #command(action: AlarmAction, memberId = this.#options.memberId): Command {
    const quotaBytes = this.#ownBytes;
    return { case: 'alarm', value: { action, memberId, alarm: AlarmType.nospace, quotaBytes } };
  }
}
