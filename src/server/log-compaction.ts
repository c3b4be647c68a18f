/**
 * Keeps the log short: what a flushed state covers is dropped, but for entries that followers who
 * lag a little still need. Who lags further gets a snapshot.
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { SnapshotMetadata } from '../raft/index.ts';

/** The log as this file needs it. */
export interface CompactableLog {
  readonly anchor: { readonly index: number };
  compact(index: number): void;
  setSnapshotAvailable(metadata: SnapshotMetadata): void;
}

/**
 * After a snapshot was sent its receiver needs this long to load it and to ask for what follows
 * (etcd: releaseDelayAfterSnapshot); a large one that took long to be sent takes long to be loaded
 * too. Were what follows gone by then, it would be sent another one, and so on for ever.
 */
const graceAfterSnapshotMs = 30_000;
const gracePerSending = 3;
/** A receiver that never comes back must not make the log grow without end. */
const heldEntriesLimit = 1_000_000;

export interface LogCompactionOptions {
  readonly log: CompactableLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly snapshotCount: number;
  readonly catchUpEntries: number;
}

export class LogCompaction {
  readonly #options: LogCompactionOptions;
  /** Index of the last compaction's state. */
  #lastIndex: number;
  #sending = 0;
  #graceUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: LogCompactionOptions) {
    this.#options = options;
    this.#lastIndex = options.log.anchor.index;
  }

  /**
   * A snapshot begins to be sent: its receiver will need the entries after it. Returns what is to
   * be called once when the sending has ended, all of it sent or not. Who did not get all of it
   * needs no entries: one whose disk is full would hold them for ever.
   */
  sendingBegins(): (isAllSent: boolean) => void {
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    this.#sending++;
    return (isAllSent) => {
      this.#sending--;
      if (!isAllSent) return;
      const nowMs = clock.monotonicMs();
      const graceMs = Math.max(graceAfterSnapshotMs, gracePerSending * (nowMs - startMs));
      this.#graceUntilMs = Math.max(this.#graceUntilMs, nowMs + graceMs);
    };
  }

  /** The log was replaced by a snapshot. */
  restarted(index: number): void {
    this.#lastIndex = index;
  }

  /** The state up to `flushed` is durable. */
  flushed(flushed: SnapshotMetadata): void {
    const { log, snapshotCount, catchUpEntries, logger } = this.#options;
    log.setSnapshotAvailable(flushed);
    if (flushed.index - this.#lastIndex < snapshotCount) return;
    if (this.#held() && flushed.index - log.anchor.index < heldEntriesLimit) return;
    this.#lastIndex = flushed.index;
    const compacted = flushed.index - catchUpEntries;
    if (compacted <= log.anchor.index) return;
    log.compact(compacted);
    logger.info({ 'compact-index': compacted, 'state-index': flushed.index }, 'compacted the log');
  }

  #held(): boolean {
    return this.#sending > 0 || this.#options.clock.monotonicMs() < this.#graceUntilMs;
  }
}
