/**
 * JSON as Go's encoding/json writes etcd's structs: 64-bit integers as plain numbers even above
 * 2^53, bytes in base64, empty fields left out.
 */
import { buffer } from '../../base/bytes.ts';
import type { Event, KeyValue } from '../../gen/kv.ts';
import type {
  AlarmResponse,
  AuthRoleGetResponse,
  AuthRoleListResponse,
  AuthStatusResponse,
  AuthUserGetResponse,
  AuthUserListResponse,
  DeleteRangeResponse,
  DowngradeResponse,
  HashKVResponse,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  Member,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  MoveLeaderResponse,
  PutResponse,
  RangeResponse,
  ResponseOp,
  StatusResponse,
  TxnResponse,
} from '../../gen/rpc.ts';
import { ResponseHeader } from '../../gen/rpc.ts';
import type { SnapshotStatus } from '../../snapshot/status.ts';
import {
  type Acknowledgement,
  BasePrinter,
  type DowngradeStep,
  type EndpointHash,
  type EndpointHealth,
  type EndpointStatus,
  type WatchView,
} from './printer.ts';

/** A value in Go's sense; `undefined` and empty ones are left out of objects by {@link fields}. */
type Json =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Json[]
  | { readonly [name: string]: Json };

type JsonFields = Readonly<Record<string, Json>>;

/** Go writes these as escapes, so that the text may stand in HTML and JavaScript. */
const unsafe = /[<>&\u2028\u2029]/g;

