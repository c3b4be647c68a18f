/**
 * etcd's database as the state that a new cluster begins with. Users and roles are kept as they
 * are, but not asked for yet: a cluster that asks for them is refused. Members and the cluster's
 * version are those of the old cluster and stay behind; alarms come along as in etcd.
 */
import { type Alarm, alarmKey, encodeAlarm, raisedByHand } from '../alarm/alarm-store.ts';
import { compareBytes, latin1 } from '../base/bytes.ts';
import { InvalidDatabaseError } from '../bbolt/format.ts';
import type { DatabaseReader } from '../bbolt/reader.ts';
import { Membership, type Member } from '../cluster/membership.ts';
import type { Codec } from '../base/wire.ts';
import { Role, User } from '../gen/auth.ts';
import { KeyValue } from '../gen/kv.ts';
import { Lease } from '../gen/lease.ts';
import { AlarmMember, AlarmType } from '../gen/rpc.ts';
import { encodeLease, leaseKey, leaseTtlMaxSeconds, noLease } from '../lease/lease.ts';
import { neverCompacted } from '../mvcc/revision.ts';
import { StoreImport, type ImportedStore } from '../mvcc/store-import.ts';
import { stateKeys } from '../storage/keyspace.ts';
import { authKeys, buckets, decodeRevision, encodeLeaseId, metaKeys } from './buckets.ts';

/** A pair of our state database. */
export type StatePair = readonly [key: string, value: Uint8Array];

export interface ImportOptions {
  /** Who founds the new cluster. */
  readonly members: readonly Member[];
  /** See {@link StoreImport.finish}. */
  readonly revisionBump: number;
}

/** The database holds what a cluster of this version cannot. */
export class UnsupportedStateError extends Error {
  override readonly name = 'UnsupportedStateError';
}

/**
 * The pairs of the state, in no order; returns what the store came to.
 * @throws InvalidDatabaseError, StoreImportError, UnsupportedStateError
 */
export function* importState(
  reader: DatabaseReader,
  options: ImportOptions,
): Generator<StatePair, ImportedStore, undefined> {
  for (const bucket of [buckets.key, buckets.meta]) {
    if (!reader.buckets.includes(bucket)) {
      throw new InvalidDatabaseError(`it is not etcd's: there is no bucket ${bucket}`);
    }
  }
  checkSupported(reader);
  yield* memberPairs(options.members);
  yield* alarmPairs(reader);
  yield* authPairs(reader);
  const leases = new Set<bigint>();
  yield* leasePairs(reader, leases);
  return yield* storePairs(reader, options.revisionBump, leases);
}

function checkSupported(reader: DatabaseReader): void {
  const enabled = valueOf(reader, buckets.auth, authKeys.enabled);
  if (enabled?.[0] !== 1) return;
  throw new UnsupportedStateError(
    'the snapshot cannot be restored: it has authentication enabled, which this version does ' +
      'not serve, and anybody could read and write its keys; save it after `auth disable`',
  );
}

/** Without the flag, which is not set. */
function* authPairs(reader: DatabaseReader): Generator<StatePair> {
  const revision = valueOf(reader, buckets.auth, authKeys.revision);
  if (revision !== undefined) yield [stateKeys.auth + authKeys.revision, revision];
  yield* namedPairs(reader, buckets.authUsers, stateKeys.authUser, User);
  yield* namedPairs(reader, buckets.authRoles, stateKeys.authRole, Role);
}

/** Records whose keys are the names in them. */
function* namedPairs(
  reader: DatabaseReader,
  bucket: string,
  prefix: string,
  codec: Codec<{ readonly name: Uint8Array }>,
): Generator<StatePair> {
  for (const [key, value] of reader.pairs(bucket)) {
    let name: Uint8Array;
    try {
      ({ name } = codec.decode(value));
    } catch (error) {
      const why = (error as Error).message;
      throw new InvalidDatabaseError(`a record of ${bucket} cannot be decoded: ${why}`);
    }
    if (compareBytes(name, key) !== 0) {
      throw new InvalidDatabaseError(`${hexOf(key)} in ${bucket} is another one's name`);
    }
    yield [prefix + latin1(key), value];
  }
}

/** As every founder writes them. */
function memberPairs(members: readonly Member[]): readonly StatePair[] {
  const pairs: StatePair[] = [];
  const backend = {
    put: (key: string, value: Uint8Array) => void pairs.push([key, value]),
    delete: () => {},
    scan: (
      _range: unknown,
      _limit: unknown,
      _onEntries: unknown,
      done: (none: undefined) => void,
    ) => done(undefined),
  };
  Membership.load(backend, (_error, membership) => membership?.found(members));
  return pairs;
}

