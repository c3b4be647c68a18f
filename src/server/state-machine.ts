/**
 * A member's replicated state and what is done with it: entries are applied to it, its history is
 * compacted, and a snapshot puts another in its place. The objects behind `state` and `compaction`
 * are others after that; `watchable` stays, and its watchers with it.
 */
import { Applier, type AppliedRequest } from '../apply/applier.ts';
import type { Gauge } from '../base/metrics.ts';
import { revisionKey } from '../mvcc/revision.ts';
import { WatchableStore } from '../mvcc/watchable-store.ts';
import type { SnapshotMetadata } from '../raft/index.ts';
import type { DataDirectory } from '../storage/data-directory.ts';
import { ApplyWatch, type ApplyWatchOptions } from './apply-watch.ts';
import { CompactionRunner } from './compaction-runner.ts';
import { Defragmentation } from './defragmentation.ts';
import { SpaceReclaim } from './space-reclaim.ts';
import { loadState, type State, stateSizeBytes } from './state.ts';

export interface StateMachineOptions extends ApplyWatchOptions {
  readonly directory: DataDirectory;
  /** Between two parts of a compaction. */
  readonly compactionRestMs: number;
  /** Records that a part of a compaction removes. */
  readonly compactionBatchLimit?: number | undefined;
  /** Memory for values. */
  readonly cacheBytes?: number | undefined;
}

export class StateMachine {
  readonly watchable: WatchableStore;
  readonly #options: StateMachineOptions;
  readonly #applier: Applier;
  readonly #defragmentation: Defragmentation;
  readonly #applyWatch: ApplyWatch;
  /** Snapshots being taken over: one or none. */
  readonly #installing: Gauge;
  #state: State;
  #compaction: CompactionRunner;
  #reclaim: SpaceReclaim;

  constructor(options: StateMachineOptions, state: State) {
    this.#options = options;
    this.#state = state;
    this.#applier = new Applier(state);
    this.#applyWatch = new ApplyWatch(options);
    this.#installing = options.metrics.gauge(
      'etcd_server_snapshot_apply_in_progress_total',
      '1 while a received snapshot is taken over.',
    )();
    this.watchable = new WatchableStore({ store: state.store, clock: options.clock });
    this.#reclaim = this.#startReclaim();
    this.#compaction = this.#startCompaction();
    this.#defragmentation = new Defragmentation(options, () => options.directory.backend);
  }

  get state(): State {
    return this.#state;
  }

  get compaction(): CompactionRunner {
    return this.#compaction;
  }

  /** @returns the request and what came of it; undefined for an entry that holds none */
  apply(data: Uint8Array): AppliedRequest | undefined {
    const startMs = this.#applyWatch.begin();
    const applied = this.#applier.apply(data);
    this.#applyWatch.end(startMs, data, applied);
    return applied;
  }

  /**
   * Goes on with the state of a snapshot that the log names already.
   * @param mayReplace asked when it is loaded: whether it may still be used
   * @param replaced called before `done` if it is in use now
   */
  install(
    snapshot: SnapshotMetadata,
    mayReplace: () => boolean,
    replaced: () => void,
    done: (error: Error | undefined) => void,
  ): void {
    const { directory, clock, cacheBytes } = this.#options;
    this.stop();
    this.#installing.set(1);
    const end = (error: Error | undefined): void => {
      this.#installing.set(0);
      done(error);
    };
    directory.install(snapshot, (installError, backend) => {
      if (backend === undefined) {
        end(installError);
        return;
      }
      loadState({ backend, clock, cacheBytes }, (error, state) => {
        if (state !== undefined && mayReplace()) {
          this.#replace(state);
          replaced();
        }
        end(error);
      });
    });
  }

  /** See {@link Defragmentation}. */
  defragment(done: (error: Error | undefined) => void): void {
    this.#defragmentation.run(done);
  }

  /** Compaction goes on after the next start. */
  stop(): void {
    this.#compaction.stop();
    this.#reclaim.stop();
  }

  #replace(state: State): void {
    this.#state = state;
    this.#applier.restore(state);
    this.watchable.restore(state.store);
    this.#reclaim = this.#startReclaim();
    this.#compaction = this.#startCompaction();
    this.#options.directory.removeReplaced();
  }

  #startReclaim(): SpaceReclaim {
    const { directory, logger } = this.#options;
    const { backend } = directory;
    return new SpaceReclaim({
      logger,
      backend,
      neededBytes: () => stateSizeBytes(this.#state),
      range: (from, to) => ({ low: revisionKey(from, 0), high: revisionKey(to, 0) }),
    });
  }

  #startCompaction(): CompactionRunner {
    const { clock, metrics, compactionRestMs, compactionBatchLimit, directory } = this.#options;
    const { backend } = directory;
    return new CompactionRunner({
      clock,
      metrics,
      store: this.#state.store,
      restMs: compactionRestMs,
      batchLimit: compactionBatchLimit,
      pendingOperations: () => backend.pendingOperations,
      changed: () => {
        backend.applied(backend.appliedIndex, backend.appliedTerm);
      },
      finished: (revision) => this.#reclaim.compacted(revision),
      flush: (done) => {
        backend.flush(() => {
          done();
        });
      },
    });
  }
}
