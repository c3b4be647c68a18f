/**
 * Reads all stored checksums again and again while the member runs, so that rot is found while the
 * other members still have what it takes, and not years later at a start: of every table, log and
 * MANIFEST that LevelDB relies on. It finds what a read of the file shows, or that it is missing;
 * what the kernel has in its cache hides the disk until it is dropped.
 *
 * A file is read within two intervals of its writing: those that come while a pass goes on are for
 * the next one. It never hurries: files are spread over the interval, one is read at a time off the
 * event loop, and its checksums are computed in slices with rests between them.
 */
import { readdirSync, readFile, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import { takeSlice, type Slice } from '../base/steps.ts';
import { isStateDirectory, logDirectory } from './directory-store.ts';
import { asError, codeOf, CorruptionError } from './errors.ts';
import { logSteps } from './log-scanner.ts';
import { type LiveFile, liveFiles } from './scanner.ts';
import { tableSteps } from './table-scanner.ts';

/** Checked in one turn of the event loop: some tenths of a millisecond. */
const sliceBytes = 64 * 1024;
/** Between two slices. With the slices' size it bounds the rate: 12.5 MiB a second. */
const sliceRestMs = 5;
/**
 * LevelDB may have been at work on what looked damaged, or was writing what was read: it is read
 * once more after this, and damaged if it looks the same.
 */
const confirmAfterMs = 1_000;

export interface ScrubOptions {
  /** The data directory. */
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** In which everything is read once, in milliseconds; longer if the rate's bound demands it. */
  readonly intervalMs: number;
  /** Whether the member works with a database: else it may be on its way out. */
  readonly reliesOn: (database: string) => boolean;
  /** Called once: the next start repairs what is damaged. */
  readonly damaged: (error: Error) => void;
}

interface ScrubbedFile extends LiveFile {
  readonly database: string;
  readonly path: string;
}

export class Scrub {
  readonly #options: ScrubOptions;
  readonly #checked: (bytes: number) => void;
  readonly #passed: () => void;
  readonly #damages: () => void;
  readonly #unreadable: () => void;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: ScrubOptions) {
    this.#options = options;
    const { metrics } = options;
    const counter = (name: string, help: string): ((by?: number) => void) => {
      const created = metrics.counter(name, help)();
      return (by) => created.increment(by);
    };
    this.#checked = counter('quorate_scrub_bytes_total', 'Stored bytes checked while running.');
    this.#passed = counter('quorate_scrub_passes_total', 'Times that all files were checked.');
    this.#damages = counter('quorate_scrub_damages_total', 'Damaged files found while running.');
    this.#unreadable = counter('quorate_scrub_failures_total', 'Files that could not be read.');
  }

  start(): void {
    if (this.#options.intervalMs > 0) this.#pass();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Each file is followed by its share of the interval. */
  #pass(): void {
    let files: readonly ScrubbedFile[];
    try {
      files = this.#files();
    } catch (thrown) {
      this.#failed(asError(thrown), this.#options.path);
      files = [];
    }
    const sizes = files.map(({ path }) => sizeOf(path));
    const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
    const { intervalMs } = this.#options;
    const next = (at: number): void => {
      const file = files[at];
      if (file === undefined) {
        if (files.length > 0) this.#passed();
        this.#after(files.length > 0 ? 0 : intervalMs, () => this.#pass());
        return;
      }
      const share = totalBytes === 0 ? 1 / files.length : (sizes[at] ?? 0) / totalBytes;
      const startedMs = this.#options.clock.monotonicMs();
      this.#check(file, undefined, () => {
        const tookMs = this.#options.clock.monotonicMs() - startedMs;
        this.#after(Math.max(sliceRestMs, share * intervalMs - tookMs), () => next(at + 1));
      });
    };
    next(0);
  }

  #files(): ScrubbedFile[] {
    const { path } = this.#options;
    return readdirSync(path)
      .filter((name) => name === logDirectory || isStateDirectory(name))
      .flatMap((database) =>
        this.#filesOf(database).map((file) => ({
          ...file,
          database,
          path: join(path, database, file.name),
        })),
      );
  }

  /** A MANIFEST that cannot be read is among the files, and its damage is found there. */
  #filesOf(database: string): readonly LiveFile[] {
    const location = join(this.#options.path, database);
    try {
      return liveFiles(location);
    } catch (thrown) {
      if (!(thrown instanceof CorruptionError) && codeOf(thrown) !== 'ENOENT') throw thrown;
      return readdirSync(location)
        .filter((name) => name.startsWith('MANIFEST-'))
        .map((name) => ({ name, kind: 'manifest', sizeBytes: undefined }));
    }
  }

  /** @param suspected the damage that was found in it before */
  #check(file: ScrubbedFile, suspected: string | undefined, done: () => void): void {
    const settle = (error: Error | undefined): void => {
      if (this.#stopped) return;
      if (!(error instanceof CorruptionError)) {
        if (error !== undefined) this.#failed(error, file.path);
        done();
      } else if (error.message !== suspected) {
        this.#after(confirmAfterMs, () => {
          if (this.#isLive(file)) this.#check(file, error.message, done);
          else done();
        });
      } else {
        this.#found(error, file);
      }
    };
    readFile(file.path, (error, bytes) => {
      if (error !== null) settle(codeOf(error) === 'ENOENT' ? missing(file.path) : error);
      else if (!this.#stopped) this.#checkBytes(file, bytes, settle);
    });
  }

  #isLive(file: ScrubbedFile): boolean {
    if (!this.#options.reliesOn(file.database)) return false;
    try {
      return this.#filesOf(file.database).some(({ name }) => name === file.name);
    } catch {
      return false;
    }
  }

  #checkBytes(file: ScrubbedFile, bytes: Buffer, done: (error: Error | undefined) => void): void {
    const { path, kind, sizeBytes } = file;
    if (sizeBytes !== undefined && bytes.length !== sizeBytes) {
      done(new CorruptionError(`${path} has ${bytes.length} bytes instead of ${sizeBytes}`));
      return;
    }
    const read = (offset: number, length: number): Buffer =>
      bytes.subarray(offset, offset + length);
    const steps = kind === 'table' ? tableSteps(read, bytes.length, path) : logSteps(bytes, path);
    const slice = (): void => {
      let taken: Slice<unknown>;
      try {
        taken = takeSlice<unknown>(steps, sliceBytes);
      } catch (thrown) {
        done(asError(thrown));
        return;
      }
      this.#checked(taken.amount);
      if (taken.end === undefined) this.#after(sliceRestMs, slice);
      else done(undefined);
    };
    slice();
  }

  #found(error: CorruptionError, file: ScrubbedFile): void {
    this.#damages();
    this.#options.logger.error(
      { error: error.message, database: file.database, file: file.name },
      'stored data is damaged; stopping, so that the next start repairs it from the others',
    );
    this.stop();
    this.#options.damaged(error);
  }

  #failed(error: Error, path: string): void {
    this.#unreadable();
    this.#options.logger.error({ error: error.message, path }, 'a file could not be checked');
  }

  #after(delayMs: number, callback: () => void): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(delayMs, callback);
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function missing(path: string): CorruptionError {
  return new CorruptionError(`${path} is missing`);
}
