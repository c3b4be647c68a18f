/** Sends a state as chunks, and makes a new state directory of received ones. */
import { crc32 } from 'node:zlib';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { reach } from '../base/fault-point.ts';
import type { ConfState, MemberId, SnapshotMetadata } from '../raft/index.ts';
import { isLogMarkKey, isOwnKey, type BackendView } from './backend-view.ts';
import { stateDirectoryName, type DirectoryStore } from './directory-store.ts';
import {
  keyAfter,
  type Completion,
  type Engine,
  type EngineEntry,
  type Operation,
} from './engine.ts';
import { asError, CorruptionError } from './errors.ts';
import { guardedWrite } from './guarded-write.ts';
import { openValue } from './record.ts';
import {
  decodeChunk,
  encodeBegin,
  encodeEnd,
  encodePairs,
  pairBytes,
  type SnapshotBegin,
  type SnapshotChunk,
} from './snapshot-chunk.ts';

/** Pairs of one chunk; a larger pair is a chunk of its own. */
const chunkBytes = 256 * 1024;
const pairsPerRead = 1000;

const receiveSteps = {
  before: 'snapshot-receive-before-write',
  after: 'snapshot-receive-after-write',
} as const;

/** Contents of a snapshot on its way out; the transport's SnapshotSource. */
export class StateSource {
  readonly metadata: SnapshotMetadata;
  readonly #view: BackendView;
  readonly #chain: number;
  readonly #clock: Clock;
  #stage: 'begin' | 'pairs' | 'end' = 'begin';
  #waiting: EngineEntry[] = [];
  #after: Uint8Array = new Uint8Array(0);
  #readAll = false;
  #pairs = 0;
  #digest = 0;

  /** @param chain chain value of the log at the view's index */
  constructor(view: BackendView, chain: number, clock: Clock) {
    this.#view = view;
    this.#chain = chain;
    this.#clock = clock;
    this.metadata = view.metadata;
  }

  next(done: (error: Error | undefined, chunk: Uint8Array | undefined) => void): void {
    if (this.#stage === 'pairs' && this.#waiting.length === 0 && !this.#readAll) {
      this.#read(done);
      return;
    }
    const chunk = this.#take();
    this.#clock.defer(() => done(undefined, chunk));
  }

  close(): void {
    this.#stage = 'end';
    this.#view.close();
  }

