/**
 * The time of the leases, which only a leader keeps (etcd: the primary lessor). It renews leases,
 * has those revoked that have run out, and has what is left of long ones noted now and then, all
 * through the log, so that the next leader goes on from there.
 *
 * What keeps a deposed leader from doing harm:
 * - it begins only when it has applied an entry of its own term, and so all that others decided;
 * - its commands hold in its own term only, and are never passed on to another leader;
 * - a renewal is answered after a round of heartbeats that began after the request had come; a
 *   leader elected later grants each lease its whole time anew, from a later moment on;
 * - before anything expires it is confirmed in the same way: a leader that was paused first learns
 *   whether it still leads.
 */
import type { Clock } from '../base/clock.ts';
import type { EtcdErrorName } from '../base/errors.ts';
import type { Command } from '../apply/request.ts';
import { ExpiryQueue, notQueued } from '../lease/expiry-queue.ts';
import { type Lease, leaseSecondsLeft } from '../lease/lease.ts';
import type { LeaseListener, Lessor } from '../lease/lessor.ts';
import { CheckpointSchedule } from './lease-checkpoints.ts';
import type { KeptLease, LeaseAnswer, LeaseAnswered } from './kept-lease.ts';
import type { LeaseMetrics } from './lease-metrics.ts';

/**
 * Revocations of expired leases that are under way. The next are proposed when these are applied,
 * so that requests of clients get their turn in between.
 */
const revocationsLimit = 200;
/** Renewals that wait for a revocation or for the log. */
const waitingLimit = 50_000;

export interface LeaseKeeperOptions {
  readonly clock: Clock;
  readonly metrics: LeaseMetrics;
  /** What a new leader grants beyond what is left: time for clients to find it. */
  readonly electionMs: number;
  readonly checkpointIntervalMs: number;
  /** Calls back once it is certain that what this member decided before the call still held. */
  readonly confirm: (done: (refusal: EtcdErrorName | undefined) => void) => void;
  /** False while the state takes no revocations. */
  readonly mayRevoke: () => boolean;
  /** Appends to the log if this member leads in `term`; false if not, or if it cannot now. */
  readonly propose: (term: number, commands: readonly Command[]) => boolean;
}

