/** LevelDB through classic-level: the only file that knows either. */
import { ClassicLevel } from 'classic-level';
import { assert } from '../base/assert.ts';
import { buffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { operationBytes } from './engine.ts';
import type { WriteObserver } from './disk-metrics.ts';
import type { Completion, Engine, EngineEntry, EngineView, KeyRange, Operation } from './engine.ts';
import { asError, codeOf, CorruptionError } from './errors.ts';
import { LevelLog } from './level-log.ts';

type Database = ClassicLevel<Buffer, Buffer>;
type Snapshot = ReturnType<Database['snapshot']>;

/** Operations handed to LevelDB in one turn: 10,000 at once block the event loop for 48 ms. */
const sliceOperations = 500;
/** Waiting writes are merged up to these limits, so that one sync covers them. */
const mergedOperations = 2000;
const mergedBytes = 4 * 1024 * 1024;
/** LevelDB delays writes at 8 files on level 0 and stops them, and a pool thread, at 12. */
const level0FilesLimit = 7;
/** How often the number of files is looked at while writes are held back. */
const level0PollMs = 10;
/**
 * Writes are held back no longer than this: if compaction itself has failed, the number of files
 * never falls, and only a write brings LevelDB's error to light.
 */
const holdLimitMs = 10_000;
/** Looking at level 0 costs more than a small write, so it happens once per this many bytes. */
const level0CheckBytes = 4 * 1024 * 1024;
/** Bytes an iterator fetches in one trip to the thread pool. */
const readAheadBytes = 1024 * 1024;

export interface LevelEngineOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Bytes gathered before LevelDB writes a table; also the longest log to replay at start. */
  readonly writeBufferBytes: number;
  /** Budget of LevelDB's cache of table blocks. */
  readonly cacheBytes: number;
  /** False: what is to be synced is only written, and lost in a power cut. True if absent. */
  readonly syncs?: boolean | undefined;
  readonly observe?: WriteObserver | undefined;
}

interface Waiting {
  readonly operations: readonly Operation[];
  readonly sync: boolean;
  readonly bytes: number;
  readonly done: Completion;
}

/** Whether an error of {@link LevelEngine.open} says that someone else holds the database. */
export function isLockedError(error: Error): boolean {
  return codeOf(error) === 'LEVEL_LOCKED';
}

/** abstract-level wraps what LevelDB said: the inner error has the words. */
function unwrapped(thrown: unknown): Error {
  const error = asError(thrown);
  const inner = error.cause instanceof Error ? error.cause : error;
  return codeOf(inner) === 'LEVEL_CORRUPTION'
    ? new CorruptionError(inner.message, { cause: inner })
    : inner;
}

export class LevelEngine implements Engine {
  readonly location: string;
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #log: LevelLog;
  readonly #syncs: boolean;
  readonly #observe: WriteObserver | undefined;
  readonly #waiting: Waiting[] = [];
  #underWay = false;
  #failure: Error | undefined;
  #closing: Completion | undefined;
  #closed = false;
  #bytesSinceCheck = 0;
  /** Since when writes are held back; undefined while they are not. */
  #heldSinceMs: number | undefined;
  backlogBytes = 0;

  private constructor(location: string, database: Database, options: LevelEngineOptions) {
    this.location = location;
    this.#database = database;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#log = new LevelLog(location);
    this.#syncs = options.syncs ?? true;
    this.#observe = options.observe;
  }

