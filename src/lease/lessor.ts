/**
 * The leases as the log tells them, equal on all members (etcd: lease/lessor.go). No time passes
 * here: when a lease has run out is known to the leader alone, which then has it revoked through
 * the log like any client.
 *
 * A lease's record is written with the changes that it belongs to. Which keys hang on it is not
 * written: the keys' own records say it, and it is gathered from them when a state is loaded.
 */
import { assert, present } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import type { RecordBackend } from '../mvcc/state-backend.ts';
import { type DigestHalves, digestOf, StateDigest } from '../mvcc/state-digest.ts';
import { CorruptionError } from '../storage/errors.ts';
import { prefixRange, stateKeys } from '../storage/keyspace.ts';
import {
  anyGrant,
  decodeLease,
  encodeLease,
  type Lease,
  leaseKey,
  leaseTtlMaxSeconds,
  noLease,
} from './lease.ts';

/** Records read in one slice: about a millisecond. */
const recordsPerSlice = 1000;

/** A change of one key: with a lease, without one, or gone. */
export interface KeyChange {
  readonly keyText: string;
  /** {@link noLease} for a deletion. */
  readonly lease: bigint;
}

/** Who keeps the time of the leases; called after each change of them. */
export interface LeaseListener {
  granted(lease: Lease): void;
  checkpointed(lease: Lease): void;
  revoked(lease: Lease): void;
  /** A logged revocation was not carried out: the lease is still there. */
  revocationRefused(lease: Lease): void;
}

interface StoredLease extends Lease {
  remainingSeconds: number;
  readonly keys: Set<string>;
  digest: number;
}

export class Lessor {
  readonly #backend: RecordBackend;
  readonly #leases = new Map<bigint, StoredLease>();
  readonly #leaseOfKey = new Map<string, StoredLease>();
  /** Of all leases' records. */
  readonly #digest = new StateDigest();
  #listener: LeaseListener | undefined;

  private constructor(backend: RecordBackend) {
    this.#backend = backend;
  }

  /**
   * Reads the leases.
   * @param leasedKeys the newest lease of each key that has one
   */
  static load(
    backend: RecordBackend,
    leasedKeys: ReadonlyMap<string, bigint>,
    done: (error: Error | undefined, lessor: Lessor | undefined) => void,
  ): void {
    const lessor = new Lessor(backend);
    backend.scan(
      prefixRange(stateKeys.lease),
      recordsPerSlice,
      (entries) => {
        for (const [, record] of entries) lessor.#add(decodeLease(record), digestOf(record));
      },
      (scanError) => {
        const error = scanError ?? lessor.#attachAll(leasedKeys);
        done(error, error === undefined ? lessor : undefined);
      },
    );
  }

  get size(): number {
    return this.#leases.size;
  }

  /** Equal on members that applied the same entries; a part of the hash of the whole state. */
  get stateHash(): bigint {
    return this.#digest.value;
  }

  /** Both halves of {@link stateHash}. */
  get stateDigest(): DigestHalves {
    return this.#digest;
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  /** In the order of their granting, those from before the start ascending by id. */
  all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  setListener(listener: LeaseListener): void {
    this.#listener = listener;
  }

  /**
   * @param grant the request's id
   * @throws EtcdError `leaseNotFound` for id 0, `leaseTtlTooLarge` or `leaseExists`
   */
  grant(id: bigint, ttlSeconds: number, grant: bigint): Lease {
    if (id === noLease) throw new EtcdError('leaseNotFound');
    if (ttlSeconds > leaseTtlMaxSeconds) throw new EtcdError('leaseTtlTooLarge');
    if (this.#leases.has(id)) throw new EtcdError('leaseExists');
    // Members raise what is too short before they propose it.
    const granted = { id, grant, ttlSeconds: Math.max(1, ttlSeconds), remainingSeconds: 0 };
    const record = encodeLease(granted);
    const lease = this.#add(granted, digestOf(record));
    this.#backend.put(leaseKey(id), record);
    this.#listener?.granted(lease);
    return lease;
  }

  /**
   * The keys that go with a lease, in the order in which every member deletes them.
   * @param grant which lease of this id is meant, or {@link anyGrant}
   * @throws EtcdError `leaseNotFound`
   */
  keysToDelete(id: bigint, grant: bigint): readonly string[] {
    const lease = this.#find(id, grant);
    if (lease === undefined) throw new EtcdError('leaseNotFound');
    return [...lease.keys].sort();
  }

  /** Forgets a lease whose keys are deleted. */
  revoke(id: bigint): void {
    const lease = present(this.#leases.get(id), 'the lease to revoke');
    assert(lease.keys.size === 0, 'a lease is revoked before its keys are deleted');
    this.#leases.delete(id);
    this.#digest.remove(lease.digest);
    this.#backend.delete(leaseKey(id));
    this.#listener?.revoked(lease);
  }

  /** A revocation of this lease was not carried out. */
  refused(id: bigint, grant: bigint): void {
    const lease = this.#find(id, grant);
    if (lease !== undefined) this.#listener?.revocationRefused(lease);
  }

  /** Notes what is left of a lease; 0: all of it, it was renewed. One that is gone is ignored. */
  checkpoint(id: bigint, remainingSeconds: number, grant: bigint): void {
    const lease = this.#find(id, grant);
    if (lease === undefined) return;
    // Nothing that a broken proposer writes may make a record that cannot be read.
    lease.remainingSeconds = Math.min(Math.max(0, remainingSeconds), lease.ttlSeconds);
    const record = encodeLease(lease);
    this.#digest.remove(lease.digest);
    lease.digest = digestOf(record);
    this.#digest.add(lease.digest);
    this.#backend.put(leaseKey(id), record);
    this.#listener?.checkpointed(lease);
  }

  /** Keys changed, in this order: moves them to the leases that they hang on now. */
  changed(changes: readonly KeyChange[]): void {
    for (const { keyText: key, lease: id } of changes) {
      if (id === noLease && this.#leaseOfKey.size === 0) continue;
      const before = this.#leaseOfKey.get(key);
      if (before !== undefined) {
        if (before.id === id) continue;
        before.keys.delete(key);
        this.#leaseOfKey.delete(key);
      }
      if (id !== noLease) this.#attach(key, present(this.#leases.get(id), 'the lease of a put'));
    }
  }

  #find(id: bigint, grant: bigint): StoredLease | undefined {
    const lease = this.#leases.get(id);
    return grant === anyGrant || lease?.grant === grant ? lease : undefined;
  }

  #add(fields: Omit<Lease, 'keys'>, digest: number): StoredLease {
    const lease = { ...fields, keys: new Set<string>(), digest };
    this.#leases.set(lease.id, lease);
    this.#digest.add(digest);
    return lease;
  }

  #attach(key: string, lease: StoredLease): void {
    lease.keys.add(key);
    this.#leaseOfKey.set(key, lease);
  }

  #attachAll(leasedKeys: ReadonlyMap<string, bigint>): Error | undefined {
    for (const [key, id] of leasedKeys) {
      const lease = this.#leases.get(id);
      if (lease === undefined) {
        const hex = BigInt.asUintN(64, id).toString(16);
        return new CorruptionError(`a key hangs on lease ${hex}, which is missing`);
      }
      this.#attach(key, lease);
    }
    return undefined;
  }
}
