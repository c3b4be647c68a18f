/** One `"Name" : value` a line: for scripts that read line by line. */
import { paddedHex, quote } from '../go-text.ts';
import { PermissionType } from '../../gen/auth.ts';
import { EventType, type KeyValue } from '../../gen/kv.ts';
import type {
  AlarmResponse,
  AuthRoleGetResponse,
  AuthRoleListResponse,
  DeleteRangeResponse,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  MemberListResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  TxnResponse,
} from '../../gen/rpc.ts';
import type { SnapshotStatus } from '../../snapshot/status.ts';
import { alarmName } from './alarm-name.ts';
import {
  type Acknowledgement,
  BasePrinter,
  type EndpointHash,
  type EndpointHealth,
  type EndpointStatus,
  type WatchView,
} from './printer.ts';

const permissionNames = Object.fromEntries(
  Object.entries(PermissionType).map(([name, type]) => [type, name.toUpperCase()]),
);

export class FieldsPrinter extends BasePrinter {
  override readonly format = 'fields';

  override range(response: RangeResponse): void {
    this.#header(response.header);
    for (const kv of response.kvs) this.#keyValue('', kv);
    this.#field('More', response.more);
    this.#field('Count', response.count);
  }

  override put(response: PutResponse): void {
    this.#header(response.header);
    if (response.prevKv !== undefined) this.#keyValue('Prev', response.prevKv);
  }

  override deleteRange(response: DeleteRangeResponse): void {
    this.#header(response.header);
    this.#field('Deleted', response.deleted);
    for (const kv of response.prevKvs) this.#keyValue('Prev', kv);
  }

  override txn(txn: TxnResponse): void {
    this.#header(txn.header);
    this.#field('Succeeded', txn.succeeded);
    for (const response of txn.responses) {
      if (!this.operation(response)) this.#field('Unknown', quote(''));
    }
  }

  override watch(response: WatchView): void {
    this.#header(response.header);
    for (const { type, kv, prevKv } of response.events) {
      this.#field('Type', type === EventType.delete ? 'DELETE' : 'PUT');
      if (prevKv !== undefined) this.#keyValue('Prev', prevKv);
      if (kv !== undefined) this.#keyValue('', kv);
    }
  }

  override grant({ header, id, ttl }: LeaseGrantResponse): void {
    this.#header(header);
    this.#lease(id);
    this.#field('TTL', ttl);
  }

  override revoke(_id: bigint, { header }: LeaseRevokeResponse): void {
    this.#header(header);
  }

  override keepAlive({ header, id, ttl }: LeaseKeepAliveResponse): void {
    this.#header(header);
    this.#lease(id);
    this.#field('TTL', ttl);
  }

  override timeToLive({ header, id, ttl, grantedTtl, keys }: LeaseTimeToLiveResponse): void {
    this.#header(header);
    this.#lease(id);
    this.#field('TTL', ttl);
    this.#field('GrantedTTL', grantedTtl);
    for (const key of keys) this.#field('Key', quote(key));
  }

  override leases({ header, leases }: LeaseLeasesResponse): void {
    this.#header(header);
    for (const { id } of leases) this.#lease(id);
  }

  override memberList(response: MemberListResponse): void {
    this.#header(response.header);
    for (const member of response.members) {
      this.#field('ID', this.#id(member.id));
      this.#field('Name', quote(member.name));
      for (const url of member.peerUrls) this.#field('PeerURL', quote(url));
      for (const url of member.clientUrls) this.#field('ClientURL', quote(url));
      this.#field('IsLearner', member.isLearner);
      this.terminal.line();
    }
  }

  override endpointHealth(list: readonly EndpointHealth[]): void {
    for (const { endpoint, isHealthy, took, error } of list) {
      this.#field('Endpoint', quote(endpoint));
      this.#field('Health', isHealthy);
      this.#field('Took', took);
      this.#field('Error', error);
      this.terminal.line();
    }
  }

