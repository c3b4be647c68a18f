/**
 * A hash over the newest records of the state, key values or members, that does not depend on their
 * order: each change takes the old one out and puts the new one in, so its cost is constant and
 * compaction does not change it.
 * Members that applied the same entries must have the same; it finds what went wrong, not who
 * meant harm.
 */
import { crc32 } from 'node:zlib';

/** Number of the algorithm; members compare only hashes of the same one. */
export const stateDigestAlgorithm = 1;

const laneBits = 32n;
const secondLaneOffset = 0x9e3779b9;

/** Checksum of one encoded record, as a signed 32-bit integer. */
export function digestOf(record: Uint8Array): number {
  return crc32(record) | 0;
}

/** The hash of parts of the state from the hashes of each. */
export function joinedHash(hashes: readonly bigint[]): bigint {
  const lane = (shift: bigint): bigint =>
    BigInt.asUintN(
      Number(laneBits),
      hashes.reduce((sum, hash) => sum + (hash >> shift), 0n),
    );
  return (lane(laneBits) << laneBits) | lane(0n);
}

/** The finalizer of MurmurHash3: without it, sums of checksums would cancel each other out. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** A hash of 64 bits as two unsigned numbers. */
export interface DigestHalves {
  readonly high: number;
  readonly low: number;
}

export class StateDigest implements DigestHalves {
  #high = 0;
  #low = 0;

  add(digest: number): void {
    this.#high = (this.#high + mix(digest)) >>> 0;
    this.#low = (this.#low + mix(digest + secondLaneOffset)) >>> 0;
  }

  remove(digest: number): void {
    this.#high = (this.#high - mix(digest)) >>> 0;
    this.#low = (this.#low - mix(digest + secondLaneOffset)) >>> 0;
  }

  get high(): number {
    return this.#high;
  }

  get low(): number {
    return this.#low;
  }

  /** Both lanes as one number of 64 bits. */
  get value(): bigint {
    return (BigInt(this.#high) << laneBits) | BigInt(this.#low);
  }
}
