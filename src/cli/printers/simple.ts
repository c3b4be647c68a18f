/** Keys and values as they are, each on a line of its own: for eyes and shells. */
import { compareBytes, utf8 } from '../../base/bytes.ts';
import { textOf } from '../byte-text.ts';
import { hexText, paddedHex } from '../go-text.ts';
import { prefixEnd } from '../../client/range-end.ts';
import { type Permission, PermissionType } from '../../gen/auth.ts';
import { EventType, type KeyValue } from '../../gen/kv.ts';
import type {
  AlarmResponse,
  AuthRoleGetResponse,
  AuthRoleListResponse,
  AuthStatusResponse,
  AuthUserGetResponse,
  AuthUserListResponse,
  DeleteRangeResponse,
  DowngradeResponse,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  TxnResponse,
} from '../../gen/rpc.ts';
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
import { alarmName } from './alarm-name.ts';
import { type Rows, hashRows, memberRows, snapshotRows, statusRows } from './rows.ts';

/** What a permission is about. The end of the range of all keys is a zero byte. */
function keysText({ key, rangeEnd }: Permission): string {
  const from = textOf(key);
  if (rangeEnd.length === 0) return from;
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0;
  const range = isOpen ? `[${from}, <open ended>` : `[${from}, ${textOf(rangeEnd)})`;
  const isPrefix = key.length > 0 && compareBytes(prefixEnd(key), rangeEnd) === 0;
  return isPrefix ? `${range} (prefix ${from})` : range;
}

const newline = Uint8Array.of(10);

export class SimplePrinter extends BasePrinter {
  override readonly format = 'simple';

  override range(response: RangeResponse): void {
    for (const kv of response.kvs) this.#keyValue(kv);
  }

  override put(response: PutResponse): void {
    this.terminal.line('OK');
    if (response.prevKv !== undefined) this.#keyValue(response.prevKv);
  }

  override deleteRange(response: DeleteRangeResponse): void {
    this.terminal.line(String(response.deleted));
    for (const kv of response.prevKvs) this.#keyValue(kv);
  }

  override txn(txn: TxnResponse): void {
    this.terminal.line(txn.succeeded ? 'SUCCESS' : 'FAILURE');
    for (const response of txn.responses) {
      this.terminal.line();
      if (!this.operation(response)) this.terminal.line('unexpected response');
    }
  }

  override watch(response: WatchView): void {
    for (const { type, kv, prevKv } of response.events) {
      this.terminal.line(type === EventType.delete ? 'DELETE' : 'PUT');
      if (prevKv !== undefined) this.#keyValue(prevKv);
      if (kv !== undefined) this.#keyValue(kv);
    }
  }

  override grant({ id, ttl }: LeaseGrantResponse): void {
    this.terminal.line(`lease ${paddedHex(id)} granted with TTL(${ttl}s)`);
  }

  override revoke(id: bigint, _response: LeaseRevokeResponse): void {
    this.terminal.line(`lease ${paddedHex(id)} revoked`);
  }

  override keepAlive({ id, ttl }: LeaseKeepAliveResponse): void {
    this.terminal.line(`lease ${paddedHex(id)} keepalived with TTL(${ttl})`);
  }

  override timeToLive(response: LeaseTimeToLiveResponse, keys: boolean): void {
    const { id, ttl, grantedTtl } = response;
    const name = `lease ${paddedHex(id)}`;
    if (ttl === -1 && grantedTtl === 0) {
      this.terminal.line(`${name} already expired`);
      return;
    }
    this.terminal.bytes(utf8(`${name} granted with TTL(${grantedTtl}s), remaining(${ttl}s)`));
    if (keys) {
      this.terminal.bytes(utf8(', attached keys(['));
      response.keys.forEach((key, i) => {
        if (i > 0) this.terminal.bytes(utf8(' '));
        this.terminal.bytes(key);
      });
      this.terminal.bytes(utf8('])'));
    }
    this.terminal.bytes(newline);
  }

  override leases({ leases }: LeaseLeasesResponse): void {
    this.terminal.line(`found ${leases.length} leases`);
    for (const { id } of leases) this.terminal.line(paddedHex(id));
  }

  override memberAdd({ header, member }: MemberAddResponse): void {
    const how = member?.isLearner === true ? 'added as learner to' : 'added to';
    this.#memberChange(member?.id ?? 0n, how, header);
  }

