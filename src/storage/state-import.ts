/**
 * Makes a new data directory begin with a state that no log entry made. It is taken in as a
 * snapshot from a leader is, and the log begins after it.
 */
import { crc32 } from 'node:zlib';
import { present } from '../base/assert.ts';
import { fromLatin1 } from '../base/bytes.ts';
import { noMember, type SnapshotMetadata } from '../raft/index.ts';
import type { DataDirectory } from './data-directory.ts';
import type { Completion, EngineEntry } from './engine.ts';
import { encodeFlushMark, encodeFlushRecord, flushMarkKey } from './flush-record.ts';
import { stateKeys } from './keyspace.ts';
import { firstChain } from './log-record.ts';
import { sealValue } from './record.ts';
import { encodeBegin, encodeEnd, encodePairs, pairBytes } from './snapshot-chunk.ts';
import type { StateSink } from './snapshot-stream.ts';

/** Pairs gathered before they are to be written. */
const gatheredBytesLimit = 1024 * 1024;

export class StateImport {
  readonly #directory: DataDirectory;
  readonly #metadata: SnapshotMetadata;
  readonly #sink: StateSink;
  #gathered: EngineEntry[] = [];
  #gatheredBytes = 0;
  #pairs = 0;
  #digest = 0;

  /** @param metadata the index and term that the state is to have, neither of them 0 */
  constructor(directory: DataDirectory, metadata: SnapshotMetadata) {
    this.#directory = directory;
    this.#metadata = metadata;
    this.#sink = present(directory.receiveSnapshot(metadata), 'a new data directory');
  }

  begin(done: Completion): void {
    const begin = { metadata: this.#metadata, chain: firstChain };
    this.#sink.write(encodeBegin(begin), done);
  }

  /** Takes a pair of the state; once this returns true, {@link write} is due. */
  put(key: string, value: Uint8Array): boolean {
    const bytes = fromLatin1(key);
    return this.#gather([bytes, sealValue(bytes, value)]);
  }

  /** Writes what was gathered, durably. */
  write(done: Completion): void {
    const chunk = encodePairs(this.#gathered);
    this.#pairs += this.#gathered.length;
    this.#digest = crc32(chunk, this.#digest);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#sink.write(chunk, done);
  }

  /** Writes the rest and makes all of it the directory's state. */
  finish(done: Completion): void {
    const flush = { number: 1, ...this.#metadata };
    this.#gather([fromLatin1(stateKeys.flush), encodeFlushRecord(flush)]);
    this.#gather([flushMarkKey(flush.number), encodeFlushMark(flush)]);
    this.write(
      after(done, () => {
        const end = encodeEnd({ pairs: this.#pairs, digest: this.#digest });
        this.#sink.write(
          end,
          after(done, () => this.#sink.finish(after(done, () => this.#install(done)))),
        );
      }),
    );
  }

  #install(done: Completion): void {
    const directory = this.#directory;
    const { index, term } = this.#metadata;
    const snapshot = present(directory.received(this.#metadata), 'the state just received');
    const hardState = { term, vote: noMember, commit: index };
    directory.raftLog.append(
      { hardState, entries: [], snapshot },
      true,
      after(done, () => {
        directory.install(
          this.#metadata,
          after(done, () => directory.removeReplaced(done)),
        );
      }),
    );
  }

  #gather(pair: EngineEntry): boolean {
    this.#gathered.push(pair);
    this.#gatheredBytes += pairBytes(pair);
    return this.#gatheredBytes >= gatheredBytesLimit;
  }
}

/** Goes on with the next step unless the one before it failed. */
function after(done: Completion, next: () => void): Completion {
  return (error) => {
    if (error === undefined) next();
    else done(error);
  };
}
