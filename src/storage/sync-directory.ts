/** Names in a directory outlive a power cut only if the directory itself was synced after them. */
import { close, closeSync, fsync, fsyncSync, open, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
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

/**
 * Gives a file another text, or makes it. Afterwards it has either the old text or the new one,
 * whenever the power goes.
 * @param temporary where the new text is written first, in the same directory
 */
export function replaceFile(path: string, text: string, temporary: string, mode = 0o666): void {
  const file = openSync(temporary, 'w', mode);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncDirectoryNow(dirname(path));
}