  override memberRemove(id: bigint, { header }: MemberRemoveResponse): void {
    this.#memberChange(id, 'removed from', header);
  }

  override memberUpdate(id: bigint, { header }: MemberUpdateResponse): void {
    this.#memberChange(id, 'updated in', header);
  }

  override memberPromote(id: bigint, { header }: MemberPromoteResponse): void {
    this.#memberChange(id, 'promoted in', header);
  }

  override memberList(response: MemberListResponse): void {
    this.#rows(memberRows(response));
  }

  override endpointHealth(list: readonly EndpointHealth[]): void {
    for (const { endpoint, took, error } of list) {
      if (error === '') {
        this.terminal.line(
          `${endpoint} is healthy: successfully committed proposal: took = ${took}`,
        );
      } else {
        this.terminal.warn(`${endpoint} is unhealthy: failed to commit proposal: ${error}`);
      }
    }
  }

  override endpointStatus(list: readonly EndpointStatus[]): void {
    this.#rows(statusRows(list));
  }

  override endpointHash(list: readonly EndpointHash[]): void {
    this.#rows(hashRows(list));
  }

  override snapshotStatus(status: SnapshotStatus): void {
    this.#rows(snapshotRows(status));
  }

  /** As Go prints them, with a space at the end. */
  override alarms({ alarms }: AlarmResponse): void {
    for (const { memberId, alarm } of alarms) {
      const member = memberId === 0n ? '' : `memberID:${memberId} `;
      this.terminal.line(`${member}alarm:${alarmName(alarm)} `);
    }
  }

  override moveLeader(leader: bigint, target: bigint): void {
    const [from, to] = [leader.toString(16), target.toString(16)];
    this.terminal.line(`Leadership transferred from ${from} to ${to}`);
  }

  override downgrade(what: DowngradeStep, { version }: DowngradeResponse): void {
    this.terminal.line(`Downgrade ${what} success, cluster version ${version}`);
  }

  override acknowledged(told: string, _response: Acknowledgement): void {
    this.terminal.line(told);
  }

  override authStatus({ enabled, authRevision }: AuthStatusResponse): void {
    this.terminal.line(`Authentication Status: ${enabled}`);
    this.terminal.line(`AuthRevision: ${authRevision}`);
  }

  override user(name: string, { roles }: AuthUserGetResponse): void {
    this.terminal.line(`User: ${name}`);
    this.terminal.line(['Roles:', ...roles].join(' '));
  }

  override users({ users }: AuthUserListResponse): void {
    for (const name of users) this.terminal.line(name);
  }

  override role(name: string, { perm }: AuthRoleGetResponse): void {
    // The role of this name may do everything, without being granted it.
    const isRoot = name === 'root' && perm.length === 0;
    const lines = (refused: PermissionType): string[] =>
      isRoot
        ? ['[, <open ended>']
        : perm.filter(({ permType }) => permType !== refused).map(keysText);
    this.terminal.line(`Role ${name}`);
    this.terminal.line('KV Read:');
    for (const text of lines(PermissionType.write)) this.terminal.line(`\t${text}`);
    this.terminal.line('KV Write:');
    for (const text of lines(PermissionType.read)) this.terminal.line(`\t${text}`);
  }

  override roles({ roles }: AuthRoleListResponse): void {
    for (const name of roles) this.terminal.line(name);
  }

  /** Ids padded as Go's %16x pads them: with spaces. */
  #memberChange(id: bigint, how: string, header: ResponseHeader | undefined): void {
    const [member, cluster] = [id, header?.clusterId ?? 0n].map((each) =>
      each.toString(16).padStart(16),
    );
    this.terminal.line(`Member ${member ?? ''} ${how} cluster ${cluster ?? ''}`);
  }

  #rows({ rows }: Rows): void {
    for (const row of rows) this.terminal.line(row.join(', '));
  }

  #keyValue({ key, value }: KeyValue): void {
    if (!this.valuesOnly) this.#bytes(key);
    this.#bytes(value);
  }

  #bytes(bytes: Uint8Array): void {
    this.terminal.bytes(this.hex ? utf8(hexText(bytes)) : bytes);
    this.terminal.bytes(newline);
  }
}
