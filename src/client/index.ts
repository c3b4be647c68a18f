/** The client library's public face. */
export type { AuthCalls, PermissionKeys } from './auth-calls.ts';
export { Client, type GetOptions } from './client.ts';
export { ClientError, CompactedError } from './errors.ts';
export type { HeldLease } from './lease.ts';
export type { HeldLock, Leadership, ObservedLeader } from './ownership.ts';
export type { PlaceOptions } from './place.ts';
export type { CallOptions, ClientOptions, TlsOptions } from './options.ts';
export { type Bytes, fromKeyEnd, prefixEnd, prefixRange } from './range-end.ts';
export {
  type Comparison,
  type DeleteParameters,
  type PutParameters,
  type RangeParameters,
  type TxnParameters,
  type WatchParameters,
  compare,
  op,
} from './requests.ts';
export type { WatchBatch, WatchOptions, Watcher } from './watcher.ts';
export { StatusCode } from '../base/errors.ts';
export { Permission, PermissionType } from '../gen/auth.ts';
export { Event, EventType, KeyValue } from '../gen/kv.ts';
export {
  AlarmMember,
  AlarmResponse,
  AlarmType,
  CompactionRequest,
  CompactionResponse,
  Compare,
  CompareResult,
  CompareTarget,
  DefragmentResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  DowngradeAction,
  DowngradeResponse,
  FilterType,
  HashKVRequest,
  HashKVResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  Member,
  MemberListRequest,
  MemberListResponse,
  MoveLeaderResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  SnapshotResponse,
  SortOrder,
  SortTarget,
  StatusRequest,
  StatusResponse,
  TxnRequest,
  TxnResponse,
  WatchCreateRequest,
  WatchResponse,
} from '../gen/rpc.ts';
