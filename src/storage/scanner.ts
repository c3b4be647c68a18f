/**
 * The check before LevelDB opens a directory. LevelDB rewrites files as it opens them, drops what
 * it cannot read, and does not mind a missing log: so all is read first, and nothing changed.
 *
 * A power cut leaves more than torn ends where the file system keeps no order between names and
 * contents: LevelDB counts on that order in a few places. What it leaves can be told from damage,
 * as nothing is missing from it, and is mended (see mend.ts) before LevelDB sees it.
 */
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { buffer } from '../base/bytes.ts';
import type { Steps } from '../base/steps.ts';
import { codeOf, CorruptionError } from './errors.ts';
import { logSteps } from './log-scanner.ts';
import { type Manifest, type ManifestTable, manifestAfter, readManifest } from './manifest.ts';
import { readRetrying } from './read-retry.ts';
import { tableSteps, type ReadAt } from './table-scanner.ts';

const windowBytes = 1024 * 1024;
/** Of a batch: a number of 8 bytes, and one of 4. */
const batchHeaderBytes = 12;

/** What makes a directory readable for LevelDB again, without loss. */
export type Mend =
  /** Creating the database was cut short before anything was written: it is made anew. */
  | { readonly kind: 'remove' }
  /** The last record of the MANIFEST is torn, or names files that never became durable. */
  | { readonly kind: 'cutManifest'; readonly manifest: string; readonly sizeBytes: number }
  /** The MANIFEST was replaced by one that is whole, but CURRENT still names the old one. */
  | { readonly kind: 'pointCurrent'; readonly manifest: string };

export interface DatabaseCheck {
  /** There is no database yet. */
  readonly absent: boolean;
  /** The last write had not completed; what it holds was never acknowledged. */
  readonly torn: boolean;
  /** To be done before LevelDB opens the directory. */
  readonly mend: Mend | undefined;
}

/**
 * Checks all that LevelDB will rely on; throws {@link CorruptionError} with file and offset. Its
 * steps, of at most a block each, tell how many bytes they have checked; but to read a log or a
 * MANIFEST is one step.
 */
export function* databaseSteps(location: string): Steps<DatabaseCheck> {
  const names = list(location);
  let current: string | undefined;
  try {
    current = readCurrent(location, names);
    if (current === undefined) return { absent: true, torn: false, mend: undefined };
    return yield* checkAsOf(location, names, current);
  } catch (thrown) {
    if (!isCorruption(thrown)) throw thrown;
    if (isUnused(location, names)) return { absent: true, torn: false, mend: { kind: 'remove' } };
    if (current === undefined) throw thrown;
    const replaced = yield* checkReplaced(location, names, current);
    if (replaced === undefined) throw thrown;
    return replaced;
  }
}

function isCorruption(thrown: unknown): boolean {
  return thrown instanceof CorruptionError;
}

/** The MANIFEST that CURRENT names; undefined if there is no database. */
function readCurrent(location: string, names: readonly string[]): string | undefined {
  if (!names.includes('CURRENT')) {
    const data = names.find((name) => /^MANIFEST|\.(log|ldb|sst)$/.test(name));
    if (data === undefined) return undefined;
    throw new CorruptionError(`${join(location, 'CURRENT')} is missing, but ${data} is there`);
  }
  const path = join(location, 'CURRENT');
  const text = readRetrying(path, () => readFileSync(path, 'latin1'));
  if (/^MANIFEST-\d+\n$/.test(text)) return text.trim();
  throw new CorruptionError(`${join(location, 'CURRENT')} names no file that is there`);
}

/** A file that LevelDB relies on now. */
export interface LiveFile {
  readonly name: string;
  readonly kind: 'table' | 'log' | 'manifest';
  /** Of a table; the others grow. */
  readonly sizeBytes: number | undefined;
}

/**
 * What an open database relies on at this moment; empty if there is none. It may be gone at the
 * next: LevelDB goes on meanwhile.
 */
export function liveFiles(location: string): readonly LiveFile[] {
  const names = list(location);
  const current = readCurrent(location, names);
  if (current === undefined) return [];
  const path = join(location, current);
  const { tables, logNumber, previousLogNumber } = manifestAfter(readManifest(path).edits, path);
  const logs = names.filter((name) => {
    const number = name.endsWith('.log') ? numberOf(name) : -1;
    return number >= logNumber || (number > 0 && number === previousLogNumber);
  });
  return [
    ...[...tables].map(([number, { sizeBytes }]): LiveFile => {
      const stem = String(number).padStart(6, '0');
      const name = names.includes(`${stem}.sst`) ? `${stem}.sst` : `${stem}.ldb`;
      return { name, kind: 'table', sizeBytes };
    }),
    ...logs.map((name): LiveFile => ({ name, kind: 'log', sizeBytes: undefined })),
    { name: current, kind: 'manifest', sizeBytes: undefined },
  ];
}