export class LeaseKeeper implements LeaseListener {
  readonly #options: LeaseKeeperOptions;
  readonly #checkpoints: CheckpointSchedule;
  readonly #kept = new Map<bigint, KeptLease>();
  readonly #queue = new ExpiryQueue<KeptLease>();
  /** The term in which this member keeps the time; undefined while it does not. */
  #term: number | undefined;
  #revoking = 0;
  #confirming = false;
  /** Renewals in `late` and `withdrawing` of all leases. */
  #waiting = 0;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#checkpoints = new CheckpointSchedule({
      clock: options.clock,
      intervalMs: options.checkpointIntervalMs,
      propose: (command) => this.#term !== undefined && options.propose(this.#term, [command]),
    });
  }

  /** The term in which this member keeps the time of the leases; undefined while it does not. */
  get term(): number | undefined {
    return this.#term;
  }

  /** This member leads in `term` and has applied an entry of it. */
  promote(term: number, lessor: Lessor): void {
    this.demote();
    this.#term = term;
    const { electionMs } = this.#options;
    for (const lease of lessor.all()) {
      this.#keep(lease, leaseSecondsLeft(lease) * 1000 + electionMs);
    }
  }

  demote(): void {
    if (this.#term === undefined) return;
    this.#term = undefined;
    this.#queue.clear();
    this.#checkpoints.clear();
    const kept = [...this.#kept.values()];
    this.#kept.clear();
    this.#revoking = 0;
    for (const each of kept) {
      this.#settle(each.late, { outcome: 'retry' });
      this.#settle(each.withdrawing, { outcome: 'retry' });
    }
  }

  /** Gives a lease its whole time again. `done` is called later, once. */
  renew(id: bigint, done: LeaseAnswered): void {
    this.#confirmed(done, () => this.#renewNow(id, done));
  }

  /** Tells what is left of a lease. `done` is called later, once. */
  timeToLive(id: bigint, done: LeaseAnswered): void {
    this.#confirmed(done, () => {
      const kept = this.#kept.get(id);
      if (kept === undefined) done({ outcome: 'missing' });
      else done({ outcome: 'alive', seconds: Math.floor(this.#leftMs(kept) / 1000) });
    });
  }

  /** When a lease runs out, in milliseconds from now; undefined if this member does not know. */
  leftMs(id: bigint): number | undefined {
    const kept = this.#kept.get(id);
    return kept === undefined ? undefined : this.#leftMs(kept);
  }

  /** Called with every tick of the member. */
  tick(): void {
    if (this.#term === undefined) return;
    this.#expire();
    this.#checkpoints.tick();
  }

  /** @see LeaseListener */
  granted(lease: Lease): void {
    this.#options.metrics.granted(lease.ttlSeconds);
    if (this.#term !== undefined) this.#keep(lease, lease.ttlSeconds * 1000);
  }

  /** @see LeaseListener */
  checkpointed(lease: Lease): void {
    const kept = this.#kept.get(lease.id);
    if (kept === undefined) return;
    kept.checkpointsUnderWay--;
    if (lease.remainingSeconds > 0) return;
    const renewed = kept.withdrawing;
    kept.withdrawing = [];
    this.#settle(renewed, { outcome: 'alive', seconds: lease.ttlSeconds });
  }

  /** @see LeaseListener */
  revoked(lease: Lease): void {
    const { metrics } = this.#options;
    metrics.revoked();
    const kept = this.#kept.get(lease.id);
    if (kept === undefined) return;
    this.#kept.delete(lease.id);
    this.#queue.remove(kept);
    kept.gone = true;
    if (kept.revoking) {
      this.#revoking--;
      metrics.expired();
    }
    this.#settle(kept.late, { outcome: 'missing' });
    this.#settle(kept.withdrawing, { outcome: 'missing' });
    if (kept.revoking && this.#revoking === 0) this.#expire();
  }

  /** @see LeaseListener */
  revocationRefused(lease: Lease): void {
    const kept = this.#kept.get(lease.id);
    if (kept?.revoking !== true) return;
    kept.revoking = false;
    this.#revoking--;
    this.#queue.update(kept);
  }

  #keep(lease: Lease, forMs: number): void {
    const kept: KeptLease = {
      lease,
      expiryMs: this.#options.clock.monotonicMs() + forMs,
      queuedMs: notQueued,
      revoking: false,
      checkpointsUnderWay: 0,
      scheduled: false,
      gone: false,
      late: [],
      withdrawing: [],
    };
    this.#kept.set(lease.id, kept);
    this.#queue.update(kept);
    this.#checkpoints.schedule(kept);
  }

  #leftMs(kept: KeptLease): number {
    return Math.max(0, kept.expiryMs - this.#options.clock.monotonicMs());
  }

  /** Goes on once this member is certain that it led when it was asked. */
  #confirmed(done: LeaseAnswered, next: () => void): void {
    if (this.#term === undefined) {
      done({ outcome: 'retry' });
      return;
    }
    this.#options.confirm((refusal) => {
      if (refusal !== undefined || this.#term === undefined) done({ outcome: 'retry' });
      else next();
    });
  }

  #renewNow(id: bigint, done: LeaseAnswered): void {
    const kept = this.#kept.get(id);
    if (kept === undefined) {
      done({ outcome: 'missing' });
      return;
    }
    if (this.#waiting >= waitingLimit) {
      done({ outcome: 'retry' });
      return;
    }
    // Others may have seen that it ran out: it is not brought back, but waited for.
    if (kept.revoking || this.#leftMs(kept) === 0) {
      this.#wait(kept.late, done);
      return;
    }
    const { lease } = kept;
    kept.expiryMs = this.#options.clock.monotonicMs() + lease.ttlSeconds * 1000;
    this.#queue.update(kept);
    this.#checkpoints.schedule(kept);
    this.#options.metrics.renewed();
    // A leader to come would go on from the checkpoint, so it must know of the renewal first.
    if (lease.remainingSeconds > 0 || kept.checkpointsUnderWay > 0) {
      this.#wait(kept.withdrawing, done);
      this.#checkpoints.withdraw(kept);
      return;
    }
    done({ outcome: 'alive', seconds: lease.ttlSeconds });
  }

  #wait(list: LeaseAnswered[], done: LeaseAnswered): void {
    list.push(done);
    this.#waiting++;
  }

  #settle(list: readonly LeaseAnswered[], answer: LeaseAnswer): void {
    this.#waiting -= list.length;
    for (const done of list) done(answer);
  }

  #expire(): void {
    if (this.#confirming || this.#revoking > 0 || !this.#options.mayRevoke()) return;
    if (!this.#queue.hasExpired(this.#options.clock.monotonicMs())) return;
    this.#confirming = true;
    const term = this.#term;
    this.#options.confirm((refusal) => {
      this.#confirming = false;
      if (refusal === undefined && term !== undefined && term === this.#term) {
        this.#revokeExpired(term);
      }
    });
  }

  #revokeExpired(term: number): void {
    const expired = this.#queue.takeExpired(this.#options.clock.monotonicMs(), revocationsLimit);
    if (expired.length === 0) return;
    const taken = this.#options.propose(
      term,
      expired.map(({ lease: { id, grant } }) => ({ case: 'leaseRevoke', value: { id, grant } })),
    );
    if (!taken) {
      for (const kept of expired) this.#queue.update(kept);
      return;
    }
    for (const kept of expired) kept.revoking = true;
    this.#revoking = expired.length;
  }
}