  #read(done: (error: Error | undefined, chunk: Uint8Array | undefined) => void): void {
    this.#view.raw.read({ low: this.#after }, pairsPerRead, (error, entries) => {
      if (error !== undefined) {
        done(error, undefined);
        return;
      }
      const last = entries.at(-1);
      if (last === undefined) this.#readAll = true;
      else this.#after = keyAfter(last[0]);
      this.#waiting = entries.filter(([key]) => !isLogMarkKey(key));
      if (this.#waiting.length === 0 && !this.#readAll) this.#read(done);
      else done(undefined, this.#take());
    });
  }

  #take(): Buffer | undefined {
    if (this.#stage === 'end') return undefined;
    if (this.#stage === 'begin') {
      this.#stage = 'pairs';
      reach('snapshot-send-begin');
      return encodeBegin({ metadata: this.metadata, chain: this.#chain });
    }
    if (this.#waiting.length > 0) return this.#takePairs();
    this.#stage = 'end';
    reach('snapshot-send-end');
    return encodeEnd({ pairs: this.#pairs, digest: this.#digest });
  }

  #takePairs(): Buffer {
    let bytes = 0;
    let count = 0;
    for (const pair of this.#waiting) {
      bytes += pairBytes(pair);
      if (count > 0 && bytes > chunkBytes) break;
      count += 1;
    }
    reach('snapshot-send-chunk');
    const chunk = encodePairs(this.#waiting.splice(0, count));
    this.#pairs += count;
    this.#digest = crc32(chunk, this.#digest);
    return chunk;
  }
}

export interface StateSinkOptions {
  readonly store: DirectoryStore;
  readonly clock: Clock;
  readonly metadata: SnapshotMetadata;
  /** A complete state of the same name that nobody wanted: it goes first. */
  readonly replaces: StateSink | undefined;
  /** Told once: the state is complete and durable, or nothing of it is left. */
  readonly onEnd: (sink: StateSink, ok: boolean) => void;
}

/** A state directory being filled; the transport's SnapshotSink. */
export class StateSink {
  readonly metadata: SnapshotMetadata;
  readonly name: string;
  readonly #store: DirectoryStore;
  readonly #clock: Clock;
  readonly #onEnd: (sink: StateSink, ok: boolean) => void;
  #replaces: StateSink | undefined;
  #engine: Engine | undefined;
  #begin: SnapshotBegin | undefined;
  #pairs = 0;
  #digest = 0;
  #complete = false;
  #ended = false;
  #busy = false;

  constructor(options: StateSinkOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.metadata = options.metadata;
    this.#replaces = options.replaces;
    this.#onEnd = options.onEnd;
    this.name = stateDirectoryName(this.metadata.index, this.metadata.term);
  }

  /** Chain value of the log at the snapshot's index. */
  get chain(): number {
    assert(this.#begin !== undefined, 'the snapshot has not begun');
    return this.#begin.chain;
  }

  /** The database, open, once everything is in it. */
  get engine(): Engine {
    assert(this.#engine !== undefined, 'the snapshot has not begun');
    return this.#engine;
  }

  write(bytes: Uint8Array, done: Completion): void {
    assert(!this.#busy && !this.#ended, 'one chunk after the other');
    this.#busy = true;
    const finish: Completion = (error) => {
      this.#busy = false;
      if (this.#ended) this.#remove();
      done(error);
    };
    try {
      this.#take(decodeChunk(bytes), bytes, finish);
    } catch (thrown) {
      this.#clock.defer(() => finish(asError(thrown)));
    }
  }

  /** Everything was written synced, so there is only to check that nothing is missing. */
  finish(done: Completion): void {
    if (!this.#complete) {
      this.#clock.defer(() => done(new CorruptionError('the snapshot has no end')));
      return;
    }
    this.#ended = true;
    reach('snapshot-receive-end');
    this.#onEnd(this, true);
    this.#clock.defer(() => done(undefined));
  }

  /** Removes what was written. */
  abort(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#busy) this.#remove();
  }

  /** Closes and removes a finished state that is not wanted after all. */
  discard(done: Completion): void {
    const engine = this.#engine;
    const replaces = this.#replaces;
    this.#replaces = undefined;
    if (replaces !== undefined) replaces.discard(done);
    else if (engine === undefined) this.#store.remove(this.name, done);
    else engine.close((error) => this.#store.remove(this.name, (other) => done(error ?? other)));
  }

  #remove(): void {
    this.discard(() => this.#onEnd(this, false));
  }

  #take(chunk: SnapshotChunk, bytes: Uint8Array, done: Completion): void {
    if (this.#complete) throw new CorruptionError('the snapshot goes on after its end');
    if ((chunk.kind === 'begin') !== (this.#begin === undefined)) {
      throw new CorruptionError('the snapshot does not begin with its beginning');
    }
    if (chunk.kind === 'begin') {
      checkSame(chunk.begin.metadata, this.metadata);
      this.#begin = chunk.begin;
      reach('snapshot-receive-begin');
      this.#open(done);
    } else if (chunk.kind === 'pairs') {
      this.#digest = crc32(bytes, this.#digest);
      this.#pairs += chunk.pairs.length;
      guardedWrite(this.engine, chunk.pairs.flatMap(checkedPut), receiveSteps, done);
    } else {
      const { pairs, digest } = chunk.end;
      if (pairs !== this.#pairs || digest !== this.#digest) {
        throw new CorruptionError(`the snapshot should have ${pairs} pairs, ${this.#pairs} came`);
      }
      this.#complete = true;
      this.engine.write([], false, done);
    }
  }

  /** Something of the same name can be left from a transfer that a crash ended. */
  #open(done: Completion): void {
    this.discard((error) => {
      if (error !== undefined) {
        done(error);
        return;
      }
      this.#store.openEngine(this.name, (openError, engine) => {
        this.#engine = engine;
        done(openError);
      });
    });
  }
}

/** What was announced has no checksum, and decides which members the log's next part counts. */
function checkSame(found: SnapshotMetadata, announced: SnapshotMetadata): void {
  const { index, term, confState } = found;
  if (index !== announced.index || term !== announced.term) {
    throw new CorruptionError(`the snapshot is of index ${index} instead of ${announced.index}`);
  }
  if (!sameConfState(confState, announced.confState)) {
    throw new CorruptionError('the snapshot is of other members than were announced');
  }
}

function sameConfState(a: ConfState, b: ConfState): boolean {
  const same = (left: readonly MemberId[], right: readonly MemberId[]): boolean =>
    left.length === right.length && left.every((member, position) => member === right[position]);
  return (
    same(a.voters, b.voters) &&
    same(a.votersOutgoing, b.votersOutgoing) &&
    same(a.learners, b.learners) &&
    same(a.learnersNext, b.learnersNext) &&
    a.autoLeave === b.autoLeave
  );
}

/** What a pair is stored as: a mark of the sender's log, which none should send, as nothing. */
function checkedPut([key, value]: EngineEntry): Operation[] {
  if (isLogMarkKey(key)) return [];
  if (!isOwnKey(key)) openValue(key, value);
  return [{ type: 'put', key, value }];
}
