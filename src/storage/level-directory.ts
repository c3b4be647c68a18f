/** A data directory on a file system. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rm,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import { takeSlice, type Slice } from '../base/steps.ts';
import type { MemberId } from '../raft/index.ts';
import {
  buildingLogDirectory,
  isDamaged,
  isStateDirectory,
  logDirectory,
  repairedLogDirectory,
  type DirectoryStore,
} from './directory-store.ts';
import type { Completion, Engine } from './engine.ts';
import {
  asError,
  codeOf,
  CorruptionError,
  DataDirectoryError,
  NewerVersionError,
} from './errors.ts';
import { decodeFounding, encodeFounding, type FoundingRecord } from './founding-file.ts';
import { decodeIdentity, encodeIdentity, type StoredIdentity } from './identity.ts';
import { createDiskMetrics, type DiskMetrics } from './disk-metrics.ts';
import { isLockedError, LevelEngine, type LevelEngineOptions } from './level-engine.ts';
import { mendDatabase } from './mend.ts';
import { readRetrying } from './read-retry.ts';
import { databaseSteps, type DatabaseCheck, type Mend } from './scanner.ts';
import { replaceFile, syncDirectory, syncDirectoryNow } from './sync-directory.ts';
import { decodeTermBound, encodeTermBound } from './term-file.ts';

/** Says whose a directory is; one without it is nobody's. */
export const identityFile = 'identity.json';
const termFile = 'term.json';
const foundingFile = 'founding.json';
/** An empty database whose lock, which the kernel releases with the process, is the directory's. */
const lockDirectory = 'lock';
/** Of a directory that is not ours, and in which no start of ours can have made another. */
const unsyncable = ['EACCES', 'EPERM', 'EINVAL', 'EROFS', 'ENOTSUP'];
const directoryMode = 0o700;
const fileMode = 0o600;

const mebibyte = 1024 * 1024;
/** Checked in one turn of the event loop: a few milliseconds. */
const checkedPerTurnBytes = mebibyte;
/** The unit of `stat`, whatever the file system has. */
const blockBytes = 512;
/** The log is written once, read rarely, and deleted from its beginning. */
const logBuffers = { writeBufferBytes: 16 * mebibyte, cacheBytes: 8 * mebibyte };
/** Fewer, larger tables: less to merge, and further from LevelDB's limits on level 0. */
const stateBuffers = { writeBufferBytes: 32 * mebibyte, cacheBytes: 32 * mebibyte };
const lockBuffers = { writeBufferBytes: 64 * 1024, cacheBytes: 64 * 1024 };

/** The identity of a data directory without opening it; undefined if it is not one yet. */
export function readIdentity(path: string): StoredIdentity | undefined {
  const file = join(path, identityFile);
  let text: string;
  try {
    text = readRetrying(file, () => readFileSync(file, 'utf8'));
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return undefined;
    throw unusable(path, thrown);
  }
  return decodeIdentity(text, file);
}

function unusable(path: string, thrown: unknown): DataDirectoryError {
  if (thrown instanceof DataDirectoryError) return thrown;
  const reason = asError(thrown).message;
  return new DataDirectoryError('unusable', `cannot use data directory ${path}: ${reason}`, thrown);
}

export class LevelDirectoryStore implements DirectoryStore {
  readonly description: string;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #lock: LevelEngine | undefined;
  /** What checks found that is to be done before a database is opened. */
  readonly #mends = new Map<string, Mend>();

  readonly #syncs: boolean;
  readonly #diskMetrics: DiskMetrics;

  constructor(options: {
    readonly path: string;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly metrics?: Metrics | undefined;
    readonly unsafeNoFsync?: boolean | undefined;
  }) {
    this.#syncs = options.unsafeNoFsync !== true;
    this.#diskMetrics = createDiskMetrics(options.metrics);
    this.#path = options.path;
    this.description = options.path;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  open(done: (error: Error | undefined, identity: StoredIdentity | undefined) => void): void {
    try {
      this.#prepare();
    } catch (thrown) {
      this.#clock.defer(() => done(unusable(this.#path, thrown), undefined));
      return;
    }
    this.#takeLock((error, engine) => {
      if (engine === undefined) {
        done(error, undefined);
        return;
      }
      this.#lock = engine;
      let identity: StoredIdentity | undefined;
      try {
        // Read only now, with the lock: two processes may have begun in the empty directory.
        identity = readIdentity(this.#path);
      } catch (thrown) {
        this.close(() => done(asError(thrown), undefined));
        return;
      }
      done(undefined, identity);
    });
  }

