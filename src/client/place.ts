/**
 * Places of those who want to own a name, as etcd's clients take them (clientv3/concurrency): keys
 * `name/<lease in hex>`, of which the one that was created first owns the name.
 */
import { concatBytes, compareBytes, utf8 } from '../base/bytes.ts';
import { StatusCode } from '../base/errors.ts';
import type { KeyValue } from '../gen/kv.ts';
import {
  type Compare,
  FilterType,
  type RangeResponse,
  type RequestOp,
  ResponseHeader,
  SortOrder,
  SortTarget,
  type TxnResponse,
} from '../gen/rpc.ts';
import { KV } from '../gen/services.ts';
import type { Caller } from './caller.ts';
import { ClientError, CompactedError } from './errors.ts';
import type { HeldLease } from './lease.ts';
import type { CallOptions } from './options.ts';
import { type Bytes, bytesOf, prefixRange } from './range-end.ts';
import {
  compare,
  op,
  type RangeParameters,
  rangeRequest,
  type TxnParameters,
  txnRequest,
} from './requests.ts';
import type { WatchOptions, Watcher } from './watcher.ts';

/** The calls that places are made of. */
export class PlaceCalls {
  readonly #caller: Caller;
  readonly watch: (request: WatchOptions, options?: CallOptions) => Watcher;

  constructor(caller: Caller, watch: (request: WatchOptions, options?: CallOptions) => Watcher) {
    this.#caller = caller;
    this.watch = watch;
  }

  range(request: RangeParameters, options?: CallOptions): Promise<RangeResponse> {
    return this.#caller.unary(KV.methods.range, rangeRequest(request), 'repeatable', options);
  }

  /** For txns that do nothing the second time, so that one whose answer is lost is sent again. */
  txn(request: TxnParameters, options?: CallOptions): Promise<TxnResponse> {
    return this.#caller.unary(KV.methods.txn, txnRequest(request), 'repeatable', options);
  }

  /** For others: one whose answer is lost fails. */
  txnOnce(request: TxnParameters, options?: CallOptions): Promise<TxnResponse> {
    return this.#caller.unary(KV.methods.txn, txnRequest(request), 'once', options);
  }
}

/** How a place is asked for. */
export interface PlaceOptions {
  /** Gives up: what was asked for rejects with the signal's reason, and leaves no key behind. */
  readonly signal?: AbortSignal;
  /**
   * How many seconds the place outlives this client, 60 unless it is said; the server has a
   * minimum. Not together with `lease`.
   */
  readonly ttlSeconds?: number;
  /** A lease for it to hang on, in place of one of its own: several may share one. */
  readonly lease?: HeldLease;
}

export class Place {
  readonly key: Uint8Array;
  /** The create revision of the key. */
  readonly revision: number;
  readonly lease: HeldLease;
  /** Of the answer by which the place was taken. */
  readonly header: ResponseHeader;
  /** Whether the lease had no place below the name before. */
  readonly isNew: boolean;
  /** Whether no other place below the name was older. */
  readonly isFirst: boolean;
  readonly #prefix: Uint8Array;
  readonly #calls: PlaceCalls;

  private constructor(
    calls: PlaceCalls,
    prefix: Uint8Array,
    { key, revision, lease, header, isNew, isFirst }: PlaceFields,
  ) {
    this.#calls = calls;
    this.#prefix = prefix;
    this.key = key;
    this.revision = revision;
    this.lease = lease;
    this.header = header;
    this.isNew = isNew;
    this.isFirst = isFirst;
  }