/** Checks what one MANIFEST says is there. */
function* checkAsOf(
  location: string,
  names: readonly string[],
  name: string,
): Steps<DatabaseCheck> {
  if (!names.includes(name)) {
    throw new CorruptionError(`${join(location, 'CURRENT')} names no file that is there`);
  }
  const path = join(location, name);
  const { edits, starts, torn: cut, endsAt } = readManifest(path);
  try {
    const torn = yield* checkFiles(location, names, manifestAfter(edits, path));
    const mend = cut
      ? { kind: 'cutManifest' as const, manifest: name, sizeBytes: endsAt }
      : undefined;
    return { absent: false, torn, mend };
  } catch (thrown) {
    // LevelDB writes the record, then syncs the directory for the names in it, then the record.
    // Before all three are done it deletes nothing that the record replaces: if that is all there,
    // the data is as well. Once the next record was begun, they were done.
    if (cut || !isCorruption(thrown)) throw thrown;
    const sizeBytes = starts.at(-1) ?? 0;
    const torn = yield* withoutLast(location, names, edits, path);
    if (torn === undefined) throw thrown;
    return { absent: false, torn, mend: { kind: 'cutManifest', manifest: name, sizeBytes } };
  }
}

function* withoutLast(
  location: string,
  names: readonly string[],
  edits: readonly Buffer[],
  path: string,
): Steps<boolean | undefined> {
  try {
    return yield* checkFiles(location, names, manifestAfter(edits.slice(0, -1), path));
  } catch (thrown) {
    if (!isCorruption(thrown)) throw thrown;
    return undefined;
  }
}

/** Throws unless all that a MANIFEST names is there and whole; whether the last write is torn. */
function* checkFiles(
  location: string,
  names: readonly string[],
  manifest: Manifest,
): Steps<boolean> {
  for (const [number, table] of manifest.tables) {
    yield* checkTableFile(location, names, number, table);
  }
  return yield* checkLogs(location, names, manifest);
}

/**
 * As LevelDB opens a directory it writes a new MANIFEST, makes CURRENT name it, and deletes the old
 * one and the logs that only that one needs. If the deletions became durable and the new CURRENT
 * did not, the new MANIFEST is there and whole, with everything that it names.
 */
function* checkReplaced(
  location: string,
  names: readonly string[],
  current: string,
): Steps<DatabaseCheck | undefined> {
  const number = numberOf(current);
  const newer = names.filter((name) => /^MANIFEST-\d+$/.test(name) && numberOf(name) > number);
  const newest = newer.sort((a, b) => numberOf(b) - numberOf(a))[0];
  if (newest === undefined) return undefined;
  try {
    const { torn, mend } = yield* checkAsOf(location, names, newest);
    // CURRENT is renamed only after the new MANIFEST was synced, so there is nothing to cut off.
    if (mend !== undefined) return undefined;
    return { absent: false, torn, mend: { kind: 'pointCurrent', manifest: newest } };
  } catch (thrown) {
    if (!isCorruption(thrown)) throw thrown;
    return undefined;
  }
}

/**
 * Whether nothing was ever written: no record in a log, no table, and none that a MANIFEST knew.
 * The caller knows whether something should have been.
 */
function isUnused(location: string, names: readonly string[]): boolean {
  return names.every((name) => {
    const path = join(location, name);
    if (name.endsWith('.log')) return readRetrying(path, () => statSync(path).size) === 0;
    return name.startsWith('MANIFEST') ? !namesTables(path) : !/\.(ldb|sst)$/.test(name);
  });
}

/** Whether a MANIFEST names a table, as far as it can be read: it was not synced at first. */
function namesTables(path: string): boolean {
  try {
    return manifestAfter(readManifest(path).edits, path).tables.size > 0;
  } catch (thrown) {
    if (!isCorruption(thrown)) throw thrown;
    return false;
  }
}

function numberOf(name: string): number {
  return Number(/\d+/.exec(name)?.[0]);
}

