/** Names in a directory outlive a power cut only if the directory itself was synced after them. */
import { close, closeSync, fsync, fsyncSync, open, openSync } from 'node:fs';
import type { Completion } from './engine.ts';

/** Makes the names in a directory durable. */
export function syncDirectory(path: string, done: Completion): void {
  open(path, 'r', (openError, file) => {
    if (openError !== null) {
      done(openError);
      return;
    }
    fsync(file, (syncError) => {
      close(file, (closeError) => done(syncError ?? closeError ?? undefined));
    });
  });
}

/** As {@link syncDirectory}, for the start, when nothing else is going on. */
export function syncDirectoryNow(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
