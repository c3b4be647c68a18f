/** The buckets of etcd's database, and how their keys are made (etcd: server/storage/schema). */
import { buffer, latin1 } from '../base/bytes.ts';

/** All of them: etcd expects each to be there, if only empty. */
export const buckets = {
  alarm: 'alarm',
  auth: 'auth',
  authRoles: 'authRoles',
  authUsers: 'authUsers',
  cluster: 'cluster',
  /** Every change, by revision. */
  key: 'key',
  lease: 'lease',
  members: 'members',
  removedMembers: 'members_removed',
  meta: 'meta',
} as const;

export const metaKeys = {
  /** Members as Raft counts them, in JSON. */
  confState: 'confState',
  /** Last entry of the log whose effects are there, and its term. */
  consistentIndex: 'consistent_index',
  term: 'term',
  finishedCompaction: 'finishedCompactRev',
  scheduledCompaction: 'scheduledCompactRev',
  storageVersion: 'storageVersion',
} as const;

export const clusterKeys = { version: 'clusterVersion', downgrade: 'downgrade' } as const;
export const authKeys = { enabled: 'authEnabled', revision: 'authRevision' } as const;

/** Main revision (8 bytes), a separator, sub revision (8 bytes). */
const revisionBytes = 17;
const separatorAt = 8;
const separator = '_'.charCodeAt(0);
const tombstoneMark = 't'.charCodeAt(0);

export function encodeLeaseId(id: bigint): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigInt64BE(id);
  return key;
}

/** A revision as etcd's database has it for a key. */
export interface EtcdRevision {
  readonly main: number;
  readonly sub: number;
  readonly tombstone: boolean;
}

export function encodeRevision({ main, sub, tombstone }: EtcdRevision): Buffer {
  const key = Buffer.alloc(revisionBytes + (tombstone ? 1 : 0));
  key.writeBigUInt64BE(BigInt(main), 0);
  key[separatorAt] = separator;
  key.writeBigUInt64BE(BigInt(sub), separatorAt + 1);
  if (tombstone) key[revisionBytes] = tombstoneMark;
  return key;
}

/** Undefined if it is none, or beyond what can be counted exactly. */
export function decodeRevision(key: Uint8Array): EtcdRevision | undefined {
  const bytes = buffer(key);
  const marked = bytes.length === revisionBytes + 1;
  if (bytes.length !== revisionBytes && !marked) return undefined;
  if (bytes[separatorAt] !== separator) return undefined;
  const main = Number(bytes.readBigUInt64BE(0));
  const sub = Number(bytes.readBigUInt64BE(separatorAt + 1));
  if (!Number.isSafeInteger(main) || !Number.isSafeInteger(sub)) return undefined;
  return { main, sub, tombstone: marked && bytes[revisionBytes] === tombstoneMark };
}

/** A number of 8 bytes, big end first. */
export function encodeUint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** Keys of buckets as text, one character for each byte. */
export function keyText(key: Uint8Array): string {
  return latin1(key);
}
