/** What a leader knows of a lease, and what it tells those who ask. */
import type { Expiring } from '../lease/expiry-queue.ts';
import type { Lease } from '../lease/lease.ts';
import type { LeaseAnswer } from '../transport/lease-notes.ts';

export type { LeaseAnswer };

export type LeaseAnswered = (answer: LeaseAnswer) => void;

export interface KeptLease extends Expiring {
  readonly lease: Lease;
  revoking: boolean;
  /** Checkpoints and their withdrawals in the log that are not applied yet. */
  checkpointsUnderWay: number;
  /** It stands in the schedule of checkpoints. */
  scheduled: boolean;
  gone: boolean;
  /** Renewals that came too late, until the lease is revoked. */
  late: LeaseAnswered[];
  /** Renewals that wait until an earlier checkpoint is withdrawn. */
  withdrawing: LeaseAnswered[];
}