/**
 * Whether there is too little space is for the quota of the new cluster to say: its leader clears
 * such an alarm when the state fits. Other alarms stay until a client clears them.
 */
function* alarmPairs(reader: DatabaseReader): Generator<StatePair> {
  for (const [key] of reader.pairs(buckets.alarm)) {
    const { memberId, alarm: kind } = alarmOf(key);
    const isSpace = kind === AlarmType.nospace;
    const quotaBytes = isSpace ? Number.MAX_SAFE_INTEGER : raisedByHand;
    const alarm: Alarm = { memberId, kind, quotaBytes };
    yield [alarmKey(memberId, kind), encodeAlarm(alarm)];
  }
}

function alarmOf(key: Uint8Array): AlarmMember {
  let alarm: AlarmMember;
  try {
    alarm = AlarmMember.decode(key);
  } catch (error) {
    throw new InvalidDatabaseError(`an alarm cannot be decoded: ${(error as Error).message}`);
  }
  // Another encoding of the same alarm would be a second one.
  const isSound =
    alarm.alarm !== AlarmType.none && compareBytes(AlarmMember.encode(alarm), key) === 0;
  if (!isSound) throw new InvalidDatabaseError(`${hexOf(key)} is no alarm`);
  return alarm;
}

/** With all that was left of them at the newest checkpoint. */
function* leasePairs(reader: DatabaseReader, ids: Set<bigint>): Generator<StatePair> {
  for (const [key, value] of reader.pairs(buckets.lease)) {
    const { id, ttl, remainingTtl } = leaseOf(value);
    const sound =
      id !== noLease &&
      encodeLeaseId(id).equals(key) &&
      ttl > 0 &&
      ttl <= leaseTtlMaxSeconds &&
      remainingTtl >= 0;
    if (!sound) throw new InvalidDatabaseError(`${hexOf(key)} is no lease`);
    ids.add(id);
    // No request granted it here; what tells it from later ones of its id must be equal on all.
    const grant = BigInt.asUintN(64, id);
    const remainingSeconds = Math.min(remainingTtl, ttl);
    yield [leaseKey(id), encodeLease({ id, grant, ttlSeconds: ttl, remainingSeconds })];
  }
}

function leaseOf(value: Uint8Array): Lease {
  try {
    return Lease.decode(value);
  } catch (error) {
    throw new InvalidDatabaseError(`a lease cannot be decoded: ${(error as Error).message}`);
  }
}

function* storePairs(
  reader: DatabaseReader,
  bump: number,
  leases: ReadonlySet<bigint>,
): Generator<StatePair, ImportedStore, undefined> {
  let pairs: StatePair[] = [];
  const put = (key: string, value: Uint8Array): void => void pairs.push([key, value]);
  const store = new StoreImport(put, compactedIn(reader), leases);
  for (const [key, value] of reader.pairs(buckets.key)) {
    store.add({ ...revisionOf(key), keyValue: keyValueOf(value) });
    yield* pairs;
    pairs = [];
  }
  const imported = store.finish(bump);
  yield* pairs;
  return imported;
}

function revisionOf(key: Uint8Array): NonNullable<ReturnType<typeof decodeRevision>> {
  const revision = decodeRevision(key);
  if (revision === undefined) throw new InvalidDatabaseError(`${hexOf(key)} is no revision`);
  return revision;
}

function keyValueOf(value: Uint8Array): KeyValue {
  try {
    return KeyValue.decode(value);
  } catch (error) {
    throw new InvalidDatabaseError(`a key value cannot be decoded: ${(error as Error).message}`);
  }
}

/** The newest compaction asked for: what it has not removed yet is removed here. */
function compactedIn(reader: DatabaseReader): number {
  const revisions = [metaKeys.scheduledCompaction, metaKeys.finishedCompaction].map((name) => {
    const value = valueOf(reader, buckets.meta, name);
    return value === undefined ? neverCompacted : revisionOf(value).main;
  });
  return Math.max(...revisions);
}

function valueOf(reader: DatabaseReader, bucket: string, key: string): Uint8Array | undefined {
  for (const [name, value] of reader.pairs(bucket)) if (latin1(name) === key) return value;
  return undefined;
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`;
}
