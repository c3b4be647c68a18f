/** The messages as they are on the wire, without anything between them. */
import {
  AlarmResponse,
  AuthRoleGetResponse,
  AuthRoleListResponse,
  AuthStatusResponse,
  AuthUserGetResponse,
  AuthUserListResponse,
  DeleteRangeResponse,
  DowngradeResponse,
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseTimeToLiveResponse,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  MoveLeaderResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  TxnResponse,
  WatchResponse,
} from '../../gen/rpc.ts';
import {
  type Acknowledgement,
  BasePrinter,
  type DowngradeStep,
  type WatchView,
} from './printer.ts';

export class ProtobufPrinter extends BasePrinter {
  override readonly format = 'protobuf';

  override range(response: RangeResponse): void {
    this.terminal.bytes(RangeResponse.encode(response));
  }

  override put(response: PutResponse): void {
    this.terminal.bytes(PutResponse.encode(response));
  }

  override deleteRange(response: DeleteRangeResponse): void {
    this.terminal.bytes(DeleteRangeResponse.encode(response));
  }

  override txn(response: TxnResponse): void {
    this.terminal.bytes(TxnResponse.encode(response));
  }

  override watch({ header, events, compactRevision, canceled, created }: WatchView): void {
    const view = { header, events, compactRevision, canceled, created };
    this.terminal.bytes(WatchResponse.encode(WatchResponse.create(view)));
  }

  override alarms(response: AlarmResponse): void {
    this.terminal.bytes(AlarmResponse.encode(response));
  }

  override memberAdd(response: MemberAddResponse): void {
    this.terminal.bytes(MemberAddResponse.encode(response));
  }

  override memberRemove(_id: bigint, response: MemberRemoveResponse): void {
    this.terminal.bytes(MemberRemoveResponse.encode(response));
  }

  override memberUpdate(_id: bigint, response: MemberUpdateResponse): void {
    this.terminal.bytes(MemberUpdateResponse.encode(response));
  }

  override memberPromote(_id: bigint, response: MemberPromoteResponse): void {
    this.terminal.bytes(MemberPromoteResponse.encode(response));
  }

  override memberList(response: MemberListResponse): void {
    this.terminal.bytes(MemberListResponse.encode(response));
  }

  override grant({ header }: LeaseGrantResponse): void {
    this.#header(header);
  }

  override keepAlive({ header }: LeaseKeepAliveResponse): void {
    this.#header(header);
  }

  override timeToLive({ header }: LeaseTimeToLiveResponse): void {
    this.#header(header);
  }

  override leases({ header }: LeaseLeasesResponse): void {
    this.#header(header);
  }

  override moveLeader(_leader: bigint, _target: bigint, response: MoveLeaderResponse): void {
    this.acknowledged('', response);
  }

  override downgrade(_what: DowngradeStep, response: DowngradeResponse): void {
    this.terminal.bytes(DowngradeResponse.encode(response));
  }

  /** A header as the first field is all that such answers have, whatever their name. */
  override acknowledged(_told: string, { header }: Acknowledgement): void {
    this.terminal.bytes(MoveLeaderResponse.encode({ header }));
  }

  override authStatus(response: AuthStatusResponse): void {
    this.terminal.bytes(AuthStatusResponse.encode(response));
  }

  override user(_name: string, response: AuthUserGetResponse): void {
    this.terminal.bytes(AuthUserGetResponse.encode(response));
  }

  override users(response: AuthUserListResponse): void {
    this.terminal.bytes(AuthUserListResponse.encode(response));
  }

  override role(_name: string, response: AuthRoleGetResponse): void {
    this.terminal.bytes(AuthRoleGetResponse.encode(response));
  }

  override roles(response: AuthRoleListResponse): void {
    this.terminal.bytes(AuthRoleListResponse.encode(response));
  }

  /** etcdctl writes no more than this of answers about leases. */
  #header(header = ResponseHeader.create()): void {
    this.terminal.bytes(ResponseHeader.encode(header));
  }
}