  /** Puts a key below a name, or finds the one that the lease has there; its value is set then. */
  static async take(
    calls: PlaceCalls,
    name: Bytes,
    value: Uint8Array,
    lease: HeldLease,
  ): Promise<Place> {
    const prefix = concatBytes([bytesOf(name), utf8('/')]);
    const key = concatBytes([prefix, utf8(lease.id.toString(16))]);
    const owner = op.range({
      ...prefixRange(prefix),
      sortTarget: SortTarget.create,
      sortOrder: SortOrder.ascend,
      limit: 1,
      keysOnly: true,
    });
    const response = await calls.txn({
      compare: [compare.createRevision(key, '=', 0)],
      success: [op.put({ key, value, lease: lease.id }), owner],
      failure: [op.range({ key }), owner],
    });
    const { succeeded, header = ResponseHeader.create() } = response;
    const previous = succeeded ? undefined : firstOf(response, 0);
    const revision = previous?.createRevision ?? header.revision;
    const isFirst = firstOf(response, 1)?.createRevision === revision;
    const fields = { key, revision, lease, header, isNew: succeeded, isFirst };
    const place = new Place(calls, prefix, fields);
    if (previous !== undefined && compareBytes(previous.value, value) !== 0) {
      await place.announce(value);
    }
    return place;
  }

  /** Holds as long as the key is the one that was put. */
  get condition(): Compare {
    return compare.createRevision(this.key, '=', this.revision);
  }

  /**
   * Waits until every older key is gone, always watching the youngest of them. Returns the header
   * of an answer that shows the own key as the oldest.
   *
   * @throws ClientError NOT_FOUND if the own key is gone, or the reason of `signal`
   */
  async turn(signal: AbortSignal): Promise<ResponseHeader> {
    if (this.isFirst) return this.header;
    for (;;) {
      const { kvs, header } = await this.#calls.range(
        {
          ...prefixRange(this.#prefix),
          sortTarget: SortTarget.create,
          sortOrder: SortOrder.descend,
          limit: 1,
          maxCreateRevision: this.revision - 1,
          keysOnly: true,
        },
        { signal },
      );
      const [ahead] = kvs;
      if (ahead === undefined) break;
      await this.#departure(ahead.key, (header?.revision ?? 0) + 1, signal);
    }
    const { kvs, header } = await this.#calls.range({ key: this.key }, { signal });
    if (kvs[0]?.createRevision !== this.revision) throw placeLost();
    return header ?? ResponseHeader.create();
  }

  /** Resolves when a key may have been deleted at `startRevision` or later. */
  async #departure(key: Uint8Array, startRevision: number, signal: AbortSignal): Promise<void> {
    const request = { key, startRevision, filters: [FilterType.noput] };
    try {
      for await (const { events } of this.#calls.watch(request, { signal })) {
        if (events.length > 0) return;
      }
    } catch (error) {
      // What happened to it is forgotten, but not whether it is there.
      if (!(error instanceof CompactedError)) throw error;
    }
    signal.throwIfAborted();
  }

  /** Sets the value. @throws ClientError NOT_FOUND if the key is gone */
  async announce(value: Uint8Array, options?: CallOptions): Promise<ResponseHeader> {
    const put: RequestOp = op.put({ key: this.key, value, lease: this.lease.id });
    const request = { compare: [this.condition], success: [put] };
    const { succeeded, header } = await this.#calls.txnOnce(request, options);
    if (!succeeded) throw placeLost();
    return header ?? ResponseHeader.create();
  }

  /** Deletes the key, if it is still the one that was put. */
  async leave(options?: CallOptions): Promise<void> {
    const success = [op.delete({ key: this.key })];
    await this.#calls.txn({ compare: [this.condition], success }, options);
  }
}

interface PlaceFields {
  readonly key: Uint8Array;
  readonly revision: number;
  readonly lease: HeldLease;
  readonly header: ResponseHeader;
  readonly isNew: boolean;
  readonly isFirst: boolean;
}

/** In etcd's words; `cause` is what became of the lease, if that is known. */
export function placeLost(cause?: unknown): ClientError {
  const options = cause === undefined ? {} : { cause };
  return new ClientError(StatusCode.notFound, 'mutex: session is expired', options);
}

function firstOf({ responses }: TxnResponse, i: number): KeyValue | undefined {
  const response = responses[i]?.response;
  return response?.case === 'responseRange' ? response.value.kvs[0] : undefined;
}
