/** Removes what compactions have made unreachable, a little at a time beside everything else. */
import type { Clock } from '../base/clock.ts';
import { reach } from '../base/fault-point.ts';
import type { Metrics } from '../base/metrics.ts';
import { type CompactionTimes, createCompactionTimes } from './compaction-metrics.ts';

/** The store as this file needs it. */
export interface CompactedStore {
  readonly finishedCompaction: number;
  compactionStep(removals?: number): 'idle' | 'more' | 'waiting';
  onCompactionWork(listener: () => void): void;
}

export interface CompactionRunnerOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly store: CompactedStore;
  /**
   * Rest between two steps in milliseconds, so that requests come first (etcd:
   * compaction-sleep-interval).
   */
  readonly restMs: number;
  /** Records removed in one step (etcd: compaction-batch-limit); the store's own if undefined. */
  readonly batchLimit?: number | undefined;
  /** Removals held in memory; above it the runner waits for the next flush. */
  readonly pendingOperations: () => number;
  /** Told after each step that changed something. */
  readonly changed: () => void;
  /** A compaction is over: what was below its revision and can go has gone. */
  readonly finished: (revision: number) => void;
  /** Makes all removals so far durable. */
  readonly flush: (done: () => void) => void;
}

/** More removals than a flush takes in one go would only pile up. */
const pendingOperationsLimit = 20_000;

export class CompactionRunner {
  readonly #options: CompactionRunnerOptions;
  readonly #times: CompactionTimes;
  /** Of the compaction under way. */
  #startMs: number | undefined;
  #running = false;
  #stopped = false;
  #waiting: { readonly revision: number; readonly done: () => void }[] = [];

  constructor(options: CompactionRunnerOptions) {
    this.#options = options;
    this.#times = createCompactionTimes(options.metrics, options.clock);
    options.store.onCompactionWork(() => {
      this.#run();
    });
  }

  /** Calls `done` once everything below `revision` that can go has gone, durably. */
  whenCompacted(revision: number, done: () => void): void {
    this.#waiting.push({ revision, done });
    this.#settle();
  }

  /** Leaves the rest for the next start; who waits is told, as there is nothing to wait for. */
  stop(): void {
    this.#stopped = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { done } of waiting) done();
  }

  #run(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#options.clock.after(this.#options.restMs, () => {
      this.#running = false;
      if (!this.#stopped) this.#step();
    });
  }

  #step(): void {
    const { pendingOperations } = this.#options;
    if (pendingOperations() > pendingOperationsLimit) {
      this.#run();
      return;
    }
    reach('store-compaction-before-step');
    const progress = this.#timedStep();
    reach('store-compaction-after-step');
    this.#options.changed();
    if (progress === 'more') this.#run();
    this.#settle();
  }

  #timedStep(): ReturnType<CompactedStore['compactionStep']> {
    const { store, clock, batchLimit } = this.#options;
    const { finishedCompaction } = store;
    const stepMs = clock.monotonicMs();
    const progress = store.compactionStep(batchLimit);
    const nowMs = clock.monotonicMs();
    const isFinished = store.finishedCompaction > finishedCompaction;
    if (progress === 'more' || isFinished) this.#times.step(nowMs - stepMs);
    if (progress === 'more') this.#startMs ??= stepMs;
    if (isFinished) {
      this.#times.finished(nowMs - (this.#startMs ?? stepMs));
      this.#startMs = undefined;
      this.#options.finished(store.finishedCompaction);
    }
    return progress;
  }

  #settle(): void {
    const { store, flush } = this.#options;
    const finished = this.#waiting.filter(({ revision }) => revision <= store.finishedCompaction);
    if (finished.length === 0) return;
    this.#waiting = this.#waiting.filter(({ revision }) => revision > store.finishedCompaction);
    flush(() => {
      for (const { done } of finished) done();
    });
  }
}
