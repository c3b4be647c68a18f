/** Reads the log database at start and proves that nothing is missing from it. */
import { fromLatin1 } from '../base/bytes.ts';
import { noMember, type HardState } from '../raft/index.ts';
import { keyAfter, type Engine, type EngineEntry, type EngineView } from './engine.ts';
import { asError, CorruptionError } from './errors.ts';
import { logKeys, numberedKey, prefixRange } from './keyspace.ts';
import { chainOver, firstChain, readHeader, unpackEntries } from './log-record.ts';
import type { RecordHeader } from './log-record.ts';
import {
  decodeAnchor,
  decodeHardState,
  decodeOrigin,
  decodeRepairTerm,
  decodeStateDirectory,
  decodeTail,
} from './log-state.ts';
import type { LogAnchor, LogOrigin } from './log-state.ts';

export type { LogAnchor } from './log-state.ts';

/** Records read at a time: each may have megabytes. */
const recordsPerSlice = 64;

/** One record, without its entries; `terms` has the first index of each run of terms. */
interface LoadedRecord {
  readonly header: RecordHeader;
  readonly bytes: number;
  readonly terms: readonly { readonly index: number; readonly term: number }[];
}

export interface LoadedLog {
  readonly anchor: LogAnchor;
  readonly hardState: HardState;
  readonly stateDirectory: string | undefined;
  /** Undefined in a log that nothing was appended to. */
  readonly origin: LogOrigin | undefined;
  /** See {@link logKeys.repair}. */
  readonly repairTerm: number | undefined;
  readonly records: readonly LoadedRecord[];
}

const emptyAnchor: LogAnchor = { index: 0, term: 0, chain: firstChain };
const emptyHardState: HardState = { term: 0, vote: noMember, commit: 0 };

export function loadLog(
  engine: Engine,
  done: (error: Error | undefined, loaded: LoadedLog | undefined) => void,
): void {
  const view = engine.view();
  const finish = (error: Error | undefined, loaded: LoadedLog | undefined): void => {
    view.close();
    done(error, loaded);
  };
  let loader: Loader;
  try {
    loader = new Loader(view);
  } catch (thrown) {
    finish(asError(thrown), undefined);
    return;
  }
  const range = prefixRange(logKeys.entries);
  const high = fromLatin1(range.high ?? '');
  const read = (low: Uint8Array): void => {
    view.read({ low, high }, recordsPerSlice, (error, entries) => {
      const last = entries.at(-1);
      let loaded: LoadedLog | undefined;
      try {
        if (error !== undefined) throw error;
        if (last === undefined) loaded = loader.finish();
        else loader.take(entries);
      } catch (thrown) {
        finish(asError(thrown), undefined);
        return;
      }
      if (last === undefined) finish(undefined, loaded);
      else read(keyAfter(last[0]));
    });
  };
  read(fromLatin1(logKeys.entries));
}

class Loader {
  readonly #view: EngineView;
  readonly #anchor: LogAnchor;
  readonly #hardState: HardState;
  readonly #stateDirectory: string | undefined;
  readonly #records: LoadedRecord[] = [];
  #lastTerm: number;

  constructor(view: EngineView) {
    this.#view = view;
    this.#anchor = this.#single(logKeys.anchor, decodeAnchor) ?? emptyAnchor;
    this.#hardState = this.#single(logKeys.hardState, decodeHardState) ?? emptyHardState;
    this.#stateDirectory = this.#single(logKeys.stateDirectory, decodeStateDirectory);
    this.#lastTerm = this.#anchor.term;
  }

  take(entries: readonly EngineEntry[]): void {
    for (const [key, value] of entries) {
      const firstIndex = this.#records.at(-1)?.header.lastIndex ?? this.#anchor.index;
      const index = indexOf(key);
      this.#checkPlace(index, firstIndex + 1);
      const header = readHeader(value, index);
      this.#records.push({ header, bytes: value.length, terms: this.#terms(header, value) });
    }
  }

  finish(): LoadedLog {
    const last = this.#records.at(-1)?.header;
    const index = last?.lastIndex ?? this.#anchor.index;
    const chain = last?.chainAfter ?? this.#anchor.chain;
    const tail = this.#single(logKeys.tail, decodeTail);
    const expected = tail ?? { index: this.#anchor.index, chain: this.#anchor.chain };
    if (expected.index !== index || expected.chain !== chain) {
      throw new CorruptionError(`the log ends at ${index}, but ${expected.index} was written`);
    }
    return {
      anchor: this.#anchor,
      hardState: this.#hardState,
      stateDirectory: this.#stateDirectory,
      origin: this.#single(logKeys.origin, decodeOrigin),
      repairTerm: this.#single(logKeys.repair, decodeRepairTerm),
      records: this.#records,
    };
  }

  #single<T>(key: string, decode: (bytes: Uint8Array) => T): T | undefined {
    const bytes = this.#view.getSync(fromLatin1(key));
    return bytes === undefined ? undefined : decode(bytes);
  }

  /** Only the first record may begin below its place: it holds compacted entries as well. */
  #checkPlace(index: number, expected: number): void {
    if (index === expected || (this.#records.length === 0 && index < expected)) return;
    const what = index > expected ? 'missing' : 'there twice';
    throw new CorruptionError(`log entries from ${Math.min(index, expected)} on are ${what}`);
  }

  /** Checks the chain and that terms do not fall; gives the runs of terms above the anchor. */
  #terms(header: RecordHeader, value: Uint8Array): LoadedRecord['terms'] {
    const entries = unpackEntries(value, header);
    const before = this.#records.at(-1)?.header;
    const below = Math.max(0, this.#anchor.index + 1 - header.firstIndex);
    if (before !== undefined) {
      checkChain(header.firstIndex, header.chainBefore, before.chainAfter);
    } else {
      if (below >= entries.length) {
        throw new CorruptionError(`the log record of ${header.firstIndex} should be gone`);
      }
      const chain = chainOver(entries.slice(0, below), header.chainBefore);
      checkChain(header.firstIndex, chain, this.#anchor.chain);
    }
    const terms: { index: number; term: number }[] = [];
    for (const { index, term } of entries.slice(before === undefined ? below : 0)) {
      if (term < this.#lastTerm) throw new CorruptionError(`the term falls at log index ${index}`);
      if (term > this.#lastTerm) terms.push({ index, term });
      this.#lastTerm = term;
    }
    return terms;
  }
}

function checkChain(index: number, found: number, expected: number): void {
  if (found === expected) return;
  throw new CorruptionError(`the log record of ${index} does not follow the one before it`);
}

function indexOf(key: Uint8Array): number {
  const bytes = Buffer.from(key);
  if (bytes.length === logKeys.entries.length + 8) {
    const index = Number(bytes.readBigUInt64BE(logKeys.entries.length));
    if (Number.isSafeInteger(index) && numberedKey(logKeys.entries, index).equals(bytes)) {
      return index;
    }
  }
  throw new CorruptionError(`the log holds a strange key 0x${bytes.toString('hex')}`);
}