  override endpointStatus(list: readonly EndpointStatus[]): void {
    for (const { endpoint, status } of list) {
      this.#header(status.header);
      this.#field('Version', quote(status.version));
      this.#field('StorageVersion', quote(status.storageVersion));
      this.#field('DBSize', status.dbSize);
      this.#field('DBSizeInUse', status.dbSizeInUse);
      this.#field('DBSizeQuota', status.dbSizeQuota);
      this.#field('Leader', status.leader);
      this.#field('IsLearner', status.isLearner);
      this.#field('RaftIndex', status.raftIndex);
      this.#field('RaftTerm', status.raftTerm);
      this.#field('RaftAppliedIndex', status.raftAppliedIndex);
      this.#field('Errors', `[${status.errors.join(' ')}]`);
      this.#field('Endpoint', quote(endpoint));
      this.#field('DowngradeTargetVersion', quote(status.downgradeInfo?.targetVersion ?? ''));
      this.#field('DowngradeEnabled', status.downgradeInfo?.enabled ?? false);
      this.terminal.line();
    }
  }

  override endpointHash(list: readonly EndpointHash[]): void {
    for (const { endpoint, hash } of list) {
      this.#header(hash.header);
      this.#field('Endpoint', quote(endpoint));
      this.#field('Hash', hash.hash);
      this.#field('HashRevision', hash.hashRevision);
      this.terminal.line();
    }
  }

  override snapshotStatus(status: SnapshotStatus): void {
    this.#field('Hash', status.hash);
    this.#field('Revision', status.revision);
    this.#field('Keys', status.totalKeys);
    this.#field('Size', status.sizeBytes);
    this.#field('Version', status.version);
  }

  override alarms({ header, alarms }: AlarmResponse): void {
    this.#header(header);
    for (const { memberId, alarm } of alarms) {
      this.#field('MemberID', this.#id(memberId));
      this.#field('AlarmType', alarmName(alarm));
      this.terminal.line();
    }
  }

  override acknowledged(_told: string, { header }: Acknowledgement): void {
    this.#header(header);
  }

  override role(_name: string, { header, perm }: AuthRoleGetResponse): void {
    this.#header(header);
    for (const { permType, key, rangeEnd } of perm) {
      // The second space is etcdctl's.
      this.#field('PermType', ` ${permissionNames[permType] ?? permType}`);
      this.#field('Key', quote(key));
      this.#field('RangeEnd', quote(rangeEnd));
    }
  }

  override roles({ header, roles }: AuthRoleListResponse): void {
    this.#header(header);
    this.terminal.line(['"Roles" :', ...roles.map((name) => quote(name))].join(' '));
  }

  #field(name: string, value: string | number | bigint | boolean): void {
    this.terminal.line(`"${name}" : ${value.toString()}`);
  }

  #lease(id: bigint): void {
    this.#field('ID', this.hex ? paddedHex(id) : id);
  }

  #id(id: bigint): string {
    return this.hex ? id.toString(16) : id.toString();
  }

  #header(header: ResponseHeader | undefined): void {
    this.#field('ClusterID', this.#id(header?.clusterId ?? 0n));
    this.#field('MemberID', this.#id(header?.memberId ?? 0n));
    // Answers about the cluster have none.
    if (header !== undefined && header.revision > 0) this.#field('Revision', header.revision);
    this.#field('RaftTerm', header?.raftTerm ?? 0);
  }

  #keyValue(prefix: string, kv: KeyValue): void {
    this.#field(`${prefix}Key`, quote(kv.key));
    this.#field(`${prefix}CreateRevision`, kv.createRevision);
    this.#field(`${prefix}ModRevision`, kv.modRevision);
    this.#field(`${prefix}Version`, kv.version);
    this.#field(`${prefix}Value`, quote(kv.value));
    this.#field(`${prefix}Lease`, this.hex ? paddedHex(kv.lease) : kv.lease);
  }
}
