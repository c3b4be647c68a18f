/** Owning a name: as a lock, or as the leader of an election. */
import { concatBytes } from '../base/bytes.ts';
import type { KeyValue } from '../gen/kv.ts';
import { EventType } from '../gen/kv.ts';
import { type Compare, ResponseHeader, SortOrder, SortTarget } from '../gen/rpc.ts';
import { CompactedError } from './errors.ts';
import type { HeldLease } from './lease.ts';
import type { CallOptions } from './options.ts';
import { Place, type PlaceCalls, placeLost, type PlaceOptions } from './place.ts';
import { type Bytes, bytesOf, prefixRange } from './range-end.ts';

/** TTL of leases of places, in seconds, as in etcd's clients. */
const defaultTtlSeconds = 60;

interface Ownership extends AsyncDisposable {
  /** Where it stands; below the name. */
  readonly key: Uint8Array;
  /**
   * The key's create revision. Of two owners the later one has the larger token, and no token is
   * given twice: what the owner changes can be fenced with it.
   */
  readonly token: number;
  /** For txns: holds until the key is deleted, with the lease or by whoever deletes it. */
  readonly condition: Compare;
  readonly leaseId: bigint;
  /** Of the answer that showed that it is owned. */
  readonly header: ResponseHeader;
  /**
   * Aborted when the lease is gone, or may be. Work that only one may do must end then; what has
   * begun may still arrive late, against which {@link condition} helps.
   */
  readonly lost: AbortSignal;
}

/** A lock that is held. */
export interface HeldLock extends Ownership {
  /**
   * Lets it go, and its lease, if that is its own. If this fails, it still ends when such a lease
   * has run out, as that is renewed no more.
   */
  unlock(options?: CallOptions): Promise<void>;
}

/** A leadership that is held. */
export interface Leadership extends Ownership {
  /** Tells those who observe the election a new value. NOT_FOUND if the leadership is over. */
  proclaim(value: Bytes, options?: CallOptions): Promise<ResponseHeader>;
  /** Ends it, and its lease, if that is its own. @see HeldLock.unlock on failures */
  resign(options?: CallOptions): Promise<void>;
}

/** What those who observe an election are told: the leader's key, with its value. */
export interface ObservedLeader {
  readonly header: ResponseHeader;
  readonly kv: KeyValue;
}

type Grant = (ttlSeconds: number, options: CallOptions) => Promise<HeldLease>;

class HeldPlace implements HeldLock, Leadership {
  readonly header: ResponseHeader;
  readonly #place: Place;
  readonly #ownsLease: boolean;

  constructor(place: Place, header: ResponseHeader, ownsLease: boolean) {
    this.#place = place;
    this.header = header;
    this.#ownsLease = ownsLease;
  }

  get key(): Uint8Array {
    return this.#place.key;
  }

  get token(): number {
    return this.#place.revision;
  }

  get condition(): Compare {
    return this.#place.condition;
  }

  get leaseId(): bigint {
    return this.#place.lease.id;
  }

  get lost(): AbortSignal {
    return this.#place.lease.lost;
  }

  proclaim(value: Bytes, options?: CallOptions): Promise<ResponseHeader> {
    return this.#place.announce(bytesOf(value), options);
  }

  async unlock(options?: CallOptions): Promise<void> {
    const { lease } = this.#place;
    if (!this.#ownsLease) return this.#place.leave(options);
    // No more renewals, whatever fails: at last the place ends with its lease.
    lease.release();
    let failure: unknown;
    await this.#place.leave(options).catch((error: unknown) => (failure = error));
    const isRevoked = await endLease(lease, options);
    if (failure !== undefined && !isRevoked) throw failure as Error;
  }

  resign(options?: CallOptions): Promise<void> {
    return this.unlock(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unlock();
  }
}

/**
 * Waits until a name is owned; if that comes to nothing, no key is left behind.
 *
 * @throws ClientError NOT_FOUND `mutex: session is expired` if the lease is lost before
 */
export async function own(
  calls: PlaceCalls,
  grant: Grant,
  name: Bytes,
  value: Bytes,
  { signal, ttlSeconds = defaultTtlSeconds, lease: given }: PlaceOptions,
): Promise<HeldLock & Leadership> {
  const call = signal === undefined ? {} : { signal };
  const lease = given ?? (await grant(ttlSeconds, call));
  const giveUp = AbortSignal.any([lease.lost, ...(signal === undefined ? [] : [signal])]);
  let place: Place | undefined;
  try {
    // Seen through in any case: what was put must be known to be taken back.
    place = await Place.take(calls, name, bytesOf(value), lease);
    giveUp.throwIfAborted();
    const header = await place.turn(giveUp);
    return new HeldPlace(place, header, given === undefined);
  } catch (error) {
    // If this fails too, the key ends with the lease.
    if (place?.isNew === true) await place.leave().catch(() => undefined);
    if (given === undefined) await endLease(lease);
    throw lease.lost.aborted ? placeLost(lease.lost.reason) : error;
  }
}

/** Returns whether the lease was revoked; one that cannot be runs out. */
function endLease(lease: HeldLease, options?: CallOptions): Promise<boolean> {
  return lease.revoke(options).then(
    () => true,
    () => false,
  );
}

/** The leader of an election, undefined if there is none. */
export async function leaderOf(
  calls: PlaceCalls,
  name: Bytes,
  options?: CallOptions,
): Promise<{ readonly header: ResponseHeader; readonly kv: KeyValue | undefined }> {
  const { header = ResponseHeader.create(), kvs } = await calls.range(
    {
      ...candidates(name),
      sortTarget: SortTarget.create,
      sortOrder: SortOrder.ascend,
      limit: 1,
    },
    options,
  );
  return { header, kv: kvs[0] };
}

/** @throws ClientError, or the reason of the signal */
export async function* observe(
  calls: PlaceCalls,
  name: Bytes,
  options: CallOptions,
): AsyncGenerator<ObservedLeader, undefined, undefined> {
  for (;;) {
    const { header, kv } = await leaderOf(calls, name, options);
    const leader =
      kv === undefined
        ? await firstLeader(calls, name, header.revision + 1, options)
        : { header, kv };
    if (leader === undefined) continue;
    yield leader;
    yield* proclamations(calls, leader, options);
    options.signal?.throwIfAborted();
  }
}

/** Undefined if it is not known what came first. */
async function firstLeader(
  calls: PlaceCalls,
  name: Bytes,
  startRevision: number,
  options: CallOptions,
): Promise<ObservedLeader | undefined> {
  try {
    for await (const { header, events } of calls.watch(
      { ...candidates(name), startRevision },
      options,
    )) {
      const kv = events.find(({ type }) => type === EventType.put)?.kv;
      // Other events of the answer may be younger than this one.
      if (kv !== undefined) return { header: { ...header, revision: kv.modRevision }, kv };
    }
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
  }
  return undefined;
}

/** What a leader proclaims until its key is deleted. */
async function* proclamations(
  calls: PlaceCalls,
  leader: ObservedLeader,
  options: CallOptions,
): AsyncGenerator<ObservedLeader, undefined, undefined> {
  const request = { key: leader.kv.key, startRevision: leader.header.revision + 1 };
  try {
    for await (const { header, events } of calls.watch(request, options)) {
      for (const { type, kv } of events) {
        if (type === EventType.delete || kv === undefined) return undefined;
        yield { header, kv };
      }
    }
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
  }
  return undefined;
}

function candidates(name: Bytes): { key: Uint8Array; rangeEnd: Uint8Array } {
  return prefixRange(concatBytes([bytesOf(name), bytesOf('/')]));
}
