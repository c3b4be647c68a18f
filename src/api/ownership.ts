/**
 * Who owns a name: whoever has the oldest key below `name/` (etcd: client/v3/concurrency). Each
 * who wants it puts a key there that hangs on a lease, and waits until all older keys are gone,
 * always by watching the youngest of them, so that one departure wakes one waiter.
 *
 * A key's create revision says who was first, and is never given twice: it is the token that proves
 * an ownership to others.
 */
import { present } from '../base/assert.ts';
import { fromLatin1, latin1 } from '../base/bytes.ts';
import { StatusCode, StatusError } from '../base/errors.ts';
import type { KeyValue } from '../gen/kv.ts';
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  type ResponseHeader,
  TxnRequest,
  type TxnResponse,
} from '../gen/rpc.ts';
import { noLease } from '../lease/lease.ts';
import type { CallContext } from './handler.ts';
import { KeyChanges } from './key-changes.ts';
import { type KvBackend, KvService } from './kv.ts';
import { type LeaseBackend, LeaseService } from './lease.ts';
import { Turns } from './turns.ts';
import type { WatchBackend } from './watch.ts';

/** TTL of the leases of those who bring none, in seconds (etcd: concurrency.defaultSessionTTL). */
const leaseTtlSeconds = 60;
/** Keys and bytes looked at in one turn: about a millisecond. */
const keysTogether = 1000;
const bytesTogether = 1024 * 1024;

export type OwnershipBackend = KvBackend &
  LeaseBackend &
  Pick<WatchBackend, 'openWatchStream' | 'onLeaderLost' | 'onStateRefused'>;

/** What a wait needs to know of its call. */
export type WaitContext = Pick<CallContext, 'signal' | 'memory'>;

/** A key below a name, as it was put there. */
export interface Place {
  readonly name: string;
  readonly key: string;
  readonly lease: bigint;
  /** The key's create revision. */
  readonly revision: number;
}

/** A place that was asked for. */
export interface TakenPlace {
  readonly place: Place;
  /** Its revision is the first at which the place is taken, or known to be. */
  readonly header: ResponseHeader;
  /** What the key held already, if its lease had this place before. */
  readonly previous: KeyValue | undefined;
}

/** How a wait ended: at once, after others, or because the key itself has gone. */
export type Turn =
  | { readonly kind: 'atOnce' }
  | { readonly kind: 'waited'; readonly header: ResponseHeader | undefined }
  | { readonly kind: 'lost' };

/** All keys below a name are in [prefix, end): the end has the character after `/`. */
export const prefixOf = (name: string): string => `${name}/`;
export const prefixEndOf = (name: string): string => `${name}0`;

/**
 * etcd serves locks and elections as a client of its own other services, and what these refuse
 * reaches the caller in their words but without their codes.
 */
export async function withoutCodes<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof StatusError ? unknownError(error.message) : error;
  }
}

export function unknownError(message: string): StatusError {
  return new StatusError(StatusCode.unknown, message);
}

export class Ownership {
  readonly kv: KvService;
  readonly #backend: OwnershipBackend;
  readonly #lease: LeaseService;
  readonly #turns: Turns;

  constructor(backend: OwnershipBackend) {
    this.#backend = backend;
    this.kv = new KvService(backend);
    this.#lease = new LeaseService(backend);
    this.#turns = new Turns(backend.clock);
  }

  /** The lease asked for, or without one a new one, which nobody renews. */
  async leaseOf(asked: bigint): Promise<bigint> {
    if (asked !== noLease) return asked;
    const { id } = await this.#lease.leaseGrant({ id: noLease, ttl: leaseTtlSeconds });
    return id;
  }

  /** Puts the key of a lease below a name, unless it is there. */
  async take(name: string, lease: bigint, value: Uint8Array): Promise<TakenPlace> {
    const key = prefixOf(name) + lease.toString(16);
    const response = await this.kv.txn(
      TxnRequest.create({
        compare: [isCreatedAt(key, 0)],
        success: [put(key, value, lease)],
        failure: [rangeOf(key)],
      }),
    );
    const { succeeded, responses } = response;
    const header = present(response.header, 'header of a txn');
    const found = responses[0]?.response;
    const previous = !succeeded && found?.case === 'responseRange' ? found.value.kvs[0] : undefined;
    const revision = previous?.createRevision ?? header.revision;
    return { place: { name, key, lease, revision }, header, previous };
  }