function list(location: string): readonly string[] {
  try {
    return readRetrying(location, () => readdirSync(location));
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

function* checkTableFile(
  location: string,
  names: readonly string[],
  number: number,
  { sizeBytes, smallest, largest }: ManifestTable,
): Steps<void> {
  const stem = String(number).padStart(6, '0');
  const name = [`${stem}.ldb`, `${stem}.sst`].find((each) => names.includes(each));
  const path = join(location, name ?? `${stem}.ldb`);
  if (name === undefined) throw new CorruptionError(`${path} is missing`);
  const file = readRetrying(path, () => openSync(path, 'r'));
  try {
    const found = readRetrying(path, () => fstatSync(file).size);
    if (found !== sizeBytes) {
      throw new CorruptionError(`${path} has ${found} bytes instead of ${sizeBytes}`);
    }
    const read = windowedReader(file, sizeBytes, path);
    const { first, last } = yield* tableSteps(read, sizeBytes, path);
    if (!first.equals(smallest) || !last.equals(largest)) {
      throw new CorruptionError(`${path} does not hold the keys that the MANIFEST says it does`);
    }
  } finally {
    closeSync(file);
  }
}

/** Reads a file mostly in its order: blocks are small, and a system call for each would be slow. */
function windowedReader(file: number, sizeBytes: number, path: string): ReadAt {
  let window: Buffer = Buffer.alloc(0);
  let start = 0;
  return (offset, length) => {
    if (offset < start || offset + length > start + window.length) {
      // Blocks that were handed out may still be in use, so each window is new memory.
      const next = Buffer.allocUnsafe(Math.max(length, Math.min(windowBytes, sizeBytes - offset)));
      const count = readRetrying(path, () => readSync(file, next, 0, next.length, offset));
      window = next;
      start = offset;
      if (count !== next.length) throw new CorruptionError(`${path} ends at ${offset + count}`);
    }
    return window.subarray(offset - start, offset - start + length);
  };
}

/**
 * Checks the logs that LevelDB will replay, oldest first. All our writes are synced, so only the
 * newest record of all can be incomplete: after a torn log there may only be empty ones, left by a
 * recovery that did not finish.
 */
function* checkLogs(
  location: string,
  names: readonly string[],
  manifest: Manifest,
): Steps<boolean> {
  const numbers = names
    .filter((name) => /^\d+\.log$/.test(name))
    .map((name) => Number.parseInt(name, 10))
    .filter((number) => number >= manifest.logNumber || number === manifest.previousLogNumber)
    .sort((a, b) => a - b);
  if (manifest.logNumber > 0 && !numbers.includes(manifest.logNumber)) {
    const name = `${String(manifest.logNumber).padStart(6, '0')}.log`;
    throw new CorruptionError(`${join(location, name)} is missing`);
  }
  let torn: string | undefined;
  const batches = new BatchSequence(manifest.sequenceBeforeLog);
  for (const number of numbers) {
    const name = names.find(
      (each) => each.endsWith('.log') && Number.parseInt(each, 10) === number,
    );
    const path = join(location, name ?? '');
    const bytes = readRetrying(path, () => readFileSync(path));
    const scanned = yield* logSteps(bytes, path);
    if (torn !== undefined && scanned.records.length > 0) {
      throw new CorruptionError(`${torn} is damaged at its end: writes after it are in ${path}`);
    }
    scanned.records.forEach((record, i) => batches.check(record, path, scanned.starts[i] ?? 0));
    if (scanned.torn) torn = path;
  }
  return torn !== undefined;
}

/**
 * Each record of a log is a batch, which begins with the number of its first operation and how many
 * there are (db/write_batch.cc). Numbers go on from log to log: what is missing at the end of one,
 * where its zeros begin, shows in the next one. The first log was there when the MANIFEST came to
 * name it, which notes the last number of that time.
 */
class BatchSequence {
  readonly #beforeLog: bigint;
  #next: bigint | undefined;

  constructor(sequenceBeforeLog: number) {
    this.#beforeLog = BigInt(sequenceBeforeLog);
  }

  check(batch: Uint8Array, path: string, offset: number): void {
    const header = buffer(batch);
    const where = `${path} is damaged at offset ${offset}`;
    if (header.length < batchHeaderBytes) throw new CorruptionError(`${where}: no batch`);
    const first = header.readBigUInt64LE(0);
    const latest = this.#next ?? this.#beforeLog + 1n;
    if (first > latest || (this.#next !== undefined && first < latest)) {
      throw new CorruptionError(`${where}: operation ${latest} is expected, not ${first}`);
    }
    this.#next = first + BigInt(header.readUInt32LE(8));
  }
}
