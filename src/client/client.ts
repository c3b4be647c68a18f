/** The client: what a user holds. */
import type { KeyValue } from '../gen/kv.ts';
import {
  AlarmAction,
  AlarmRequest,
  type AlarmResponse,
  type AlarmType,
  CompactionRequest,
  type CompactionResponse,
  DefragmentRequest,
  type DefragmentResponse,
  type DeleteRangeResponse,
  type DowngradeAction,
  DowngradeRequest,
  type DowngradeResponse,
  HashKVRequest,
  type HashKVResponse,
  LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  type LeaseLeasesResponse,
  LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
  MemberAddRequest,
  type MemberAddResponse,
  MemberListRequest,
  type MemberListResponse,
  MemberPromoteRequest,
  type MemberPromoteResponse,
  MemberRemoveRequest,
  type MemberRemoveResponse,
  MemberUpdateRequest,
  type MemberUpdateResponse,
  MoveLeaderRequest,
  type MoveLeaderResponse,
  type PutResponse,
  type RangeResponse,
  type SnapshotResponse,
  StatusRequest,
  type StatusResponse,
  type TxnResponse,
} from '../gen/rpc.ts';
import { Cluster, KV, Lease, Maintenance } from '../gen/services.ts';
import { AuthCalls } from './auth-calls.ts';
import { Caller } from './caller.ts';
import type { ClientError } from './errors.ts';
import { BackgroundLease, type HeldLease, keepAlive, keepAliveOnce } from './lease.ts';
import { type CallOptions, type ClientOptions, settingsOf } from './options.ts';
import {
  type HeldLock,
  type Leadership,
  leaderOf,
  type ObservedLeader,
  observe,
  own,
} from './ownership.ts';
import { PlaceCalls, type PlaceOptions } from './place.ts';
import { type Bytes, bytesOf } from './range-end.ts';
import { rangeStream } from './range-stream.ts';
import {
  type DeleteParameters,
  type PutParameters,
  type RangeParameters,
  type TxnParameters,
  deleteRequest,
  putRequest,
  rangeRequest,
  txnRequest,
} from './requests.ts';
import { snapshotStream } from './snapshot-stream.ts';
import { StreamWatcher, type WatchOptions, type Watcher } from './watcher.ts';

export interface GetOptions extends CallOptions {
  /** The key as it was at this revision; 0 is now. */
  readonly revision?: number;
  /** Answers from the member's own state, which may be behind, but needs no quorum. */
  readonly serializable?: boolean;
}

/**
 * A client of Quorate, or of etcd 3.4 and newer.
 *
 * It connects when the first call is made. Calls reject with {@link ClientError}, whose code and
 * text are the server's, or with these: UNAVAILABLE if no endpoint can be connected,
 * DEADLINE_EXCEEDED (`context deadline exceeded`) when the call's time is over, CANCELLED if the
 * client is closed; and with the reason of `signal` if that is aborted. Whether a write that failed
 * with UNAVAILABLE, DEADLINE_EXCEEDED or CANCELLED has been applied is unknown.
 *
 * Reads (range, timeToLive, leases, memberList, status, hashKV, alarms) and renewals are tried
 * again while members are unavailable. All else (put, delete, txn, compact, grant, revoke, disarm,
 * changes of members) is never sent twice, unless the first try cannot have been seen.
 */
export class Client implements AsyncDisposable {
  readonly endpoints: readonly string[];
  /** Users and roles. To sign in as one of them is an option of the client. */
  readonly auth: AuthCalls;
  readonly #caller: Caller;
  readonly #requestTimeoutMs: number;
  readonly #options: ClientOptions;
  readonly #pinned = new Set<Client>();
  readonly #places: PlaceCalls;