  /**
   * Waits until no older key is left, or the own one is gone. After others it is made sure, through
   * the leader, that the own one is still there.
   * @throws EtcdError if that cannot be made sure, or the call ends
   */
  async turn(taken: TakenPlace, context: CallContext): Promise<Turn> {
    const { place, header, previous } = taken;
    // Nobody would hear of the place. One that the lease had before may be another call's.
    if (previous === undefined && context.signal.aborted) throw unknownError('context canceled');
    // Who came first is told by the state that the own key was put into.
    let revision = Math.max(header.revision, this.#backend.store.compactedRevision);
    for (let atOnce = revision === header.revision; ; atOnce = false) {
      const { isThere, ahead } = await this.#look(place, revision);
      if (!isThere) return { kind: 'lost' };
      if (ahead === undefined) return atOnce ? { kind: 'atOnce' } : this.#confirmed(place, context);
      await this.#departure([ahead, place.key], revision, context);
      // Of the store that is there now: a snapshot puts another one in its place.
      revision = this.#backend.store.revision;
    }
  }

  /** Deletes the key of a place, if it is still the one put there. */
  leave({ key, revision }: Pick<Place, 'key' | 'revision'>): Promise<TxnResponse> {
    const value = DeleteRangeRequest.create({ key: fromLatin1(key) });
    return this.kv.txn(
      TxnRequest.create({
        compare: [isCreatedAt(key, revision)],
        success: [{ request: { case: 'requestDeleteRange', value } }],
      }),
    );
  }

  /** Gives the key of a place another value. `succeeded` is false if the place is lost. */
  announce(place: Omit<Place, 'name'>, value: Uint8Array): Promise<TxnResponse> {
    const { key, lease, revision } = place;
    return this.kv.txn(
      TxnRequest.create({
        compare: [isCreatedAt(key, revision)],
        success: [put(key, value, lease)],
      }),
    );
  }

  /** The owner's key as of all that was acknowledged before, and the revision it is read at. */
  async owner(name: string): Promise<{ kv: KeyValue | undefined; revision: number }> {
    await this.#backend.linearizableRead();
    const { revision } = this.#backend.store;
    let owner: KeyValue | undefined;
    await this.#scan(name, revision, (kv) => {
      if (owner === undefined || kv.createRevision < owner.createRevision) owner = kv;
    });
    return { kv: owner, revision };
  }

  changes(context: WaitContext): KeyChanges {
    return new KeyChanges(this.#backend, context);
  }

  /**
   * What this member knows of a place. It may be behind, but never behind the place itself, and
   * what is older than that and gone does not come back.
   */
  async #look(
    place: Place,
    revision: number,
  ): Promise<{ isThere: boolean; ahead: string | undefined }> {
    let isThere = false;
    let ahead: KeyValue | undefined;
    await this.#scan(place.name, revision, (kv) => {
      if (kv.createRevision < place.revision) {
        if (ahead === undefined || kv.createRevision > ahead.createRevision) ahead = kv;
      } else if (kv.createRevision === place.revision && latin1(kv.key) === place.key) {
        isThere = true;
      }
    });
    return { isThere, ahead: ahead === undefined ? undefined : latin1(ahead.key) };
  }

  /** Visits all keys below a name as of a revision. */
  async #scan(name: string, revision: number, visit: (kv: KeyValue) => void): Promise<void> {
    const pinned = this.#backend.store.pin(revision);
    try {
      const rest = { end: prefixEndOf(name), limit: keysTogether, bytesLimit: bytesTogether };
      for (let key = prefixOf(name); ;) {
        const { kvs, count } = pinned.range({ key, ...rest, countOnly: false });
        for (const kv of kvs) visit(kv);
        const last = kvs.at(-1);
        if (last === undefined || kvs.length === count) return;
        key = `${latin1(last.key)}\0`;
        await this.#turns.next();
      }
    } finally {
      pinned.release();
    }
  }

  /** Resolves when one of the keys may have been deleted after `revision`. */
  async #departure(keys: readonly string[], revision: number, context: CallContext): Promise<void> {
    const changes = this.changes(context);
    try {
      for (const key of keys) {
        changes.watch({ key, startRevision: revision + 1, noPut: true });
      }
      if ((await changes.next()) === undefined) throw unknownError('context canceled');
    } finally {
      changes.close();
    }
  }

  async #confirmed({ key, revision }: Place, context: CallContext): Promise<Turn> {
    const request = RangeRequest.create({ key: fromLatin1(key) });
    const { kvs, header } = await this.kv.range(request, context);
    const isThere = kvs[0]?.createRevision === revision;
    return isThere ? { kind: 'waited', header } : { kind: 'lost' };
  }
}

function isCreatedAt(key: string, value: number): Compare {
  return Compare.create({
    key: fromLatin1(key),
    result: CompareResult.equal,
    target: CompareTarget.create,
    targetUnion: { case: 'createRevision', value },
  });
}

function put(key: string, value: Uint8Array, lease: bigint): RequestOp {
  const request = PutRequest.create({ key: fromLatin1(key), value, lease });
  return { request: { case: 'requestPut', value: request } };
}

function rangeOf(key: string): RequestOp {
  const value = RangeRequest.create({ key: fromLatin1(key) });
  return { request: { case: 'requestRange', value } };
}
