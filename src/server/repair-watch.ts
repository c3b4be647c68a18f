/** Tells the operator of a member that lost part of its log, until it has got it back. */
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';

/** How often it is looked whether the log is whole again. */
const lookEveryMs = 500;
/** How often a member that still waits says so: 30 s. */
const looksPerReport = 60;

export interface RepairWatchOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The term that the log must reach; undefined once it has. */
  readonly repairTerm: () => number | undefined;
  readonly lastIndex: () => number;
  readonly hasLeader: () => boolean;
}

export class RepairWatch {
  readonly #options: RepairWatchOptions;
  readonly #repairing: (repairing: boolean) => void;
  #timer: Timer | undefined;
  #looks = 0;

  constructor(options: RepairWatchOptions) {
    this.#options = options;
    const gauge = options.metrics.gauge(
      'quorate_server_repairing',
      '1 while this member, which lost part of its log, gets it back from others and abstains.',
    )();
    this.#repairing = (repairing) => gauge.set(repairing ? 1 : 0);
    this.#repairing(options.repairTerm() !== undefined);
  }

  start(): void {
    if (this.#options.repairTerm() !== undefined) this.#look();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const { clock, logger, repairTerm, lastIndex, hasLeader } = this.#options;
    const term = repairTerm();
    if (term === undefined) {
      this.#repairing(false);
      logger.info({ 'last-index': lastIndex() }, 'the log is whole again; this member votes again');
      return;
    }
    if (this.#looks % looksPerReport === 0) {
      const fields = { 'last-index': lastIndex(), 'awaited-term': term };
      const waits = hasLeader()
        ? 'this member lost part of its log and gets it from the leader; it does not vote yet'
        : 'this member lost part of its log and does not vote; it waits for a leader that a ' +
          'majority elects without it';
      logger.warn(fields, waits);
    }
    this.#looks += 1;
    this.#timer = clock.after(lookEveryMs, () => this.#look());
  }
}
