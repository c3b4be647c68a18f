/**
 * The check before LevelDB opens a directory. LevelDB rewrites files as it opens them, drops what
 * it cannot read, and does not mind a missing log: so all is read first, and nothing changed.
 */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { CorruptionError } from './errors.ts';
import { scanLog } from './log-scanner.ts';
import { checkTable, type ReadAt, VarintReader } from './table-scanner.ts';

/** Fields of a MANIFEST's records (LevelDB: db/version_edit.cc). */
const manifestTag = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLogNumber: 9,
} as const;

const windowBytes = 1024 * 1024;

/** What a MANIFEST says is there. */
interface Manifest {
  logNumber: number;
  previousLogNumber: number;
  readonly tables: Map<number, ManifestTable>;
}

interface ManifestTable {
  readonly sizeBytes: number;
  /** First and last key, with LevelDB's own sequence numbers. */
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

export interface DatabaseCheck {
  /** There is no database yet. */
  readonly absent: boolean;
  /** The last write had not completed; what it holds was never acknowledged. */
  readonly torn: boolean;
}

/** Checks all that LevelDB will rely on; throws {@link CorruptionError} with file and offset. */
export function checkDatabase(location: string): DatabaseCheck {
  try {
    return checkFiles(location);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    // What the disk cannot read back is damage like any other.
    if (code === 'EIO') throw new CorruptionError(`${location} cannot be read: ${message}`);
    throw thrown;
  }
}

function checkFiles(location: string): DatabaseCheck {
  const names = list(location);
  if (!names.includes('CURRENT')) {
    // A crash in the middle of creating leaves at most a MANIFEST behind.
    const data = names.find((name) => /\.(log|ldb|sst)$/.test(name));
    if (data === undefined) return { absent: true, torn: false };
    throw new CorruptionError(`${join(location, 'CURRENT')} is missing, but ${data} is there`);
  }
  const manifestName = readFileSync(join(location, 'CURRENT'), 'latin1');
  if (!/^MANIFEST-\d+\n$/.test(manifestName) || !names.includes(manifestName.trim())) {
    throw new CorruptionError(`${join(location, 'CURRENT')} names no file that is there`);
  }
  const manifest = readManifest(join(location, manifestName.trim()));
  for (const [number, table] of manifest.tables) checkTableFile(location, names, number, table);
  return { absent: false, torn: checkLogs(location, names, manifest) };
}

function list(location: string): readonly string[] {
  try {
    return readdirSync(location);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readManifest(path: string): Manifest {
  const { records } = scanLog(readFileSync(path), path);
  const manifest: Manifest = { logNumber: 0, previousLogNumber: 0, tables: new Map() };
  if (records.length === 0) throw new CorruptionError(`${path} is empty`);
  for (const record of records) applyEdit(Buffer.from(record), manifest, path);
  return manifest;
}

function applyEdit(record: Buffer, manifest: Manifest, path: string): void {
  const reader = new VarintReader(record);
  while (!reader.ended) {
    const tag = reader.number();
    if (tag === manifestTag.comparator) {
      reader.bytes(reader.number());
    } else if (tag === manifestTag.logNumber) {
      manifest.logNumber = reader.number();
    } else if (tag === manifestTag.previousLogNumber) {
      manifest.previousLogNumber = reader.number();
    } else if (tag === manifestTag.nextFileNumber || tag === manifestTag.lastSequence) {
      reader.number();
    } else if (tag === manifestTag.compactPointer) {
      reader.number();
      reader.bytes(reader.number());
    } else if (tag === manifestTag.deletedFile) {
      reader.number();
      manifest.tables.delete(reader.number());
    } else if (tag === manifestTag.newFile) {
      reader.number();
      const number = reader.number();
      const sizeBytes = reader.number();
      const smallest = reader.bytes(reader.number());
      const largest = reader.bytes(reader.number());
      manifest.tables.set(number, { sizeBytes, smallest, largest });
    } else {
      throw new CorruptionError(`${path} holds an unknown field ${tag}`);
    }
  }
}

function checkTableFile(
  location: string,
  names: readonly string[],
  number: number,
  { sizeBytes, smallest, largest }: ManifestTable,
): void {
  const stem = String(number).padStart(6, '0');
  const name = [`${stem}.ldb`, `${stem}.sst`].find((each) => names.includes(each));
  const path = join(location, name ?? `${stem}.ldb`);
  if (name === undefined) throw new CorruptionError(`${path} is missing`);
  const file = openSync(path, 'r');
  try {
    const found = fstatSync(file).size;
    if (found !== sizeBytes) {
      throw new CorruptionError(`${path} has ${found} bytes instead of ${sizeBytes}`);
    }
    const read = windowedReader(file, sizeBytes, path);
    const { first, last } = checkTable(read, sizeBytes, path);
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
      window = Buffer.allocUnsafe(Math.max(length, Math.min(windowBytes, sizeBytes - offset)));
      start = offset;
      const count = readSync(file, window, 0, window.length, offset);
      if (count !== window.length) throw new CorruptionError(`${path} ends at ${offset + count}`);
    }
    return window.subarray(offset - start, offset - start + length);
  };
}

/**
 * Checks the logs that LevelDB will replay, oldest first. All our writes are synced, so only the
 * newest record of all can be incomplete: after a torn log there may only be empty ones, left by a
 * recovery that did not finish.
 */
function checkLogs(location: string, names: readonly string[], manifest: Manifest): boolean {
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
  for (const number of numbers) {
    const name = names.find(
      (each) => each.endsWith('.log') && Number.parseInt(each, 10) === number,
    );
    const path = join(location, name ?? '');
    const scanned = scanLog(readFileSync(path), path);
    if (torn !== undefined && scanned.records.length > 0) {
      throw new CorruptionError(`${torn} is damaged at its end: writes after it are in ${path}`);
    }
    if (scanned.torn) torn = path;
  }
  return torn !== undefined;
}
