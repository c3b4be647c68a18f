/**
 * LevelDB begins a new log when its write buffer is full, and syncs what it writes there, but not
 * the directory: POSIX does not promise that the file still has a name after a power cut. So the
 * name is made durable before a write counts as done.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Completion } from './engine.ts';
import { asError } from './errors.ts';
import { syncDirectory } from './sync-directory.ts';

export class LogName {
  readonly #location: string;
  /** The log whose name is durable; undefined before the first write. */
  #path: string | undefined;
  #sizeBytes = 0;

  constructor(location: string) {
    this.#location = location;
  }

  /**
   * To be called after every single write, before the next one begins. What was written has made
   * either the known log longer, or begun another one; to ask for a size is far cheaper than to
   * list or to sync the directory. `done` may be called at once.
   */
  written(done: Completion): void {
    let newest: string | undefined;
    let sizeBytes = 0;
    try {
      if (this.#hasGrown()) {
        done(undefined);
        return;
      }
      newest = newestLog(this.#location);
      if (newest !== undefined) sizeBytes = statSync(newest).size;
    } catch (thrown) {
      done(asError(thrown));
      return;
    }
    syncDirectory(this.#location, (error) => {
      if (error === undefined) {
        this.#path = newest;
        this.#sizeBytes = sizeBytes;
      }
      done(error);
    });
  }

  #hasGrown(): boolean {
    if (this.#path === undefined) return false;
    const sizeBytes = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    if (sizeBytes <= this.#sizeBytes) return false;
    this.#sizeBytes = sizeBytes;
    return true;
  }
}

function newestLog(location: string): string | undefined {
  let newest = -1;
  let path: string | undefined;
  for (const name of readdirSync(location)) {
    const number = /^(\d+)\.log$/.exec(name)?.[1];
    if (number === undefined || Number(number) <= newest) continue;
    newest = Number(number);
    path = join(location, name);
  }
  return path;
}
