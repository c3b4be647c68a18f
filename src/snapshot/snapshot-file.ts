/** A snapshot as a client has saved it: a database of etcd, and behind it its SHA-256. */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { FileSource } from '../bbolt/file-source.ts';

const hashBytes = 32;
/** Databases have whole pages: what is behind a multiple of this is a hash (etcd: hasChecksum). */
const sectorBytes = 512;
const hashedAtOnceBytes = 1024 * 1024;

/** Whether a file of this size ends in a hash. */
export function hasHash(fileBytes: number): boolean {
  return fileBytes % sectorBytes === hashBytes;
}

/** A file with such a database, open until {@link close}. */
export class SnapshotFile implements FileSource {
  readonly #file: number;
  /** Of the database, without the hash. */
  readonly sizeBytes: number;
  readonly #hasHash: boolean;

  /** @throws the system's error if the file cannot be opened */
  constructor(path: string) {
    this.#file = openSync(path, 'r');
    const { size } = fstatSync(this.#file);
    this.#hasHash = hasHash(size);
    this.sizeBytes = this.#hasHash ? size - hashBytes : size;
  }

  read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length;) {
      const read = readSync(this.#file, bytes, at, length - at, offset + at);
      if (read === 0) throw new Error('the file has become shorter');
      at += read;
    }
    return bytes;
  }

  /** @throws Error in etcd's words if the file has no hash, or is not what was hashed */
  checkHash(): void {
    if (!this.#hasHash) throw new Error('snapshot missing hash but --skip-hash-check=false');
    const hash = createHash('sha256');
    for (let at = 0; at < this.sizeBytes; at += hashedAtOnceBytes) {
      hash.update(this.read(at, Math.min(hashedAtOnceBytes, this.sizeBytes - at)));
    }
    const found = hash.digest();
    const expected = this.read(this.sizeBytes, hashBytes);
    if (!found.equals(expected)) {
      throw new Error(`expected sha256 ${listed(expected)}, got ${listed(found)}`);
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Bytes as Go prints them. */
function listed(bytes: Buffer): string {
  return `[${[...bytes].join(' ')}]`;
}
