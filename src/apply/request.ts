/**
 * What a log entry carries: one command with the id of the request that proposed it, in the shape
 * of etcd's InternalRaftRequest. The client's own message is embedded as bytes.
 */
import { AssertionFailure, present } from '../base/assert.ts';
import {
  ClusterMemberAttrSetRequest,
  ClusterProtocolSetRequest,
  DowngradeInfoSetRequest,
  InternalRaftRequest,
  LoggedAlarm,
  LoggedLeaseCheckpoints,
  LoggedLeaseRevoke,
} from '../gen/raft-internal.ts';
import {
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  PutRequest,
  TxnRequest,
} from '../gen/rpc.ts';

export type Command =
  | { readonly case: 'put'; readonly value: PutRequest }
  | { readonly case: 'deleteRange'; readonly value: DeleteRangeRequest }
  | { readonly case: 'txn'; readonly value: TxnRequest }
  | { readonly case: 'compaction'; readonly value: CompactionRequest }
  | { readonly case: 'leaseGrant'; readonly value: LeaseGrantRequest }
  | { readonly case: 'leaseRevoke'; readonly value: LoggedLeaseRevoke }
  | { readonly case: 'leaseCheckpoint'; readonly value: LoggedLeaseCheckpoints }
  | { readonly case: 'alarm'; readonly value: LoggedAlarm }
  | { readonly case: 'clusterProtocolSet'; readonly value: ClusterProtocolSetRequest }
  | { readonly case: 'downgradeInfoSet'; readonly value: DowngradeInfoSetRequest }
  | {
      readonly case: 'clusterMemberAttrSet';
      readonly value: ClusterMemberAttrSetRequest;
    };

export function encodeCommand(id: bigint, command: Command): Uint8Array {
  return InternalRaftRequest.encode({
    header: { id, username: '', authRevision: 0 },
    id: 0n,
    request: { case: command.case, value: encodeValue(command) },
  });
}

function encodeValue(command: Command): Uint8Array {
  switch (command.case) {
    case 'put':
      return PutRequest.encode(command.value);
    case 'deleteRange':
      return DeleteRangeRequest.encode(command.value);
    case 'txn':
      return TxnRequest.encode(command.value);
    case 'compaction':
      return CompactionRequest.encode(command.value);
    case 'leaseGrant':
      return LeaseGrantRequest.encode(command.value);
    case 'leaseRevoke':
      return LoggedLeaseRevoke.encode(command.value);
    case 'leaseCheckpoint':
      return LoggedLeaseCheckpoints.encode(command.value);
    case 'alarm':
      return LoggedAlarm.encode(command.value);
    case 'clusterProtocolSet':
      return ClusterProtocolSetRequest.encode(command.value);
    case 'downgradeInfoSet':
      return DowngradeInfoSetRequest.encode(command.value);
    case 'clusterMemberAttrSet':
      return ClusterMemberAttrSetRequest.encode(command.value);
  }
}

/**
 * @throws AssertionFailure for a command that this version does not know: to skip it would let
 * this member's state part from the others'
 */
export function decodeCommand(data: Uint8Array): {
  id: bigint;
  command: Command;
} {
  const { header, request } = InternalRaftRequest.decode(data);
  const { id } = present(header, 'header of a logged request');
  const { case: kind, value } = present(request, 'command of a logged request');
  switch (kind) {
    case 'put':
      return { id, command: { case: kind, value: PutRequest.decode(value) } };
    case 'deleteRange':
      return {
        id,
        command: { case: kind, value: DeleteRangeRequest.decode(value) },
      };
    case 'txn':
      return { id, command: { case: kind, value: TxnRequest.decode(value) } };
    case 'compaction':
      return {
        id,
        command: { case: kind, value: CompactionRequest.decode(value) },
      };
    case 'leaseGrant':
      return { id, command: { case: kind, value: LeaseGrantRequest.decode(value) } };
    case 'leaseRevoke':
      return { id, command: { case: kind, value: LoggedLeaseRevoke.decode(value) } };
    case 'leaseCheckpoint':
      return { id, command: { case: kind, value: LoggedLeaseCheckpoints.decode(value) } };
    case 'alarm':
      return { id, command: { case: kind, value: LoggedAlarm.decode(value) } };
    case 'clusterProtocolSet':
      return { id, command: { case: kind, value: ClusterProtocolSetRequest.decode(value) } };
    case 'downgradeInfoSet':
      return { id, command: { case: kind, value: DowngradeInfoSetRequest.decode(value) } };
    case 'clusterMemberAttrSet':
      return {
        id,
        command: {
          case: kind,
          value: ClusterMemberAttrSetRequest.decode(value),
        },
      };
    default:
      throw new AssertionFailure(`the log holds a command unknown to this version: ${kind}`);
  }
}
