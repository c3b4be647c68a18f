/** The messages as they are on the wire, without anything between them. */
import {
  AlarmResponse,
  DeleteRangeResponse,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  PutResponse,
  RangeResponse,
  TxnResponse,
  WatchResponse,
} from '../../gen/rpc.ts';
import { BasePrinter, type WatchView } from './printer.ts';

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
}