  /** Opens the database in `location`, which LevelDB creates if it is not there. */
  static open(
    location: string,
    options: LevelEngineOptions,
    done: (error: Error | undefined, engine: LevelEngine | undefined) => void,
  ): void {
    const database: Database = new ClassicLevel<Buffer, Buffer>(location, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      // Uncompressed tables, so that our own reader can check them without LevelDB.
      compression: false,
      writeBufferSize: options.writeBufferBytes,
      cacheSize: options.cacheBytes,
      // Half a write buffer a file: fewer files to check, to open and to name in the MANIFEST.
      maxFileSize: Math.max(2 * 1024 * 1024, options.writeBufferBytes / 2),
    });
    database.open().then(
      () => done(undefined, new LevelEngine(location, database, options)),
      (thrown: unknown) => done(unwrapped(thrown), undefined),
    );
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#database.getSync(buffer(key));
    } catch (thrown) {
      throw unwrapped(thrown);
    }
  }

  write(operations: readonly Operation[], sync: boolean, done: Completion): void {
    assert(!this.#closed && this.#closing === undefined, 'the engine is closed');
    let bytes = 0;
    for (const operation of operations) bytes += operationBytes(operation);
    this.backlogBytes += bytes;
    this.#waiting.push({ operations, sync, bytes, done });
    if (this.#underWay) return;
    // Completions must not come from within this call, so what completes at once is deferred.
    if (operations.length === 0 || this.#failure !== undefined) {
      this.#start();
    } else {
      this.#underWay = true;
      this.#next();
    }
  }

  view(): EngineView {
    assert(!this.#closed && this.#closing === undefined, 'the engine is closed');
    return new LevelView(this.#database, this.#clock);
  }

  compact(range: KeyRange, done: Completion): void {
    this.#database.compactRange(...boundsOf(range)).then(
      () => done(undefined),
      (thrown: unknown) => done(unwrapped(thrown)),
    );
  }

  sizeOnDisk(range: KeyRange, done: (error: Error | undefined, bytes: number) => void): void {
    this.#database.approximateSize(...boundsOf(range)).then(
      (bytes) => done(undefined, bytes),
      (thrown: unknown) => done(unwrapped(thrown), 0),
    );
  }

  close(done: Completion): void {
    assert(!this.#closed && this.#closing === undefined, 'the engine is closed');
    this.#closing = done;
    if (!this.#underWay) this.#start();
  }

  #start(): void {
    this.#underWay = true;
    this.#clock.defer(() => this.#next());
  }

  /** Takes what waits as one batch, or closes if nothing waits and closing was asked for. */
  #next(): void {
    if (this.#failure === undefined && this.#holdBack()) return;
    const group: Waiting[] = [];
    let operations = 0;
    let bytes = 0;
    for (const write of this.#waiting) {
      const fits = operations + write.operations.length <= mergedOperations;
      if (group.length > 0 && !(fits && bytes + write.bytes <= mergedBytes)) break;
      group.push(write);
      operations += write.operations.length;
      bytes += write.bytes;
    }
    this.#waiting.splice(0, group.length);
    if (group.length === 0) {
      this.#underWay = false;
      this.#closeIfAsked();
    } else if (operations === 0 || this.#failure !== undefined) {
      this.#complete(group, operations === 0 ? undefined : this.#failure);
    } else {
      this.#writeGroup(group);
    }
  }

  /** Waits with a free pool thread while LevelDB has too many files on level 0. */
  #holdBack(): boolean {
    if (this.#bytesSinceCheck < level0CheckBytes) return false;
    const files = Number(this.#database.getProperty('leveldb.num-files-at-level0'));
    const nowMs = this.#clock.monotonicMs();
    const begins = this.#heldSinceMs === undefined;
    this.#heldSinceMs ??= nowMs;
    if (files <= level0FilesLimit || nowMs - this.#heldSinceMs >= holdLimitMs) {
      this.#heldSinceMs = undefined;
      this.#bytesSinceCheck = 0;
      return false;
    }
    const fields = { location: this.location, files };
    if (begins) this.#logger.info(fields, 'compaction is behind: writes wait');
    this.#clock.after(level0PollMs, () => this.#next());
    return true;
  }

  /** Fills one LevelDB batch in slices, other work in between, then writes it as a whole. */
  #writeGroup(group: readonly Waiting[]): void {
    const batch = this.#database.batch();
    const sync = this.#syncs && group.some((write) => write.sync);
    let member = 0;
    let position = 0;
    const fill = (): void => {
      for (let free = sliceOperations; free > 0;) {
        const operations = group[member]?.operations;
        if (operations === undefined) break;
        const operation = operations[position];
        if (operation === undefined) {
          member += 1;
          position = 0;
          continue;
        }
        if (operation.type === 'put') batch.put(buffer(operation.key), buffer(operation.value));
        else batch.del(buffer(operation.key));
        position += 1;
        free -= 1;
      }
      if (member < group.length) {
        this.#clock.defer(fill);
        return;
      }
      const startMs = this.#clock.monotonicMs();
      const written: Completion = (error) => {
        if (sync && error === undefined) this.#observeWrite(startMs, group);
        this.#failure = error;
        this.#complete(group, error);
      };
      batch.write({ sync }).then(
        () => this.#log.written(written),
        (thrown: unknown) => written(unwrapped(thrown)),
      );
    };
    fill();
  }

  #observeWrite(startMs: number, group: readonly Waiting[]): void {
    if (this.#observe === undefined) return;
    let bytes = 0;
    for (const write of group) bytes += write.bytes;
    this.#observe(this.#clock.monotonicMs() - startMs, bytes);
  }

  #complete(group: readonly Waiting[], error: Error | undefined): void {
    for (const write of group) {
      this.backlogBytes -= write.bytes;
      this.#bytesSinceCheck += write.bytes;
      write.done(write.operations.length === 0 ? undefined : error);
    }
    if (this.#waiting.length > 0 || this.#closing !== undefined) this.#next();
    else this.#underWay = false;
  }

  #closeIfAsked(): void {
    const done = this.#closing;
    if (done === undefined || this.#closed) return;
    this.#closed = true;
    this.#log.close();
    this.#database.close().then(
      () => done(undefined),
      (thrown: unknown) => done(unwrapped(thrown)),
    );
  }
}

/** Of our databases no key is beyond the last one. */
function boundsOf({ low, high }: KeyRange): [Buffer, Buffer] {
  return [
    low === undefined ? Buffer.alloc(0) : buffer(low),
    high === undefined ? Buffer.alloc(32, 0xff) : buffer(high),
  ];
}

class LevelView implements EngineView {
  readonly #database: Database;
  readonly #snapshot: Snapshot;
  readonly #clock: Clock;
  readonly #options: {
    readonly snapshot: Snapshot;
    readonly keyEncoding: 'buffer';
    readonly valueEncoding: 'buffer';
  };
  #closed = false;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
    this.#snapshot = database.snapshot();
    this.#options = {
      snapshot: this.#snapshot,
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
    };
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    assert(!this.#closed, 'the view is closed');
    try {
      return this.#database.getSync(buffer(key), this.#options);
    } catch (thrown) {
      throw unwrapped(thrown);
    }
  }

  read(
    range: KeyRange,
    limit: number,
    done: (error: Error | undefined, entries: readonly EngineEntry[]) => void,
  ): void {
    assert(!this.#closed, 'the view is closed');
    if (this.#database.status !== 'open') {
      // The state was replaced by a snapshot, or the member stops, while someone was still reading.
      this.#clock.defer(() => done(new Error('the database is closed'), []));
      return;
    }
    const iterator = this.#database.iterator<Buffer, Buffer>({
      ...(range.low === undefined ? {} : { gte: buffer(range.low) }),
      ...(range.high === undefined ? {} : { lt: buffer(range.high) }),
      snapshot: this.#snapshot,
      // A scan reads everything once: it must not push what is hot out of the cache.
      fillCache: false,
      highWaterMarkBytes: readAheadBytes,
      limit,
    });
    const finish = (error: Error | undefined, entries: readonly EngineEntry[]): void => {
      iterator.close().then(
        () => done(error, entries),
        (thrown: unknown) => done(error ?? unwrapped(thrown), entries),
      );
    };
    iterator.nextv(limit).then(
      (entries) => finish(undefined, entries),
      (thrown: unknown) => finish(unwrapped(thrown), []),
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Releasing is synchronous inside; the promise only waits for reads that are under way.
    this.#snapshot.close().catch(() => {});
  }
}
