/** Everything a member keeps: whose it is, its log, its state, and states that come and go. */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { MemberId } from '../raft/index.ts';
import type { DirectoryStore } from './directory-store.ts';
import type { Identity } from './identity.ts';
import { LevelDirectoryStore } from './level-directory.ts';
import { MemoryDirectoryStore, type MemoryDirectory } from './memory-directory.ts';
import type { DataDirectory } from './open-directory.ts';
import { Opening } from './opening.ts';

export { readIdentity } from './level-directory.ts';
export { DataDirectory } from './open-directory.ts';
export type { Identity } from './identity.ts';

export interface DataDirectoryOptions {
  /** Where: a path, or memory in tests. */
  readonly path?: string | undefined;
  readonly memory?: MemoryDirectory | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whose it must be, or becomes at the first start. Without, it must be somebody's already. */
  readonly identity?: Identity | undefined;
  /**
   * With whom the cluster was founded, if known: where the state is lost, this tells whether there
   * is anybody to get it back from.
   */
  readonly founders?: readonly MemberId[] | undefined;
  /** Damage that was found in what the state holds, when it was open last: it is not to be used. */
  readonly stateDamage?: Error | undefined;
  readonly flushIntervalMs?: number | undefined;
  /** Budget for log entries kept in memory. */
  readonly logCacheBytes?: number | undefined;
  /** In memory only: how long a write takes. */
  readonly memoryWriteDelayMs?: ((sync: boolean, bytes: number) => number) | undefined;
}

/**
 * Opens a data directory and proves that it is whole; errors are `DataDirectoryError` in words for
 * the operator. Nothing in it is changed before it is known to be ours. What is damaged is set
 * aside, where the other members can give it back (`repair.ts`), or else left as it is and refused.
 */
export function openDataDirectory(
  options: DataDirectoryOptions,
  done: (error: Error | undefined, directory: DataDirectory | undefined) => void,
): void {
  new Opening(options, storeFor(options), done).start();
}

function storeFor(options: DataDirectoryOptions): DirectoryStore {
  const { path, memory, clock, logger } = options;
  if (memory !== undefined) {
    const writeDelayMs = options.memoryWriteDelayMs;
    return new MemoryDirectoryStore({ directory: memory, clock, writeDelayMs });
  }
  assert(path !== undefined, 'a data directory has a path or is in memory');
  return new LevelDirectoryStore({ path, clock, logger });
}
