/**
 * Gives back the space of what compactions have removed, when that is as much as what is left.
 *
 * LevelDB merges what was deleted with what says so only when both come to meet in files that it
 * merges anyway, and of a level that is too large it takes the files in the order of their keys,
 * beginning after those that it took last. New revisions have the highest keys, so while many are
 * written it takes these, again and again, and seldom comes to the old ones: a state of 150 MB took
 * 1.2 GB after eight minutes.
 */
import type { Logger } from '../base/logger.ts';
import type { Completion } from '../storage/engine.ts';
import type { StringRange } from '../storage/keyspace.ts';

/** A smaller state takes as much beyond its size; so does one that was looked after before. */
const leastGainBytes = 128 * 1024 * 1024;
/** Given back at a time: whoever stops the member waits for it. */
const sliceBytes = 256 * 1024 * 1024;

/** The state database as this file needs it. */
export interface ReclaimedBackend {
  flush(done: Completion): void;
  sizeOnDisk(range: StringRange, done: (error: Error | undefined, bytes: number) => void): void;
  compact(range: StringRange, done: Completion): void;
}

export interface SpaceReclaimOptions {
  readonly logger: Logger;
  readonly backend: ReclaimedBackend;
  /** What the state takes without what was removed. */
  readonly neededBytes: () => number;
  /** The keys of revisions from one on, and below another. */
  readonly range: (from: number, to: number) => StringRange;
}

export class SpaceReclaim {
  readonly #options: SpaceReclaimOptions;
  #isRunning = false;
  #isStopped = false;
  /** What was left on disk by the last run. */
  #leftBytes = 0;

  constructor(options: SpaceReclaimOptions) {
    this.#options = options;
  }

  /** What was to be removed below a revision has been removed. */
  compacted(revision: number): void {
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    const { backend, logger, neededBytes } = this.#options;
    backend.sizeOnDisk({}, (error, bytes) => {
      const most = Math.max(2 * neededBytes(), this.#leftBytes) + leastGainBytes;
      if (error !== undefined || bytes <= most || this.#isStopped) {
        this.#end(error);
        return;
      }
      logger.info({ bytes, revision }, 'gives back space of compacted revisions');
      this.#flush(revision);
    });
  }

  /** What is under way ends with its slice. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Only what LevelDB knows to be deleted can go. */
  #flush(revision: number): void {
    this.#options.backend.flush((error) => {
      if (error === undefined) this.#giveBack(0, revision, (failure) => this.#measure(failure));
      else this.#end(error);
    });
  }

  /** Slice by slice, each no larger than it may be, or of one revision. */
  #giveBack(from: number, to: number, done: Completion): void {
    const { backend, range } = this.#options;
    if (this.#isStopped) {
      done(undefined);
      return;
    }
    const keys = range(from, to);
    backend.sizeOnDisk(keys, (error, bytes) => {
      if (error !== undefined || bytes === 0 || this.#isStopped) {
        done(error);
      } else if (bytes <= sliceBytes || to - from <= 1) {
        backend.compact(keys, done);
      } else {
        const middle = from + Math.ceil((to - from) / 2);
        this.#giveBack(from, middle, (failure) => {
          if (failure === undefined) this.#giveBack(middle, to, done);
          else done(failure);
        });
      }
    });
  }

  #measure(error: Error | undefined): void {
    const { backend, logger } = this.#options;
    if (error !== undefined || this.#isStopped) {
      this.#end(error);
      return;
    }
    backend.sizeOnDisk({}, (failure, bytes) => {
      this.#leftBytes = bytes;
      logger.info({ bytes }, 'has given back space');
      this.#end(failure);
    });
  }

  /** Nothing depends on it: whoever writes next finds out what is wrong with the disk. */
  #end(error: Error | undefined): void {
    this.#isRunning = false;
    if (error !== undefined && !this.#isStopped) {
      this.#options.logger.warn({ error: error.message }, 'could not give back space');
    }
  }
}
