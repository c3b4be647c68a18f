/** What the main program and the parts of a member agree on. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import type { PrometheusMetrics } from '../telemetry/metrics.ts';

/** A running member. */
export interface Member {
  /** Ends it in order; resolves when nothing is left open. */
  stop(): Promise<void>;
  /** Resolves if the member cannot go on, e.g. after a failed write. */
  readonly failed: Promise<Error>;
}

export interface MemberDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: PrometheusMetrics;
  /** Resolves when the member is to stop: a start that still waits for others waits no longer. */
  readonly stopping: Promise<unknown>;
}

export type Start = (config: Config, dependencies: MemberDependencies) => Promise<Member>;
