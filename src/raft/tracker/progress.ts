/** What a leader knows of one follower's log (Raft figure 2: nextIndex and matchIndex). */
import type { Inflights } from './inflights.ts';

/**
 * `probe`: the match is unknown, so one append at a time. `replicate`: appends are pipelined.
 * `snapshot`: the follower needs entries that are gone; nothing is sent until it has caught up.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export interface ProgressOptions {
  readonly match: number;
  readonly next: number;
  readonly inflights: Inflights;
  readonly isLearner: boolean;
  readonly recentActive: boolean;
}

const stateNames = {
  probe: 'StateProbe',
  replicate: 'StateReplicate',
  snapshot: 'StateSnapshot',
} as const;

export class Progress {
  /** Last index known to equal the leader's. Always less than `next`. */
  match: number;
  /** First index to send; entries between `match` and it are on their way. */
  next: number;
  /** Highest commit index sent. It falls when what carried it is known or feared to be lost. */
  sentCommit = 0;
  state: ProgressState = 'probe';
  /** Index of the snapshot that is on its way; 0 unless in state `snapshot`. */
  pendingSnapshot = 0;
  /** Heard from since the last check of the quorum. */
  recentActive: boolean;
  /** No append until the next heartbeat is answered: one probe, or a full window, is enough. */
  msgAppFlowPaused = false;
  readonly inflights: Inflights;
  isLearner: boolean;

  constructor(options: ProgressOptions) {
    this.match = options.match;
    this.next = options.next;
    this.inflights = options.inflights;
    this.isLearner = options.isLearner;
    this.recentActive = options.recentActive;
  }

  /** A copy for a configuration change; the window is shared, because changes never touch it. */
  clone(): Progress {
    const copy = new Progress(this);
    copy.sentCommit = this.sentCommit;
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.msgAppFlowPaused = this.msgAppFlowPaused;
    return copy;
  }

  /** Searches for the match from the last known one, or from the snapshot that was being sent. */
  becomeProbe(): void {
    // The state is only left for this one after the snapshot's fate was reported.
    const from = this.state === 'snapshot' ? this.pendingSnapshot : 0;
    this.#reset('probe');
    this.next = Math.max(this.match, from) + 1;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.#reset('replicate');
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#reset('snapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  #reset(state: ProgressState): void {
    this.state = state;
    this.msgAppFlowPaused = false;
    this.pendingSnapshot = 0;
    this.inflights.reset();
  }

  /** Notes that an append with so many entries, starting at `next`, was sent. */
  sentEntries(count: number, bytes: number): void {
    if (this.state === 'snapshot')
      throw new Error('an append was sent while a snapshot is pending');
    if (this.state === 'probe') {
      if (count > 0) this.msgAppFlowPaused = true;
      return;
    }
    if (count > 0) {
      this.next += count;
      this.inflights.add(this.next - 1, bytes);
    }
    this.msgAppFlowPaused = this.inflights.isFull();
  }

  /** Whether sending this commit index could move the follower's own one. */
  canBumpCommit(commit: number): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1;
  }

  /** Whether the follower is known to hold the leader's whole log, which ends at `lastIndex`. */
  hasAll(lastIndex: number): boolean {
    return this.state === 'replicate' && this.match === lastIndex;
  }

  /** Takes an acknowledgement up to `index`; false if it says nothing new. */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.msgAppFlowPaused = false;
    return true;
  }

  /**
   * Takes a refusal of the append after `rejected`; `matchHint` is the best guess of a match.
   * False if the refusal is stale, i.e. was answered to an append that was overtaken by others.
   */
  maybeDecrTo(rejected: number, matchHint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      this.sentCommit = Math.min(this.sentCommit, this.next - 1);
      return true;
    }
    // One probe is out at a time, and it carries next - 1.
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, matchHint + 1), this.match + 1);
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.msgAppFlowPaused = false;
    return true;
  }

  /** No entries may be sent now. */
  isPaused(): boolean {
    return this.state === 'snapshot' || this.msgAppFlowPaused;
  }

  toString(): string {
    const parts = [stateNames[this.state], `match=${this.match}`, `next=${this.next}`];
    if (this.isLearner) parts.push('learner');
    if (this.isPaused()) parts.push('paused');
    if (this.pendingSnapshot > 0) parts.push(`pendingSnap=${this.pendingSnapshot}`);
    if (!this.recentActive) parts.push('inactive');
    if (this.inflights.count > 0) {
      parts.push(`inflight=${this.inflights.count}${this.inflights.isFull() ? '[full]' : ''}`);
    }
    return parts.join(' ');
  }
}
