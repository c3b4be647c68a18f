/** Everything a member keeps: whose it is, its log, its state, and states that come and go. */
import { assert } from '../base/assert.ts';
import type { DataDirectoryOptions } from './directory-options.ts';
import type { DirectoryStore } from './directory-store.ts';
import { LevelDirectoryStore } from './level-directory.ts';
import { MemoryDirectoryStore } from './memory-directory.ts';
import type { DataDirectory } from './open-directory.ts';
import { Opening } from './opening.ts';

export { readIdentity } from './level-directory.ts';
export { DataDirectory } from './open-directory.ts';
export type { DataDirectoryOptions } from './directory-options.ts';
export type { Identity } from './identity.ts';

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
  const { path, memory, clock, logger, metrics, unsafeNoFsync } = options;
  if (memory !== undefined) {
    const { memoryWriteDelayMs: writeDelayMs, memoryReadDelayMs: readDelayMs } = options;
    return new MemoryDirectoryStore({ directory: memory, clock, writeDelayMs, readDelayMs });
  }
  assert(path !== undefined, 'a data directory has a path or is in memory');
  return new LevelDirectoryStore({ path, clock, logger, metrics, unsafeNoFsync });
}