  #takeLock(done: (error: Error | undefined, engine: LevelEngine | undefined) => void): void {
    this.#openLevel(lockDirectory, lockBuffers, (error, engine) => {
      const inUse = error instanceof DataDirectoryError && error.problem === 'inUse';
      if (engine !== undefined || inUse) {
        done(error, engine);
        return;
      }
      // LevelDB takes the lock before it reads anything, so nobody has it. The database is empty,
      // and can be made anew if a crash left it unreadable.
      this.remove(lockDirectory, (removeError) => {
        if (removeError !== undefined) done(removeError, undefined);
        else this.#openLevel(lockDirectory, lockBuffers, done);
      });
    });
  }

  writeIdentity(identity: StoredIdentity, done: Completion): void {
    let error: Error | undefined;
    try {
      this.#replaceFile(identityFile, encodeIdentity(identity));
    } catch (thrown) {
      error = asError(thrown);
    }
    this.#clock.defer(() => done(error));
  }

  reservedTerm(memberId: MemberId): number | undefined {
    const text = this.#readFile(termFile);
    return text === undefined ? undefined : decodeTermBound(text, memberId);
  }

  reserveTerm(memberId: MemberId, term: number): void {
    this.#replaceFile(termFile, encodeTermBound(memberId, term));
  }

  readFounding(memberId: MemberId): FoundingRecord | undefined {
    const text = this.#readFile(foundingFile);
    return text === undefined ? undefined : decodeFounding(text, memberId);
  }

  writeFounding(memberId: MemberId, record: FoundingRecord): void {
    this.#replaceFile(foundingFile, encodeFounding(memberId, record));
  }

  /** Undefined if it is not there. */
  #readFile(name: string): string | undefined {
    const path = join(this.#path, name);
    try {
      return readRetrying(path, () => readFileSync(path, 'utf8'));
    } catch (thrown) {
      if (codeOf(thrown) === 'ENOENT') return undefined;
      throw unusable(this.#path, thrown);
    }
  }

  #replaceFile(name: string, text: string): void {
    const path = join(this.#path, name);
    try {
      replaceFile(path, text, `${path}.new`, fileMode);
    } catch (thrown) {
      throw unusable(this.#path, thrown);
    }
  }

  check(name: string, done: (error: Error | undefined, there: boolean | undefined) => void): void {
    const steps = databaseSteps(join(this.#path, name));
    const turn = (): void => {
      let slice: Slice<DatabaseCheck>;
      try {
        slice = takeSlice(steps, checkedPerTurnBytes);
      } catch (thrown) {
        const tells = thrown instanceof CorruptionError || thrown instanceof NewerVersionError;
        done(tells ? thrown : unusable(this.#path, thrown), undefined);
        return;
      }
      if (slice.end === undefined) this.#clock.defer(turn);
      else done(undefined, this.#noteCheck(name, slice.end.result));
    };
    this.#clock.defer(turn);
  }

  /** @returns whether there is a database */
  #noteCheck(name: string, { absent, torn, mend }: DatabaseCheck): boolean {
    if (mend === undefined) this.#mends.delete(name);
    else this.#mends.set(name, mend);
    if (torn) {
      this.#logger.info({ database: name }, 'the last write had not completed; it is dropped');
    }
    return !absent;
  }

  openEngine(
    name: string,
    done: (error: Error | undefined, engine: Engine | undefined) => void,
  ): void {
    const mend = this.#mends.get(name);
    this.#mends.delete(name);
    try {
      if (mend !== undefined) {
        this.#logger.info({ database: name, ...mend }, 'mending what a power cut left');
        mendDatabase(join(this.#path, name), mend);
      }
    } catch (thrown) {
      this.#clock.defer(() => done(unusable(this.#path, thrown), undefined));
      return;
    }
    const { log, state } = this.#diskMetrics;
    const settings = isStateDirectory(name)
      ? { ...stateBuffers, observe: state }
      : { ...logBuffers, observe: log };
    this.#openLevel(name, settings, done);
  }

  databases(): readonly string[] {
    return readdirSync(this.#path).filter(isDatabase);
  }

  sizeBytes(name: string): number {
    const location = join(this.#path, name);
    let bytes = 0;
    for (const file of readdirSync(location)) {
      // LevelDB may delete a file between the listing and this; logs have holes at their end.
      const blocks = statSync(join(location, file), { throwIfNoEntry: false })?.blocks ?? 0;
      bytes += blocks * blockBytes;
    }
    return bytes;
  }

  remove(name: string, done: Completion): void {
    rm(join(this.#path, name), { recursive: true, force: true }, (error) => {
      if (error === null) syncDirectory(this.#path, done);
      else done(unusable(this.#path, error));
    });
  }

  rename(from: string, to: string, done: Completion): void {
    try {
      renameSync(join(this.#path, from), join(this.#path, to));
    } catch (thrown) {
      this.#clock.defer(() => done(unusable(this.#path, thrown)));
      return;
    }
    syncDirectory(this.#path, done);
  }

  close(done: Completion): void {
    const lock = this.#lock;
    this.#lock = undefined;
    if (lock === undefined) this.#clock.defer(() => done(undefined));
    else lock.close(done);
  }

  /** Creates the directory, or sees that an existing one is ours and closed to other users. */
  #prepare(): void {
    const stored = readIdentity(this.#path);
    if (stored?.ready !== true) makeDirectory(this.#path);
    const mode = statSync(this.#path).mode & 0o777;
    if (mode !== directoryMode) {
      this.#logger.warn(
        { path: this.#path, mode: mode.toString(8) },
        'the data directory was open to others; its mode is set to 700',
      );
      chmodSync(this.#path, directoryMode);
    }
    if (stored !== undefined) return;
    const ours = [lockDirectory, `${identityFile}.new`, `${termFile}.new`, 'lost+found'];
    const stranger = readdirSync(this.#path).find((name) => !ours.includes(name));
    if (stranger === undefined) return;
    const lost = [termFile, foundingFile].includes(stranger) || isDatabase(stranger);
    throw lost
      ? new DataDirectoryError('damaged', `${this.#path} has data, but ${identityFile} is missing`)
      : new DataDirectoryError('foreign', foreignText(this.#path, stranger));
  }

  #openLevel(
    name: string,
    settings: Omit<LevelEngineOptions, 'clock' | 'logger' | 'syncs'>,
    done: (error: Error | undefined, engine: LevelEngine | undefined) => void,
  ): void {
    const location = join(this.#path, name);
    const options = {
      clock: this.#clock,
      logger: this.#logger,
      syncs: this.#syncs,
      ...settings,
    };
    LevelEngine.open(location, options, (error, engine) => {
      if (engine === undefined) {
        done(this.#explain(error), undefined);
        return;
      }
      // LevelDB renames its CURRENT file without syncing the directory, and creates the directory
      // itself without syncing the one above.
      syncDirectory(location, (unsynced) => {
        syncDirectory(this.#path, (alsoUnsynced) => {
          const failure = unsynced ?? alsoUnsynced;
          if (failure === undefined) done(undefined, engine);
          else engine.close(() => done(unusable(this.#path, failure), undefined));
        });
      });
    });
  }

  #explain(error: Error | undefined): Error {
    if (error === undefined) return unusable(this.#path, 'no reason given');
    if (isLockedError(error)) {
      const message = `data directory ${this.#path} is in use by another process`;
      return new DataDirectoryError('inUse', message, error);
    }
    return error.name === 'CorruptionError' ? error : unusable(this.#path, error);
  }
}

function isDatabase(name: string): boolean {
  const logs = [logDirectory, buildingLogDirectory, repairedLogDirectory];
  return logs.includes(name) || isStateDirectory(name) || isDamaged(name);
}

/**
 * Makes a directory and those above it, durably. Those that are there may have been made by a start
 * that ended before it had synced them. Node's own recursion never ends where a directory can be
 * made nowhere (/proc).
 */
function makeDirectory(path: string): void {
  const parent = dirname(path);
  if (parent === path) return;
  makeDirectory(parent);
  const isThere = existsSync(path);
  if (!isThere) mkdirSync(path, { mode: directoryMode });
  try {
    syncDirectoryNow(parent);
  } catch (thrown) {
    if (!isThere || !unsyncable.includes(codeOf(thrown) ?? '')) throw thrown;
  }
}

/** Whose directory this is, if not ours. That of an etcd holds a database that can be restored. */
function foreignText(path: string, stranger: string): string {
  const database = join(path, 'member', 'snap', 'db');
  if (!existsSync(database)) return `${path} is not a data directory: it holds ${stranger}`;
  return (
    `${path} is the data directory of an etcd: make one of it, at another place, with ` +
    `kvctl snapshot restore --skip-hash-check --data-dir DIR ${database}`
  );
}