function encodeString(text: string): string {
  return JSON.stringify(text).replace(
    unsafe,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function encode(value: Json): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return encodeString(value);
  if (value instanceof Uint8Array) return `"${buffer(value).toString('base64')}"`;
  if (Array.isArray(value)) return `[${value.map((item: Json) => encode(item)).join(',')}]`;
  if (typeof value !== 'object') return value.toString();
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${entries.map(([name, field]) => `"${name}":${encode(field)}`).join(',')}}`;
}

/** Fields whose value is empty in Go's sense are not written. */
function omitEmpty(fields: JsonFields): JsonFields {
  const isEmpty = (value: Json): boolean =>
    value === undefined ||
    value === false ||
    value === 0 ||
    value === 0n ||
    value === '' ||
    ((Array.isArray(value) || value instanceof Uint8Array) && value.length === 0);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

function headerJson(header: ResponseHeader | undefined): Json {
  return header === undefined ? undefined : headerFields(header);
}

/** For answers that etcd's client embeds the header's fields in. */
function headerFields(header: ResponseHeader = ResponseHeader.create()): JsonFields {
  return omitEmpty({
    cluster_id: header.clusterId,
    member_id: header.memberId,
    revision: header.revision,
    raft_term: header.raftTerm,
  });
}

function keyValueJson(kv: KeyValue | undefined): Json {
  if (kv === undefined) return undefined;
  return omitEmpty({
    key: kv.key,
    create_revision: kv.createRevision,
    mod_revision: kv.modRevision,
    version: kv.version,
    value: kv.value,
    lease: kv.lease,
  });
}

function rangeJson({ header, kvs, more, count }: RangeResponse): Json {
  return omitEmpty({ header: headerJson(header), kvs: kvs.map(keyValueJson), more, count });
}

function putJson({ header, prevKv }: PutResponse): Json {
  return omitEmpty({ header: headerJson(header), prev_kv: keyValueJson(prevKv) });
}

function deleteRangeJson({ header, deleted, prevKvs }: DeleteRangeResponse): Json {
  return omitEmpty({ header: headerJson(header), deleted, prev_kvs: prevKvs.map(keyValueJson) });
}

function operationJson({ response }: ResponseOp): Json {
  switch (response?.case) {
    case 'responseRange':
      return { Response: { response_range: rangeJson(response.value) } };
    case 'responsePut':
      return { Response: { response_put: putJson(response.value) } };
    case 'responseDeleteRange':
      return { Response: { response_delete_range: deleteRangeJson(response.value) } };
    case 'responseTxn':
      return { Response: { response_txn: txnJson(response.value) } };
    case undefined:
      return { Response: null };
  }
}

function txnJson({ header, succeeded, responses }: TxnResponse): Json {
  return omitEmpty({
    header: headerJson(header),
    succeeded,
    responses: responses.map(operationJson),
  });
}

function eventJson({ type, kv, prevKv }: Event): Json {
  return omitEmpty({ type, kv: keyValueJson(kv), prev_kv: keyValueJson(prevKv) });
}

function memberJson(member: Member): Json {
  return omitEmpty({
    ID: member.id,
    name: member.name,
    peerURLs: member.peerUrls,
    clientURLs: member.clientUrls,
    isLearner: member.isLearner,
  });
}

/** etcdctl writes this one by hand, so that ids are hex strings and no list is left out. */
function hexMemberListJson({ header, members }: MemberListResponse): Json {
  const orNull = (urls: readonly string[]): Json => (urls.length === 0 ? null : urls);
  return {
    header: {
      cluster_id: (header?.clusterId ?? 0n).toString(16),
      member_id: (header?.memberId ?? 0n).toString(16),
      raft_term: header?.raftTerm ?? 0,
    },
    members:
      members.length === 0
        ? undefined
        : members.map((member) => ({
            ID: member.id.toString(16),
            name: member.name,
            peerURLs: orNull(member.peerUrls),
            clientURLs: orNull(member.clientUrls),
            // Told since 3.7 only, but who asks for members wants to know.
            isLearner: member.isLearner ? true : undefined,
          })),
  };
}

function statusJson(status: StatusResponse): Json {
  const { downgradeInfo } = status;
  return omitEmpty({
    header: headerJson(status.header),
    version: status.version,
    dbSize: status.dbSize,
    leader: status.leader,
    raftIndex: status.raftIndex,
    raftTerm: status.raftTerm,
    raftAppliedIndex: status.raftAppliedIndex,
    errors: status.errors,
    dbSizeInUse: status.dbSizeInUse,
    isLearner: status.isLearner,
    storageVersion: status.storageVersion,
    dbSizeQuota: status.dbSizeQuota,
    downgradeInfo:
      downgradeInfo &&
      omitEmpty({ enabled: downgradeInfo.enabled, targetVersion: downgradeInfo.targetVersion }),
  });
}

function hashJson(hash: HashKVResponse): Json {
  return omitEmpty({
    header: headerJson(hash.header),
    hash: hash.hash,
    compact_revision: hash.compactRevision,
    hash_revision: hash.hashRevision,
  });
}

/** A list of Go that nothing was added to is null. */
const listJson = (items: readonly Json[]): Json => (items.length === 0 ? null : items);

export class JsonPrinter extends BasePrinter {
  override readonly format = 'json';

  override range(response: RangeResponse): void {
    this.#line(rangeJson(response));
  }

  override put(response: PutResponse): void {
    this.#line(putJson(response));
  }

  override deleteRange(response: DeleteRangeResponse): void {
    this.#line(deleteRangeJson(response));
  }

  override txn(response: TxnResponse): void {
    this.#line(txnJson(response));
  }

  override watch(response: WatchView): void {
    this.#line({
      Header: headerJson(response.header) ?? {},
      Events: response.events.map(eventJson),
      CompactRevision: response.compactRevision,
      Canceled: response.canceled,
      Created: response.created,
    });
  }

  override grant({ header, id, ttl, error }: LeaseGrantResponse): void {
    this.#line({ ...headerFields(header), ID: id, TTL: ttl, Error: error });
  }

  override revoke(_id: bigint, response: LeaseRevokeResponse): void {
    this.acknowledged('', response);
  }

  override keepAlive({ header, id, ttl }: LeaseKeepAliveResponse): void {
    this.#line({ ...headerFields(header), ID: id, TTL: ttl });
  }

  override timeToLive({ header, id, ttl, grantedTtl, keys }: LeaseTimeToLiveResponse): void {
    const fields = { id, ttl, 'granted-ttl': grantedTtl, keys: listJson(keys) };
    this.#line({ ...headerFields(header), ...fields });
  }

  override leases({ header, leases }: LeaseLeasesResponse): void {
    this.#line({ ...headerFields(header), leases: leases.map(({ id }) => ({ id })) });
  }

  override memberAdd({ header, member, members }: MemberAddResponse): void {
    const added = member && memberJson(member);
    const all = members.map(memberJson);
    this.#line(omitEmpty({ header: headerJson(header), member: added, members: all }));
  }

  override memberRemove(_id: bigint, response: MemberRemoveResponse): void {
    this.#members(response);
  }

  override memberUpdate(_id: bigint, response: MemberUpdateResponse): void {
    this.#members(response);
  }

  override memberPromote(_id: bigint, response: MemberPromoteResponse): void {
    this.#members(response);
  }

  override memberList(response: MemberListResponse): void {
    if (this.hex) this.#line(hexMemberListJson(response));
    else this.#members(response);
  }

  override endpointHealth(list: readonly EndpointHealth[]): void {
    const items = list.map(({ endpoint, isHealthy, took, error }) => ({
      endpoint,
      health: isHealthy,
      took,
      error: error === '' ? undefined : error,
    }));
    this.#line(listJson(items));
  }

  override endpointStatus(list: readonly EndpointStatus[]): void {
    this.#line(
      listJson(
        list.map(({ endpoint, status }) => ({ Endpoint: endpoint, Status: statusJson(status) })),
      ),
    );
  }

  override endpointHash(list: readonly EndpointHash[]): void {
    this.#line(
      listJson(list.map(({ endpoint, hash }) => ({ Endpoint: endpoint, HashKV: hashJson(hash) }))),
    );
  }

  override snapshotStatus(status: SnapshotStatus): void {
    const { hash, revision, totalKeys: totalKey, sizeBytes: totalSize, version } = status;
    this.#line({ hash, revision, totalKey, totalSize, version });
  }

  override alarms({ header, alarms }: AlarmResponse): void {
    const items = alarms.map(({ memberId: memberID, alarm }) => omitEmpty({ memberID, alarm }));
    this.#line(omitEmpty({ header: headerJson(header), alarms: items }));
  }

  override moveLeader(_leader: bigint, _target: bigint, response: MoveLeaderResponse): void {
    this.acknowledged('', response);
  }

  override downgrade(_what: DowngradeStep, { header, version }: DowngradeResponse): void {
    this.#line(omitEmpty({ header: headerJson(header), version }));
  }

  override acknowledged(_told: string, { header }: Acknowledgement): void {
    this.#line(omitEmpty({ header: headerJson(header) }));
  }

  override authStatus({ header, enabled, authRevision }: AuthStatusResponse): void {
    this.#line(omitEmpty({ header: headerJson(header), enabled, authRevision }));
  }

  override user(_name: string, { header, roles }: AuthUserGetResponse): void {
    this.#line(omitEmpty({ header: headerJson(header), roles }));
  }

  override users({ header, users }: AuthUserListResponse): void {
    this.#line(omitEmpty({ header: headerJson(header), users }));
  }

  override role(_name: string, { header, perm }: AuthRoleGetResponse): void {
    const permissions = perm.map(({ permType, key, rangeEnd }) =>
      omitEmpty({ permType, key, range_end: rangeEnd }),
    );
    this.#line(omitEmpty({ header: headerJson(header), perm: permissions }));
  }

  override roles({ header, roles }: AuthRoleListResponse): void {
    this.#line(omitEmpty({ header: headerJson(header), roles }));
  }

  #members({ header, members }: MemberListResponse): void {
    this.#line(omitEmpty({ header: headerJson(header), members: members.map(memberJson) }));
  }

  #line(value: Json): void {
    this.terminal.line(encode(value));
  }
}