  /**
   * @throws RangeError for an endpoint or number that is not understood, TypeError for options that
   * do not go together
   */
  constructor(options: ClientOptions = {}) {
    const settings = settingsOf(options);
    this.endpoints = settings.endpoints;
    this.#options = options;
    this.#requestTimeoutMs = settings.requestTimeoutMs;
    this.#caller = new Caller(settings);
    this.auth = new AuthCalls(this.#caller);
    this.#places = new PlaceCalls(this.#caller, (request, call) => this.watch(request, call));
  }

  /** Key values of a range, at one revision. */
  async range(request: RangeParameters, options?: CallOptions): Promise<RangeResponse> {
    return this.#caller.unary(KV.methods.range, rangeRequest(request), 'repeatable', options);
  }

  /**
   * A range in pieces, for more than should be in memory at once: key values of one revision, the
   * header, `count` and `more` with the last piece. From servers without RangeStream, and where
   * they refuse it for this range, it is one piece. `timeoutMs` limits the whole; without it, only
   * the first piece has the time of a request.
   */
  rangeStream(
    request: RangeParameters,
    options: CallOptions = {},
  ): AsyncGenerator<RangeResponse, undefined, undefined> {
    return rangeStream(this.#caller, rangeRequest(request), options);
  }

  /** One key, undefined if it does not exist. */
  async get(key: Bytes, options: GetOptions = {}): Promise<KeyValue | undefined> {
    const { revision = 0, serializable = false, ...call } = options;
    const { kvs } = await this.range({ key, revision, serializable }, call);
    return kvs[0];
  }

  put(key: Bytes, value: Bytes, options?: CallOptions): Promise<PutResponse>;
  put(request: PutParameters, options?: CallOptions): Promise<PutResponse>;
  async put(
    first: Bytes | PutParameters,
    second?: Bytes | CallOptions,
    third?: CallOptions,
  ): Promise<PutResponse> {
    const [request, options] = isBytes(first)
      ? [{ key: first, value: bytesOf(second as Bytes) }, third]
      : [first, second as CallOptions | undefined];
    return this.#caller.unary(KV.methods.put, putRequest(request), 'once', options);
  }

  async delete(
    request: Bytes | DeleteParameters,
    options?: CallOptions,
  ): Promise<DeleteRangeResponse> {
    const parameters = isBytes(request) ? { key: request } : request;
    return this.#caller.unary(KV.methods.deleteRange, deleteRequest(parameters), 'once', options);
  }

  /** If all of `compare` hold, does `success`, else `failure`: all at once. See `compare`, `op`. */
  async txn(request: TxnParameters, options?: CallOptions): Promise<TxnResponse> {
    return this.#caller.unary(KV.methods.txn, txnRequest(request), 'once', options);
  }

  /** Forgets what was before `revision`; a number stands for a request with that revision. */
  async compact(
    request: number | Partial<CompactionRequest>,
    options?: CallOptions,
  ): Promise<CompactionResponse> {
    const parameters = typeof request === 'number' ? { revision: request } : request;
    const message = CompactionRequest.create(parameters);
    return this.#caller.unary(KV.methods.compact, message, 'once', options);
  }

  /**
   * A lease that is kept alive from now on. Keys hang on it by `put({ key, value, lease: id })` and
   * are deleted with it.
   *
   * @param ttlSeconds how long it outlives this client; the server has a minimum
   */
  async lease(ttlSeconds: number, options?: CallOptions): Promise<HeldLease> {
    const askedMs = performance.now();
    const granted = await this.grant(ttlSeconds, options);
    return new BackgroundLease(this.#caller, granted, askedMs, (call) =>
      this.revoke(granted.id, call),
    );
  }

  /** Grants a lease; a number stands for a request with that TTL in seconds. See {@link lease}. */
  async grant(
    request: number | Partial<LeaseGrantRequest>,
    options?: CallOptions,
  ): Promise<LeaseGrantResponse> {
    const message = LeaseGrantRequest.create(
      typeof request === 'number' ? { ttl: request } : request,
    );
    return this.#caller.unary(Lease.methods.leaseGrant, message, 'once', options);
  }

  /** Ends a lease and deletes the keys that hang on it. */
  async revoke(id: bigint, options?: CallOptions): Promise<LeaseRevokeResponse> {
    const message = LeaseRevokeRequest.create({ id });
    return this.#caller.unary(Lease.methods.leaseRevoke, message, 'once', options);
  }

  /** What a lease has left, in seconds: a `ttl` of -1 if there is none. */
  async timeToLive(
    id: bigint,
    { keys = false, ...options }: CallOptions & { readonly keys?: boolean } = {},
  ): Promise<LeaseTimeToLiveResponse> {
    const message = LeaseTimeToLiveRequest.create({ id, keys });
    return this.#caller.unary(Lease.methods.leaseTimeToLive, message, 'repeatable', options);
  }

  /** The leases that the member asked knows. */
  async leases(options?: CallOptions): Promise<LeaseLeasesResponse> {
    const message = LeaseLeasesRequest.create();
    return this.#caller.unary(Lease.methods.leaseLeases, message, 'repeatable', options);
  }

  /** Gives a lease its whole time again. NOT_FOUND if there is none. */
  keepAliveOnce(id: bigint, options?: CallOptions): Promise<LeaseKeepAliveResponse> {
    return keepAliveOnce(this.#caller, id, options);
  }

  /**
   * Renews a lease three times in its time, as long as it is iterated; ends when there is no such
   * lease. `timeoutMs` is the time of each renewal.
   */
  keepAlive(
    id: bigint,
    options: CallOptions = {},
  ): AsyncGenerator<LeaseKeepAliveResponse, undefined, undefined> {
    return keepAlive(this.#caller, id, options);
  }

  /**
   * Watches from now on, or from `startRevision`. See {@link Watcher}.
   *
   * @param options `timeoutMs`: how long the watch may be without a member that serves it, which
   * is for ever without it; `hasLeader`: moves on from a member that has lost its leader, true
   * unless it is turned off
   */
  watch(request: WatchOptions, options: CallOptions = {}): Watcher {
    return new StreamWatcher(this.#caller, request, options, this.#requestTimeoutMs);
  }

  /**
   * Waits for the lock of a name, as long as it takes, and holds it until it is unlocked or its
   * lease is lost. It is the same lock as that of the Lock service and of `etcdctl lock`.
   */
  lock(name: Bytes, options: PlaceOptions = {}): Promise<HeldLock> {
    return this.#own(name, '', options);
  }

  /**
   * Waits until it leads the election of a name, as long as that takes; `value` is what observers
   * are told of it.
   */
  campaign(name: Bytes, value: Bytes, options: PlaceOptions = {}): Promise<Leadership> {
    return this.#own(name, value, options);
  }

  #own(name: Bytes, value: Bytes, options: PlaceOptions): Promise<HeldLock & Leadership> {
    const grant = (ttlSeconds: number, call: CallOptions): Promise<HeldLease> =>
      this.lease(ttlSeconds, call);
    return own(this.#places, grant, name, value, options);
  }

  /** Key and value of who leads the election of a name, undefined if nobody does. */
  async leader(name: Bytes, options?: CallOptions): Promise<KeyValue | undefined> {
    return (await leaderOf(this.#places, name, options)).kv;
  }

  /**
   * Tells who leads the election of a name, and every change of that or of the leader's value. Some
   * may be left out between two leaders, never the last.
   *
   * @param options `timeoutMs`: of each request, and how long a watch may be without a member that
   * serves it
   */
  observe(
    name: Bytes,
    options: CallOptions = {},
  ): AsyncGenerator<ObservedLeader, undefined, undefined> {
    return observe(this.#places, name, options);
  }

  async memberList(
    request: Partial<MemberListRequest> = { linearizable: true },
    options?: CallOptions,
  ): Promise<MemberListResponse> {
    const message = MemberListRequest.create(request);
    return this.#caller.unary(Cluster.methods.memberList, message, 'repeatable', options);
  }

  /** Adds a member that is then to be started; a learner has no vote until it is promoted. */
  async memberAdd(
    request: Partial<MemberAddRequest>,
    options?: CallOptions,
  ): Promise<MemberAddResponse> {
    const message = MemberAddRequest.create(request);
    return this.#caller.unary(Cluster.methods.memberAdd, message, 'once', options);
  }

  /** Removes a member for ever. */
  async memberRemove(id: bigint, options?: CallOptions): Promise<MemberRemoveResponse> {
    const message = MemberRemoveRequest.create({ id });
    return this.#caller.unary(Cluster.methods.memberRemove, message, 'once', options);
  }

  /** Tells the others under which URLs a member is reached by now. */
  async memberUpdate(
    request: Partial<MemberUpdateRequest>,
    options?: CallOptions,
  ): Promise<MemberUpdateResponse> {
    const message = MemberUpdateRequest.create(request);
    return this.#caller.unary(Cluster.methods.memberUpdate, message, 'once', options);
  }

  /** Gives a learner that has caught up a vote. */
  async memberPromote(id: bigint, options?: CallOptions): Promise<MemberPromoteResponse> {
    const message = MemberPromoteRequest.create({ id });
    return this.#caller.unary(Cluster.methods.memberPromote, message, 'once', options);
  }

  /** The state of the member at `endpoint`, which need not be one of the client's. */
  async status(endpoint: string, options?: CallOptions): Promise<StatusResponse> {
    const message = StatusRequest.create();
    return this.#caller.unaryAt(endpoint, Maintenance.methods.status, message, options);
  }

  /** The hash of all key values that the member at `endpoint` has, up to a revision. */
  async hashKV(
    endpoint: string,
    request: Partial<HashKVRequest> = {},
    options?: CallOptions,
  ): Promise<HashKVResponse> {
    const message = HashKVRequest.create(request);
    return this.#caller.unaryAt(endpoint, Maintenance.methods.hashKv, message, options);
  }

  /** The alarms that are raised. */
  async alarms(options?: CallOptions): Promise<AlarmResponse> {
    const message = AlarmRequest.create({ action: AlarmAction.get });
    return this.#caller.unary(Maintenance.methods.alarm, message, 'repeatable', options);
  }

  /** Clears one alarm. One that is not raised is left out of the answer. */
  async disarm(memberId: bigint, alarm: AlarmType, options?: CallOptions): Promise<AlarmResponse> {
    const message = AlarmRequest.create({ action: AlarmAction.deactivate, memberId, alarm });
    return this.#caller.unary(Maintenance.methods.alarm, message, 'once', options);
  }

  /** Has the member at `endpoint` give the space of deleted values back to its file system. */
  async defragment(endpoint: string, options?: CallOptions): Promise<DefragmentResponse> {
    const message = DefragmentRequest.create();
    return this.#caller.unaryAt(endpoint, Maintenance.methods.defragment, message, options);
  }

  /** Has the member at `endpoint`, which must be the leader, hand over to another one. */
  async moveLeader(
    endpoint: string,
    targetId: bigint,
    options?: CallOptions,
  ): Promise<MoveLeaderResponse> {
    const message = MoveLeaderRequest.create({ targetId });
    return this.#caller.unaryAt(endpoint, Maintenance.methods.moveLeader, message, options);
  }

  /** Checks, begins or cancels a downgrade of the cluster to a version such as `3.5`. */
  async downgrade(
    action: DowngradeAction,
    version: string,
    options?: CallOptions,
  ): Promise<DowngradeResponse> {
    const message = DowngradeRequest.create({ action, version });
    return this.#caller.unary(Maintenance.methods.downgrade, message, 'once', options);
  }

  /**
   * The state of one member in pieces: a database of etcd, and behind it, as the last piece, its
   * SHA-256. Without a `timeoutMs` it takes as long as it takes. See {@link at} for which member.
   */
  snapshot(options: CallOptions = {}): AsyncGenerator<SnapshotResponse, undefined, undefined> {
    return snapshotStream(this.#caller, options);
  }

  /** A client with the same options for one endpoint. It closes with this one at the latest. */
  at(endpoint: string): Client {
    if (this.#caller.closing.aborted) throw this.#caller.closing.reason as ClientError;
    const client = new Client({ ...this.#options, endpoints: [endpoint] });
    this.#pinned.add(client);
    client.#caller.closing.addEventListener('abort', () => this.#pinned.delete(client));
    return client;
  }

  /** Ends all calls and watches in progress, which reject with CANCELLED, and the connections. */
  close(): Promise<void> {
    for (const client of [...this.#pinned]) void client.close();
    this.#caller.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const isBytes = (value: unknown): value is Bytes =>
  typeof value === 'string' || value instanceof Uint8Array;
