/** What is in a snapshot file (etcd: etcdutl/snapshot). */
import { fromLatin1, fromUtf8, latin1 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { InvalidDatabaseError } from '../bbolt/format.ts';
import { DatabaseReader } from '../bbolt/reader.ts';
import { KeyValue } from '../gen/kv.ts';
import { buckets, decodeRevision, metaKeys } from '../schema/buckets.ts';
import { SnapshotFile } from './snapshot-file.ts';

export interface SnapshotStatus {
  /** CRC-32C over all buckets' names, keys and values. */
  readonly hash: number;
  readonly revision: number;
  /** Keys that exist. */
  readonly totalKeys: number;
  readonly sizeBytes: number;
  /** Of the storage; empty before etcd 3.6. */
  readonly version: string;
}

/** @throws InvalidDatabaseError, or the system's error */
export function snapshotStatus(path: string): SnapshotStatus {
  const file = new SnapshotFile(path);
  try {
    const reader = new DatabaseReader(file);
    reader.check();
    return statusOf(reader);
  } finally {
    file.close();
  }
}

function statusOf(reader: DatabaseReader): SnapshotStatus {
  const keys = new Set<string>();
  let hash = 0;
  let revision = 0;
  let version = '';
  for (const bucket of reader.buckets) {
    hash = crc32c(fromLatin1(bucket), hash);
    for (const [key, value] of reader.pairs(bucket)) {
      hash = crc32c(value, crc32c(key, hash));
      if (bucket === buckets.key) revision = count(keys, key, value);
      const isVersion = bucket === buckets.meta && latin1(key) === metaKeys.storageVersion;
      if (isVersion) version = fromUtf8(value);
    }
  }
  return { hash, revision, totalKeys: keys.size, sizeBytes: reader.sizeBytes, version };
}

/** Adds a key that exists, or removes one; returns the main revision. */
function count(keys: Set<string>, stored: Uint8Array, value: Uint8Array): number {
  const revision = decodeRevision(stored);
  if (revision === undefined) {
    throw new InvalidDatabaseError(`0x${Buffer.from(stored).toString('hex')} is no revision`);
  }
  let key: string;
  try {
    key = latin1(KeyValue.decode(value).key);
  } catch (error) {
    throw new InvalidDatabaseError(`a key value cannot be decoded: ${(error as Error).message}`);
  }
  if (revision.tombstone) keys.delete(key);
  else keys.add(key);
  return revision.main;
}
