/** What a request may add to the state, as the quota counts it (etcd: server/storage/quota.go). */
import type { PutRequest, RequestOp, TxnRequest } from '../gen/rpc.ts';
import type { Command } from './request.ts';

/** Bytes that a key value costs beside key and value (etcd: kvOverhead). */
const keyValueOverheadBytes = 256;
/** Bytes that a lease costs (etcd: leaseOverhead). */
export const leaseBytes = 64;

/**
 * Bytes at most; 0 for what only frees space or reads. Puts of nested transactions count too; early
 * releases of etcd 3.6 leave them out.
 */
export function spaceCostBytes(command: Command): number {
  switch (command.case) {
    case 'put':
      return putCost(command.value);
    case 'txn':
      return txnCost(command.value);
    case 'leaseGrant':
      return leaseBytes;
    case 'deleteRange':
    case 'compaction':
    case 'leaseRevoke':
    case 'leaseCheckpoint':
    case 'alarm':
    case 'downgradeInfoSet':
    case 'clusterProtocolSet':
    case 'clusterMemberAttrSet':
      return 0;
  }
}

function putCost({ key, value }: PutRequest): number {
  return keyValueOverheadBytes + key.length + value.length;
}

/** Of the branch that costs more. */
function txnCost({ success, failure }: TxnRequest): number {
  return Math.max(operationsCost(success), operationsCost(failure));
}

function operationsCost(operations: readonly RequestOp[]): number {
  let cost = 0;
  for (const { request } of operations) {
    if (request?.case === 'requestPut') cost += putCost(request.value);
    else if (request?.case === 'requestTxn') cost += txnCost(request.value);
  }
  return cost;
}
