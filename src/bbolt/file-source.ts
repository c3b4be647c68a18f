/** Where a database is read from, any part of it at any time. */
export interface FileSource {
  readonly sizeBytes: number;
  /** Exactly these bytes, which lie within the file. Throws the system's error. */
  read(offset: number, length: number): Buffer;
}

/** A file in memory. */
export function memorySource(bytes: Buffer): FileSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}
