/** The store's own numbers, written with every change so that one flush covers both. */
import { buffer } from '../base/bytes.ts';
import { stateKeys } from '../storage/keyspace.ts';
import { CorruptionError } from '../storage/errors.ts';

export const storeMetaKey = `${stateKeys.meta}mvcc`;

const formatVersion = 1;
const numberCount = 7;
const metaSize = 1 + numberCount * 8 + 1 + 2 * 4;

export interface StoreMeta {
  readonly revision: number;
  /** Newest compaction asked for; reads below it are refused. */
  readonly compactedRevision: number;
  /** Newest compaction whose removals are all done. */
  readonly finishedCompaction: number;
  /** Bytes of all records ever written. */
  readonly writtenBytes: number;
  /** Of them, bytes that a compaction at the current revision would have freed. */
  readonly supersededBytes: number;
  /** Of them, bytes that the compactions so far have freed, done or not. */
  readonly reclaimedBytes: number;
  /** Bytes of the current revision's tombstones: superseded one revision later. */
  readonly tombstoneBytes: number;
  /** How the digest is computed, see stateDigestAlgorithm. */
  readonly digestAlgorithm: number;
  readonly digestHigh: number;
  readonly digestLow: number;
}

export function encodeStoreMeta(meta: StoreMeta): Uint8Array {
  const bytes = Buffer.allocUnsafe(metaSize);
  bytes[0] = formatVersion;
  bytes.writeDoubleBE(meta.revision, 1);
  bytes.writeDoubleBE(meta.compactedRevision, 9);
  bytes.writeDoubleBE(meta.finishedCompaction, 17);
  bytes.writeDoubleBE(meta.writtenBytes, 25);
  bytes.writeDoubleBE(meta.supersededBytes, 33);
  bytes.writeDoubleBE(meta.reclaimedBytes, 41);
  bytes.writeDoubleBE(meta.tombstoneBytes, 49);
  bytes[57] = meta.digestAlgorithm;
  bytes.writeUInt32BE(meta.digestHigh, 58);
  bytes.writeUInt32BE(meta.digestLow, 62);
  return bytes;
}

export function decodeStoreMeta(stored: Uint8Array): StoreMeta {
  const bytes = buffer(stored);
  if (bytes[0] !== formatVersion || bytes.length !== metaSize) {
    throw new CorruptionError(
      `the store's numbers have format ${bytes[0]}, length ${bytes.length}`,
    );
  }
  return {
    revision: bytes.readDoubleBE(1),
    compactedRevision: bytes.readDoubleBE(9),
    finishedCompaction: bytes.readDoubleBE(17),
    writtenBytes: bytes.readDoubleBE(25),
    supersededBytes: bytes.readDoubleBE(33),
    reclaimedBytes: bytes.readDoubleBE(41),
    tombstoneBytes: bytes.readDoubleBE(49),
    digestAlgorithm: bytes.readUInt8(57),
    digestHigh: bytes.readUInt32BE(58),
    digestLow: bytes.readUInt32BE(62),
  };
}
