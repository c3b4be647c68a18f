/** What it takes to open a data directory. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import type { MemberId } from '../raft/index.ts';
import type { Identity } from './identity.ts';
import type { MemoryDirectory } from './memory-directory.ts';

export interface DataDirectoryOptions {
  /** Where: a path, or memory in tests. */
  readonly path?: string | undefined;
  readonly memory?: MemoryDirectory | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whose it must be, or becomes at the first start. Without, it must be somebody's already. */
  readonly identity?: Identity | undefined;
  /**
   * With whom the cluster was founded; throws if that is not known. Where the state is lost, this
   * tells whether there is anybody to get it back from.
   */
  readonly founders?: (() => readonly MemberId[]) | undefined;
  /** Damage that was found in what the state holds, when it was open last: it is not to be used. */
  readonly stateDamage?: Error | undefined;
  readonly flushIntervalMs?: number | undefined;
  /** Nothing that is written to databases is synced: a power cut loses it, and more. */
  readonly unsafeNoFsync?: boolean | undefined;
  /** For the times that synced writes take. */
  readonly metrics?: Metrics | undefined;
  /** Budget for log entries kept in memory. */
  readonly logCacheBytes?: number | undefined;
  /** In memory only: how long a write takes. */
  readonly memoryWriteDelayMs?: ((sync: boolean, bytes: number) => number) | undefined;
  /** In memory only: how long a read of many pairs takes. */
  readonly memoryReadDelayMs?: (() => number) | undefined;
}
