/** Tells of entries that take long to apply: while one does, the member does nothing else. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Counter, Histogram, Metrics } from '../base/metrics.ts';
import type { AppliedRequest } from '../apply/applier.ts';
import { decodeCommand } from '../apply/request.ts';

export interface ApplyWatchOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** A longer time is told of (etcd: warning-apply-duration); nothing is if undefined. */
  readonly warningApplyMs?: number | undefined;
}

type Kind = AppliedRequest['kind'];

/** Seconds: from 0.1 ms to 52 s, as etcd has them. */
const durationBuckets = Array.from({ length: 20 }, (_, i) => 0.0001 * 2 ** i);

export class ApplyWatch {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #slow: Counter;
  readonly #duration: (...labels: string[]) => Histogram;
  /** Those of the entries so far, so that the labels of each kind are looked up once. */
  readonly #succeeded = new Map<Kind, Histogram>();
  readonly #failed = new Map<Kind, Histogram>();
  readonly #limitMs: number;

  constructor({ clock, logger, metrics, warningApplyMs }: ApplyWatchOptions) {
    this.#clock = clock;
    this.#logger = logger;
    this.#limitMs = warningApplyMs ?? Infinity;
    this.#slow = metrics.counter(
      'etcd_server_slow_apply_total',
      'Entries that took longer to apply than --warning-apply-duration.',
    )();
    this.#duration = metrics.histogram(
      'etcd_server_apply_duration_seconds',
      'Time to apply an entry, by its kind and outcome.',
      durationBuckets,
      ['version', 'op', 'success'],
    );
  }

  /** @returns what {@link end} is to be given */
  begin(): number {
    return this.#clock.monotonicMs();
  }

  /** @param applied what came of the entry; undefined if it holds no request */
  end(startMs: number, data: Uint8Array, applied: AppliedRequest | undefined): void {
    const tookMs = this.#clock.monotonicMs() - startMs;
    if (applied !== undefined) this.#durationOf(applied).observe(tookMs / 1000);
    if (tookMs <= this.#limitMs) return;
    this.#slow.increment();
    const request = data.length === 0 ? 'none' : decodeCommand(data).command.case;
    this.#logger.warn(
      { tookMs, expectedMs: this.#limitMs, request, sizeBytes: data.length },
      'apply request took too long',
    );
  }

  #durationOf({ kind, outcome: { error } }: AppliedRequest): Histogram {
    // To ask for a compaction again is no failure, as in etcd.
    const isSuccess = error === undefined || error.reason === 'compacted';
    const known = isSuccess ? this.#succeeded : this.#failed;
    let duration = known.get(kind);
    if (duration === undefined) {
      const op = `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
      duration = this.#duration('v3', op, String(isSuccess));
      known.set(kind, duration);
    }
    return duration;
  }
}
