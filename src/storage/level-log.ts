/**
 * LevelDB's write-ahead log, as far as LevelDB leaves it to others. It begins a new one when its
 * write buffer is full, and syncs what it writes there, but not the directory: POSIX does not
 * promise that the file still has a name after a power cut. So the name is made durable before a
 * write counts as done.
 *
 * And LevelDB lets the file grow with each write, so that each sync has to write the new size too,
 * in the file system's journal. So the file is made longer ahead of what is written, which costs no
 * space; whoever reads it finds zeros behind the last record (db/log_reader.cc skips them too).
 */
import {
  close as closeFile,
  closeSync,
  fstat,
  fstatSync,
  ftruncate,
  openSync,
  readdirSync,
  readSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Completion } from './engine.ts';
import { asError, codeOf } from './errors.ts';
import { fragmentType, headerBytes, lengthOf, nextStart, typeOf } from './log-format.ts';
import { syncDirectory } from './sync-directory.ts';

/** How much longer than what is written a log is made: thousands of small writes. */
const aheadBytes = 1024 * 1024;
/** Read at once: a small record, and room to see that no header follows. */
const windowBytes = 4096;

/** LevelDB may remove a log between its listing and its opening, but not again and again. */
const openTries = 10;

interface OpenLog {
  /** In its name: LevelDB gives each new one a higher one. */
  readonly number: number;
  readonly file: number;
  /** Where its records end. */
  endsAt: number;
  /** The file's size; undefined if it cannot be made longer. */
  sizeBytes: number | undefined;
}

export class LevelLog {
  readonly #location: string;
  readonly #window = Buffer.alloc(windowBytes);
  /** The newest log, whose name is durable or about to be; undefined before the first write. */
  #log: OpenLog | undefined;

  constructor(location: string) {
    this.#location = location;
  }

  /**
   * To be called after every single write, before the next one begins. What was written lies
   * behind the records of the known log, or in a newer one: to look for it costs far less than to
   * list or to sync the directory. `done` may be called at once.
   */
  written(done: Completion): void {
    let log = this.#log;
    try {
      if (log === undefined || !this.#follow(log)) log = this.#openNewest();
    } catch (thrown) {
      done(asError(thrown));
      return;
    }
    if (log === this.#log) {
      makeLonger(log, (isRemoved) => done(isRemoved ? this.#removed(log) : undefined));
      return;
    }
    this.close();
    this.#log = log;
    makeLonger(log, () => {
      syncDirectory(this.#location, (error) => {
        if (error !== undefined) this.close();
        done(error);
      });
    });
  }

  /** An error, unless LevelDB has begun a newer log: it removes those that it has saved. */
  #removed({ number }: OpenLog): Error | undefined {
    this.close();
    try {
      if (newestLog(this.#location).number > number) return undefined;
    } catch (thrown) {
      return asError(thrown);
    }
    return new Error('the log of LevelDB has been removed');
  }

  close(): void {
    // Nothing was written through it, and to delete the file, if LevelDB has done so, takes time.
    if (this.#log !== undefined) closeFile(this.#log.file, () => {});
    this.#log = undefined;
  }

  #openNewest(): OpenLog {
    for (let tries = 1; ; tries++) {
      const { number, path } = newestLog(this.#location);
      let file: number;
      try {
        file = openSync(path, 'r+');
      } catch (thrown) {
        // LevelDB has begun a newer one and removed this one meanwhile.
        if (codeOf(thrown) === 'ENOENT' && tries < openTries) continue;
        throw thrown;
      }
      try {
        const log: OpenLog = { number, file, endsAt: 0, sizeBytes: fstatSync(file).size };
        this.#follow(log);
        return log;
      } catch (thrown) {
        closeSync(file);
        throw thrown;
      }
    }
  }

  /** Moves the end of a log behind the records that are there; whether there were new ones. */
  #follow(log: OpenLog): boolean {
    const before = log.endsAt;
    let windowAt = 0;
    let windowEnd = 0;
    for (;;) {
      const at = nextStart(log.endsAt);
      if (at + headerBytes > windowEnd) {
        windowAt = at;
        windowEnd = at + readSync(log.file, this.#window, 0, windowBytes, at);
        if (at + headerBytes > windowEnd) break;
      }
      const header = at - windowAt;
      if (typeOf(this.#window, header) === fragmentType.none) break;
      log.endsAt = at + headerBytes + lengthOf(this.#window, header);
    }
    return log.endsAt > before;
  }
}

/**
 * Makes a log longer if little is left of what is ahead. It may be called at once; LevelDB begins
 * no write before, so nothing that it writes is cut off. Here a log shows that has lost its name
 * since it was opened, into which LevelDB may go on to write.
 */
function makeLonger(log: OpenLog, done: (isRemoved: boolean) => void): void {
  if (log.sizeBytes === undefined || log.sizeBytes - log.endsAt > aheadBytes / 2) {
    done(false);
    return;
  }
  const { file, endsAt } = log;
  fstat(file, (statError, stats) => {
    // Where a file system has no sparse files, or a limit for them, the log grows by itself.
    log.sizeBytes = undefined;
    if (statError !== null || stats.nlink === 0) {
      done(statError === null);
      return;
    }
    const sizeBytes = Math.max(stats.size, endsAt + aheadBytes);
    ftruncate(file, sizeBytes, (error) => {
      if (error === null) log.sizeBytes = sizeBytes;
      done(false);
    });
  });
}

/** @throws Error if there is none: what was written is in a file without a name */
function newestLog(location: string): { readonly number: number; readonly path: string } {
  let newest = { number: -1, path: '' };
  for (const name of readdirSync(location)) {
    const number = Number(/^(\d+)\.log$/.exec(name)?.[1] ?? -1);
    if (number > newest.number) newest = { number, path: join(location, name) };
  }
  if (newest.number < 0) throw new Error(`${location} has no log of LevelDB any more`);
  return newest;
}
