/**
 * Compacts history without being asked (etcd: server/etcdserver/api/v3compactor). Every member
 * keeps count, so that a new leader goes on where the last one was; only the leader compacts.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';

export type AutoCompactionMode =
  | { readonly mode: 'off' }
  | { readonly mode: 'periodic'; readonly retentionMs: number }
  | { readonly mode: 'revision'; readonly retentionRevisions: number };

const hourMs = 3_600_000;
/** Times that the revision is noted between two periodic compactions. */
const notesPerInterval = 10;
/** Time between two compactions by revision. */
const revisionIntervalMs = 5 * 60_000;

export interface AutoCompactionOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly mode: AutoCompactionMode;
  readonly isLeader: () => boolean;
  /** The store's. */
  readonly revision: () => number;
  /** Compacts through the log. */
  readonly compact: (revision: number) => Promise<unknown>;
}

export class AutoCompaction {
  readonly #options: AutoCompactionOptions;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: AutoCompactionOptions) {
    this.#options = options;
  }

  start(): void {
    const { mode } = this.#options;
    if (mode.mode === 'periodic') this.#periodic(mode.retentionMs);
    else if (mode.mode === 'revision') this.#byRevision(mode.retentionRevisions);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /**
   * Compacts every hour, or as often as the retention if that is shorter, to where the store was
   * one retention ago; for the first time when one has passed. What failed is tried again with the
   * next note of the revision; so is what there was no need for, as nothing was written meanwhile.
   */
  #periodic(retentionMs: number): void {
    const { clock, isLeader, revision } = this.#options;
    const intervalMs = Math.min(retentionMs, hourMs);
    const noteMs = intervalMs / notesPerInterval;
    const notesMax = Math.round(retentionMs / noteMs) + 1;
    const notes: number[] = [];
    let last = 0;
    let lastMs = clock.monotonicMs();
    let waitMs = retentionMs;
    this.#repeat(noteMs, {
      before: () => {
        notes.push(revision());
        if (notes.length > notesMax) notes.shift();
      },
      run: async () => {
        const target = notes[0] as number;
        if (!isLeader() || clock.monotonicMs() - lastMs < waitMs || target === last) return;
        waitMs = intervalMs;
        if (!(await this.#compact(target))) return;
        last = target;
        lastMs = clock.monotonicMs();
      },
    });
  }

  /** Leaves the newest revisions, as many as the retention says. */
  #byRevision(retentionRevisions: number): void {
    const { isLeader, revision } = this.#options;
    let last = 0;
    this.#repeat(revisionIntervalMs, {
      before: () => undefined,
      run: async () => {
        const target = revision() - retentionRevisions;
        if (!isLeader() || target <= 0 || target === last) return;
        if (await this.#compact(target)) last = target;
      },
    });
  }

  #repeat(
    everyMs: number,
    turn: { readonly before: () => void; readonly run: () => Promise<void> },
  ): void {
    turn.before();
    this.#timer = this.#options.clock.after(everyMs, () => {
      void turn.run().then(() => {
        if (!this.#stopped) this.#repeat(everyMs, turn);
      });
    });
  }

  /** Whether all before `revision` is compacted now. */
  async #compact(revision: number): Promise<boolean> {
    const { logger, mode, compact } = this.#options;
    logger.info({ revision, ...mode }, 'starting auto compaction');
    try {
      await compact(revision);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error.reason !== 'compacted') {
        logger.warn({ revision, ...mode, error: error.message }, 'failed auto compaction');
        return false;
      }
    }
    logger.info({ revision, ...mode }, 'completed auto compaction');
    return true;
  }
}
