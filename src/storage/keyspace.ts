/**
 * Every kind of key in both databases, by its first byte. Prefixes are part of the format on disk:
 * they are never reused for something else. Keys are latin1 strings, one character a byte.
 */

/** The log database. */
export const logKeys = {
  /** Compaction point: index, term and chain of the last entry that is gone. */
  anchor: '\x01',
  /** Term, vote and commit index. */
  hardState: '\x02',
  /** Name of the current state directory. */
  stateDirectory: '\x03',
  /** Index and chain of the last entry, written with each append. */
  tail: '\x04',
  /** Whose log it is and how many writes it has taken, written with each append. */
  origin: '\x05',
  /** Only after entries were lost: the term that the log must reach before the member votes. */
  repair: '\x06',
  /** Followed by the first index of a packed record of entries, 8 bytes, big end first. */
  entries: '\x10',
} as const;

/** The state database. Each prefix belongs to the module named, which decides how a key goes on. */
export const stateKeys = {
  /** Backend: what the newest flush covers. */
  flush: '\x01',
  /** Backend: one mark per flush, followed by its number, 8 bytes, big end first. */
  flushMark: '\x02',
  /** Backend: what the newest flush knows of the log. It is this member's, and never sent. */
  logMark: '\x03',
  /** server: only of a state that was found to be wrong: from which entry on. Never sent. */
  deviation: '\x04',
  /** Single values by name: consistent hash, compacted revision, current revision and the like. */
  meta: 'M',
  /** mvcc: followed by main and sub revision. */
  revision: 'r',
  /** lease: followed by the lease id. */
  lease: 'l',
  /** cluster: followed by the member id. */
  member: 'm',
  /** cluster: ids of members that were removed. */
  removedMember: 'x',
  /** cluster: cluster version and other single values. */
  cluster: 'c',
  /** auth: followed by etcd's name of the revision, of the flag that it is enabled. */
  auth: 'A',
  /** auth: followed by the user's name; etcd's record. */
  authUser: 'u',
  /** auth: followed by the role's name; etcd's record. */
  authRole: 'o',
  /** alarm: followed by member id and type. */
  alarm: 'a',
  /** server: numbered peer sessions and other facts of the apply path. */
  session: 's',
} as const;

/** Bounds of an iteration over string keys. */
export interface StringRange {
  readonly low?: string;
  readonly high?: string;
}

/** All keys that begin with `prefix`, which must not end in byte 255. */
export function prefixRange(prefix: string): StringRange {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { low: prefix, high: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}

/** A prefix and a number, 8 bytes, big end first, so that the order of keys is that of numbers. */
export function numberedKey(prefix: string, number: number): Buffer {
  const key = Buffer.allocUnsafe(prefix.length + 8);
  key.write(prefix, 'latin1');
  key.writeUInt32BE(Math.floor(number / 0x1_0000_0000), prefix.length);
  key.writeUInt32BE(number % 0x1_0000_0000, prefix.length + 4);
  return key;
}
