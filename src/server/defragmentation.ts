/**
 * Gives the space of deleted values back to the file system at once. Members do it by themselves
 * when it is worth it (`space-reclaim.ts`), so nobody has to ask. It goes on beside everything
 * else, a few files at a time; all that ask while it is under way wait for the same run.
 */
import type { Clock } from '../base/clock.ts';
import type { Gauge, Histogram, Metrics } from '../base/metrics.ts';
import type { Completion } from '../storage/engine.ts';
import type { StringRange } from '../storage/keyspace.ts';

/** The state database as this file needs it. */
export interface CompactedBackend {
  flush(done: Completion): void;
  compact(range: StringRange, done: Completion): void;
}

/** 0.1 s, doubled up to seven minutes, as in etcd. */
const durationBuckets = Array.from({ length: 13 }, (_, i) => 0.1 * 2 ** i);

export interface DefragmentationOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
}

export class Defragmentation {
  readonly #backend: () => CompactedBackend;
  readonly #clock: Clock;
  readonly #duration: Histogram;
  readonly #inflight: Gauge;
  #startedMs = 0;
  #waiting: Completion[] = [];

  constructor({ clock, metrics }: DefragmentationOptions, backend: () => CompactedBackend) {
    this.#backend = backend;
    this.#clock = clock;
    this.#duration = metrics.histogram(
      'etcd_disk_backend_defrag_duration_seconds',
      'How long defragmentations took.',
      durationBuckets,
    )();
    this.#inflight = metrics.gauge(
      'etcd_disk_defrag_inflight',
      '1 while the member defragments its state.',
    )();
    this.#inflight.set(0);
  }

  run(done: Completion): void {
    this.#waiting.push(done);
    if (this.#waiting.length > 1) return;
    this.#startedMs = this.#clock.monotonicMs();
    this.#inflight.set(1);
    // A snapshot may replace the state meanwhile: the run is of the state that it began with.
    const backend = this.#backend();
    backend.flush((error) => {
      if (error === undefined) backend.compact({}, (failure) => this.#end(failure));
      else this.#end(error);
    });
  }

  #end(error: Error | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#inflight.set(0);
    this.#duration.observe((this.#clock.monotonicMs() - this.#startedMs) / 1000);
    for (const done of waiting) done(error);
  }
}
