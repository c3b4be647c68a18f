/** Tells of entries that take long to apply: while one does, the member does nothing else. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Counter, Metrics } from '../base/metrics.ts';
import { decodeCommand } from '../apply/request.ts';

export interface ApplyWatchOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** A longer time is told of (etcd: warning-apply-duration); nothing is if undefined. */
  readonly warningApplyMs?: number | undefined;
}

export class ApplyWatch {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #slow: Counter;
  readonly #limitMs: number;

  constructor({ clock, logger, metrics, warningApplyMs }: ApplyWatchOptions) {
    this.#clock = clock;
    this.#logger = logger;
    this.#limitMs = warningApplyMs ?? Infinity;
    this.#slow = metrics.counter(
      'etcd_server_slow_apply_total',
      'Entries that took longer to apply than --warning-apply-duration.',
    )();
  }

  /** @returns what {@link end} is to be given */
  begin(): number {
    return this.#clock.monotonicMs();
  }

  end(startMs: number, data: Uint8Array): void {
    const tookMs = this.#clock.monotonicMs() - startMs;
    if (tookMs <= this.#limitMs) return;
    this.#slow.increment();
    const request = data.length === 0 ? 'none' : decodeCommand(data).command.case;
    this.#logger.warn(
      { tookMs, expectedMs: this.#limitMs, request, sizeBytes: data.length },
      'apply request took too long',
    );
  }
}
