/**
 * The alarms as the log tells them, equal on all members (etcd: server/etcdserver/api/v3alarm).
 * There is at most one of a kind for each member, and any of a kind holds for the whole cluster.
 */
import { buffer } from '../base/bytes.ts';
import { AlarmType } from '../gen/rpc.ts';
import type { RecordBackend } from '../mvcc/state-backend.ts';
import { type DigestHalves, digestOf, StateDigest } from '../mvcc/state-digest.ts';
import { CorruptionError } from '../storage/errors.ts';
import { prefixRange, stateKeys } from '../storage/keyspace.ts';
import { readSafe, writeSafe } from '../storage/record.ts';

/** In place of a quota: a client raised the alarm, and only a client may clear it. */
export const raisedByHand = 0;

export interface Alarm {
  readonly memberId: bigint;
  /** Clients may raise kinds that nobody knows: any integer of 32 bits. */
  readonly kind: AlarmType;
  /** The quota in bytes that the state came to exceed at that member; or {@link raisedByHand}. */
  readonly quotaBytes: number;
}

const alarmNames: Readonly<Record<number, string>> = {
  [AlarmType.nospace]: 'NOSPACE',
  [AlarmType.corrupt]: 'CORRUPT',
};

/** Its name in etcd's protocol; the number of a kind that has none. */
export function alarmName(kind: AlarmType): string {
  return alarmNames[kind] ?? String(kind);
}

/** There are few; a slice holds them all. */
const scanSlice = 256;

export class AlarmStore {
  readonly #backend: RecordBackend;
  /** By key, which is the order in which they are listed. */
  readonly #alarms = new Map<string, Alarm>();
  /** Of all alarms' records. */
  readonly #digest = new StateDigest();
  readonly #counts = new Map<AlarmType, number>();

  private constructor(backend: RecordBackend) {
    this.#backend = backend;
  }

  static load(
    backend: RecordBackend,
    done: (error: Error | undefined, alarms: AlarmStore | undefined) => void,
  ): void {
    const alarms = new AlarmStore(backend);
    backend.scan(
      prefixRange(stateKeys.alarm),
      scanSlice,
      (entries) => {
        for (const [, record] of entries) alarms.#add(decodeAlarm(record));
      },
      (error) => done(error, error === undefined ? alarms : undefined),
    );
  }

  /** Equal on members that applied the same entries; a part of the hash of the whole state. */
  get stateHash(): bigint {
    return this.#digest.value;
  }

  /** Both halves of {@link stateHash}. */
  get stateDigest(): DigestHalves {
    return this.#digest;
  }

  get size(): number {
    return this.#alarms.size;
  }

  /** Those of one kind, or all if it is `none`, ascending by member. */
  list(kind: AlarmType = AlarmType.none): readonly Alarm[] {
    return [...this.#alarms.entries()]
      .filter(([, alarm]) => kind === AlarmType.none || alarm.kind === kind)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, alarm]) => alarm);
  }

  /** Whether there is one of this kind for any member. */
  has(kind: AlarmType): boolean {
    return (this.#counts.get(kind) ?? 0) > 0;
  }

  get(memberId: bigint, kind: AlarmType): Alarm | undefined {
    return this.#alarms.get(alarmKey(memberId, kind));
  }

  /**
   * Raises an alarm that may be there already. What a client raised stays the client's: it does
   * not clear by itself, even if a quota is exceeded meanwhile.
   */
  activate(alarm: Alarm): Alarm {
    const before = this.get(alarm.memberId, alarm.kind);
    if (before?.quotaBytes === raisedByHand || before?.quotaBytes === alarm.quotaBytes) {
      return before;
    }
    if (before !== undefined) this.#remove(before);
    this.#add(alarm);
    this.#backend.put(alarmKey(alarm.memberId, alarm.kind), encodeAlarm(alarm));
    return alarm;
  }

  /** Returns the alarm that was cleared; undefined if there was none. */
  deactivate(memberId: bigint, kind: AlarmType): Alarm | undefined {
    const alarm = this.get(memberId, kind);
    if (alarm === undefined) return undefined;
    this.#remove(alarm);
    this.#backend.delete(alarmKey(memberId, kind));
    return alarm;
  }

  #add(alarm: Alarm): void {
    this.#alarms.set(alarmKey(alarm.memberId, alarm.kind), alarm);
    this.#digest.add(digestOf(encodeAlarm(alarm)));
    this.#counts.set(alarm.kind, (this.#counts.get(alarm.kind) ?? 0) + 1);
  }

  #remove(alarm: Alarm): void {
    this.#alarms.delete(alarmKey(alarm.memberId, alarm.kind));
    this.#digest.remove(digestOf(encodeAlarm(alarm)));
    this.#counts.set(alarm.kind, (this.#counts.get(alarm.kind) ?? 0) - 1);
  }
}

export function alarmKey(memberId: bigint, kind: AlarmType): string {
  const member = memberId.toString(16).padStart(16, '0');
  return stateKeys.alarm + member + (kind >>> 0).toString(16).padStart(8, '0');
}

/** The record's format; a newer one stops the member. */
const formatVersion = 1;
const recordBytes = 1 + 8 + 4 + 8;

/** Without a checksum of its own, as the backend adds one (see `lease/lease.ts`). */
export function encodeAlarm({ memberId, kind, quotaBytes }: Alarm): Uint8Array {
  const bytes = Buffer.allocUnsafe(recordBytes);
  bytes[0] = formatVersion;
  bytes.writeBigUInt64LE(memberId, 1);
  bytes.writeInt32LE(kind, 9);
  writeSafe(bytes, quotaBytes, 13);
  return bytes;
}

/** @throws CorruptionError for a record of another form */
export function decodeAlarm(stored: Uint8Array): Alarm {
  const bytes = buffer(stored);
  if (bytes[0] !== formatVersion || bytes.length !== recordBytes) {
    throw new CorruptionError(`an alarm has format ${bytes[0]}, length ${bytes.length}`);
  }
  return {
    memberId: bytes.readBigUInt64LE(1),
    kind: bytes.readInt32LE(9) as AlarmType,
    quotaBytes: readSafe(bytes, 13),
  };
}
