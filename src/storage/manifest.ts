/** Reads LevelDB's MANIFEST: a log of edits to the list of its files (db/version_edit.cc). */
import { readFileSync } from 'node:fs';
import { CorruptionError, NewerVersionError } from './errors.ts';
import { scanLog } from './log-scanner.ts';
import { readRetrying } from './read-retry.ts';
import { VarintReader } from './table-scanner.ts';

/** Fields of an edit. */
const tag = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLogNumber: 9,
} as const;

/** Without these LevelDB does not know where to go on. */
const required = [tag.logNumber, tag.nextFileNumber, tag.lastSequence];

export interface ManifestTable {
  readonly sizeBytes: number;
  /** First and last key, with LevelDB's own sequence numbers. */
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

/** What a MANIFEST says is there. */
export interface Manifest {
  readonly logNumber: number;
  readonly previousLogNumber: number;
  /** Of the last operation that was written when the log came to be named. */
  readonly sequenceBeforeLog: number;
  readonly tables: ReadonlyMap<number, ManifestTable>;
}

export interface ManifestFile {
  readonly edits: readonly Buffer[];
  /** Offset of each edit. */
  readonly starts: readonly number[];
  /** The file ends in an edit whose write never completed. */
  readonly torn: boolean;
  /** Where its whole edits end. */
  readonly endsAt: number;
}

export function readManifest(path: string): ManifestFile {
  const bytes = readRetrying(path, () => readFileSync(path));
  const { records, starts, endsAt } = scanLog(bytes, path);
  if (records.length === 0) throw new CorruptionError(`${path} is empty`);
  // Nobody makes a MANIFEST longer ahead: zeros behind its edits are the beginning of another one.
  const torn = endsAt < bytes.length;
  return { edits: records.map((record) => Buffer.from(record)), starts, torn, endsAt };
}

/** The files after all of `edits`; throws if they do not say what LevelDB needs. */
export function manifestAfter(edits: readonly Buffer[], path: string): Manifest {
  const singles = new Map<number, number>();
  const tables = new Map<number, ManifestTable>();
  let logNumber: number | undefined;
  let sequenceBeforeLog = 0;
  for (const edit of edits) {
    applyEdit(edit, singles, tables, path);
    if (singles.get(tag.logNumber) === logNumber) continue;
    logNumber = singles.get(tag.logNumber);
    sequenceBeforeLog = singles.get(tag.lastSequence) ?? 0;
  }
  if (!required.every((each) => singles.has(each))) {
    throw new CorruptionError(`${path} does not say where the log is`);
  }
  return {
    logNumber: logNumber ?? 0,
    previousLogNumber: singles.get(tag.previousLogNumber) ?? 0,
    sequenceBeforeLog,
    tables,
  };
}

function applyEdit(
  edit: Buffer,
  singles: Map<number, number>,
  tables: Map<number, ManifestTable>,
  path: string,
): void {
  const reader = new VarintReader(edit);
  while (!reader.ended) {
    const field = reader.number();
    switch (field) {
      case tag.comparator:
        reader.bytes(reader.number());
        break;
      case tag.logNumber:
      case tag.previousLogNumber:
      case tag.nextFileNumber:
      case tag.lastSequence:
        singles.set(field, reader.number());
        break;
      case tag.compactPointer:
        reader.number();
        reader.bytes(reader.number());
        break;
      case tag.deletedFile:
        reader.number();
        tables.delete(reader.number());
        break;
      case tag.newFile: {
        reader.number();
        const number = reader.number();
        const sizeBytes = reader.number();
        const smallest = reader.bytes(reader.number());
        const largest = reader.bytes(reader.number());
        tables.set(number, { sizeBytes, smallest, largest });
        break;
      }
      default:
        // Its checksum was right.
        throw Number.isNaN(field)
          ? new CorruptionError(`${path} holds an edit that makes no sense`)
          : new NewerVersionError(`a field of ${path}`, field, tag.previousLogNumber);
    }
  }
}
