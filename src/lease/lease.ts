/** One lease, and its record in the state database. */
import { buffer } from '../base/bytes.ts';
import { CorruptionError } from '../storage/errors.ts';
import { stateKeys } from '../storage/keyspace.ts';
import { readSafe, writeSafe } from '../storage/record.ts';

/** The longest that a lease may be granted for, in seconds (etcd: MaxLeaseTTL). */
export const leaseTtlMaxSeconds = 9_000_000_000;
/** The id that stands for "no lease". */
export const noLease = 0n;
/** In place of a grant: whichever lease has the id. */
export const anyGrant = 0n;

export interface Lease {
  /** Signed, as clients choose it. */
  readonly id: bigint;
  /** The request that granted it, which tells it from others that have had its id. */
  readonly grant: bigint;
  /** As granted. */
  readonly ttlSeconds: number;
  /**
   * What was left of it at the newest checkpoint, where a new leader goes on; 0 if it was renewed
   * after that, or if there was none.
   */
  readonly remainingSeconds: number;
  /** Keys whose newest value hangs on it. */
  readonly keys: ReadonlySet<string>;
}

/** What a leader that knows nothing else has to grant it. */
export function leaseSecondsLeft({ ttlSeconds, remainingSeconds }: Lease): number {
  return remainingSeconds > 0 ? remainingSeconds : ttlSeconds;
}

export function leaseKey(id: bigint): string {
  return stateKeys.lease + BigInt.asUintN(64, id).toString(16).padStart(16, '0');
}

/** The record's format; a newer one stops the member. */
const formatVersion = 1;
const recordBytes = 1 + 4 * 8;

/**
 * Without a checksum of its own, as the backend adds one: a checksum over a record that ends in its
 * own would be the same for all, and the hash of the state is made of such.
 */
export function encodeLease(lease: Omit<Lease, 'keys'>): Uint8Array {
  const bytes = Buffer.allocUnsafe(recordBytes);
  bytes[0] = formatVersion;
  bytes.writeBigInt64LE(lease.id, 1);
  bytes.writeBigUInt64LE(lease.grant, 9);
  writeSafe(bytes, lease.ttlSeconds, 17);
  writeSafe(bytes, lease.remainingSeconds, 25);
  return bytes;
}

/** @throws CorruptionError for a record of another form */
export function decodeLease(stored: Uint8Array): Omit<Lease, 'keys'> {
  const bytes = buffer(stored);
  if (bytes[0] !== formatVersion || bytes.length !== recordBytes) {
    throw new CorruptionError(`a lease has format ${bytes[0]}, length ${bytes.length}`);
  }
  return {
    id: bytes.readBigInt64LE(1),
    grant: bytes.readBigUInt64LE(9),
    ttlSeconds: readSafe(bytes, 17),
    remainingSeconds: readSafe(bytes, 25),
  };
}
