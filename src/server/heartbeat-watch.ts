/** Counts the heartbeats of a leader that are so late that its followers may lose patience. */
import type { Counter, Metrics } from '../base/metrics.ts';

export interface HeartbeatWatchOptions {
  readonly metrics: Metrics;
  readonly heartbeatMs: number;
  readonly isLeader: () => boolean;
  /** Members that get heartbeats from the leader. */
  readonly others: () => number;
}

/**
 * Heartbeats leave with the ticks, so two of them that are more than twice their interval apart, as
 * etcd has it, are known by a tick that came late by more than one.
 */
export class HeartbeatWatch {
  readonly #options: HeartbeatWatchOptions;
  readonly #late: Counter;
  /** At the tick before: what came before it led is no concern of its followers. */
  #led = false;

  constructor(options: HeartbeatWatchOptions) {
    this.#options = options;
    this.#late = options.metrics.counter(
      'etcd_server_heartbeat_send_failures_total',
      'Heartbeats that the leader sent late.',
    )();
  }

  tick(delayMs: number): void {
    const { heartbeatMs, isLeader, others } = this.#options;
    const leads = isLeader();
    if (leads && this.#led && delayMs > heartbeatMs) this.#late.increment(others());
    this.#led = leads;
  }
}
