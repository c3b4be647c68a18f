/**
 * Member and cluster ids, computed as etcd computes them, so that every member of a new cluster
 * arrives at the same ids without talking to the others (etcd: server/etcdserver/api/membership).
 */
import { createHash } from 'node:crypto';

/** The first eight bytes of a SHA-1 digest, big-endian. Not for security, only for spreading. */
function firstEightBytes(parts: readonly (string | Uint8Array)[]): bigint {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest().readBigUInt64BE(0);
}

/** Byte order, as Go sorts strings: JavaScript's own order differs beyond the basic plane. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * The id of a member with these peer URLs. Founding members leave out `addedAtSeconds`; a member
 * added later mixes in the Unix time, so that a removed member's id never comes back.
 */
export function memberIdOf(
  peerUrls: readonly string[],
  clusterToken: string,
  addedAtSeconds?: number,
): bigint {
  const parts = [...peerUrls].sort(compareUtf8);
  parts.push(clusterToken);
  if (addedAtSeconds !== undefined) parts.push(String(Math.floor(addedAtSeconds)));
  return firstEightBytes(parts);
}

/** The id of a cluster founded by these members. */
export function clusterIdOf(memberIds: readonly bigint[]): bigint {
  const sorted = [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const bytes = Buffer.alloc(8 * sorted.length);
  sorted.forEach((id, i) => bytes.writeBigUInt64BE(id, 8 * i));
  return firstEightBytes([bytes]);
}

/** Ids as etcd prints them: lower-case hexadecimal without leading zeros. */
export function idToString(id: bigint): string {
  return id.toString(16);
}
