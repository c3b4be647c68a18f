/**
 * Notes in the log how much time long leases have left, so that a change of leader does not grant
 * it anew (etcd: the gate LeaseCheckpoint, off there). A renewal withdraws the note.
 */
import type { Clock } from '../base/clock.ts';
import type { Command } from '../apply/request.ts';
import { leaseSecondsLeft } from '../lease/lease.ts';
import type { KeptLease } from './kept-lease.ts';

/** Leases with less time left are not worth an entry in the log (etcd: the same). */
export const defaultCheckpointIntervalMs = 5 * 60 * 1000;
/** Notes in one entry (etcd: maxLeaseCheckpointBatchSize). One entry a tick is more than enough. */
const notesPerEntry = 1000;

export interface CheckpointScheduleOptions {
  readonly clock: Clock;
  /** Time from one note of a lease to the next. */
  readonly intervalMs: number;
  /** Appends to the log; false if it cannot now. */
  readonly propose: (command: Command) => boolean;
}

interface Due {
  readonly kept: KeptLease;
  readonly ms: number;
}

export class CheckpointSchedule {
  readonly #options: CheckpointScheduleOptions;
  /** All wait equally long, so the order of coming is that of going. */
  #due: Due[] = [];
  #next = 0;
  /** Leases that were renewed after a note that is not withdrawn yet. */
  #withdrawals = new Set<KeptLease>();
  #flushing = false;

  constructor(options: CheckpointScheduleOptions) {
    this.#options = options;
  }

  /** A lease has been granted or renewed, or this member has begun to lead. */
  schedule(kept: KeptLease): void {
    const { clock, intervalMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (kept.scheduled || kept.expiryMs - nowMs <= intervalMs) return;
    kept.scheduled = true;
    this.#due.push({ kept, ms: nowMs + intervalMs });
  }

  /** Withdraws what is noted of a lease; those of one turn share an entry. */
  withdraw(kept: KeptLease): void {
    this.#withdrawals.add(kept);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#options.clock.defer(() => {
      this.#flushing = false;
      this.#proposeWithdrawals();
    });
  }

  clear(): void {
    this.#due = [];
    this.#next = 0;
    this.#withdrawals.clear();
  }

  tick(): void {
    // What could not be proposed at once.
    this.#proposeWithdrawals();
    const nowMs = this.#options.clock.monotonicMs();
    const taken: KeptLease[] = [];
    const notes = new Map<KeptLease, number>();
    for (; notes.size < notesPerEntry; this.#next++) {
      const due = this.#due[this.#next];
      if (due === undefined || due.ms > nowMs) break;
      const { kept } = due;
      kept.scheduled = false;
      if (kept.gone || kept.revoking || kept.expiryMs <= nowMs) continue;
      taken.push(kept);
      const seconds = Math.ceil((kept.expiryMs - nowMs) / 1000);
      if (seconds < leaseSecondsLeft(kept.lease)) notes.set(kept, seconds);
    }
    if (this.#next > this.#due.length / 2) {
      this.#due.splice(0, this.#next);
      this.#next = 0;
    }
    if (notes.size > 0) this.#propose(notes);
    for (const kept of taken) this.schedule(kept);
  }

  #proposeWithdrawals(): void {
    while (this.#withdrawals.size > 0) {
      const notes = new Map<KeptLease, number>();
      for (const kept of this.#withdrawals) {
        if (notes.size >= notesPerEntry) break;
        if (kept.gone) this.#withdrawals.delete(kept);
        else notes.set(kept, 0);
      }
      if (notes.size === 0 || !this.#propose(notes)) return;
      for (const kept of notes.keys()) this.#withdrawals.delete(kept);
    }
  }

  /** A note that cannot be made now is made an interval later. */
  #propose(notes: ReadonlyMap<KeptLease, number>): boolean {
    const checkpoints = Array.from(notes, ([{ lease }, remainingTtl]) => ({
      id: lease.id,
      remainingTtl,
      grant: lease.grant,
    }));
    const taken = this.#options.propose({ case: 'leaseCheckpoint', value: { checkpoints } });
    if (taken) for (const kept of notes.keys()) kept.checkpointsUnderWay++;
    return taken;
  }
}
