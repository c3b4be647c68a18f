/**
 * The state machine: applies the log's entries in order. A pure function of log and state: no
 * clock, no local configuration, no await. What an entry makes of the state is equal on every
 * member; an operating error (a missing lease, a compacted revision) is an outcome like any other.
 */
import { assert } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import type { AlarmStore } from '../alarm/alarm-store.ts';
import type { LoggedLeaseCheckpoints, LoggedLeaseRevoke } from '../gen/raft-internal.ts';
import type { Downgrade } from '../cluster/downgrade.ts';
import type { Membership } from '../cluster/membership.ts';
import type {
  AlarmResponse,
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseRevokeResponse,
  PutRequest,
  PutResponse,
  TxnRequest,
  TxnResponse,
} from '../gen/rpc.ts';
import type { Lessor } from '../lease/lessor.ts';
import { applyAlarm, refusalUnderAlarms } from './alarms.ts';
import { revisionHeader } from './range.ts';
import type { RangeReader, WriteTransaction } from './reader.ts';
import { decodeCommand, type Command } from './request.ts';
import {
  AnswerSize,
  checkDeleteSize,
  checkPutState,
  executeDeleteRange,
  executePut,
  isReadOnly,
  planTxn,
  runReadOnlyTxn,
  runTxn,
  type TxnState,
} from './txn.ts';

/** The store as the applier needs it. */
export interface StateStore extends RangeReader {
  readonly revision: number;
  readonly compactedRevision: number;
  begin(): WriteTransaction;
  /** @throws EtcdError `compacted` or `futureRevision` */
  compact(revision: number): void;
}

/** All that entries change. */
export interface ReplicatedState {
  readonly store: StateStore;
  readonly membership: Membership;
  readonly lessor: Lessor;
  readonly alarms: AlarmStore;
  readonly downgrade: Downgrade;
}

export type Response =
  | PutResponse
  | DeleteRangeResponse
  | TxnResponse
  | CompactionResponse
  | LeaseGrantResponse
  | LeaseRevokeResponse
  | AlarmResponse;

/** What came of one request; `response` is absent for commands of our own. */
export interface Outcome {
  readonly response?: Response;
  readonly error?: EtcdError;
}

export interface AppliedRequest {
  readonly id: bigint;
  readonly kind: Command['case'];
  readonly outcome: Outcome;
}

export class Applier {
  #state: ReplicatedState;
  #txnState: TxnState;

  constructor(state: ReplicatedState) {
    this.#state = state;
    this.#txnState = txnStateOf(state.store, state.lessor);
  }

  /** Goes on with the state of a snapshot. */
  restore(state: ReplicatedState): void {
    this.#state = state;
    this.#txnState = txnStateOf(state.store, state.lessor);
  }

  get #store(): StateStore {
    return this.#state.store;
  }

  get #lessor(): Lessor {
    return this.#state.lessor;
  }

  /** Applies one entry's data. Undefined for a leader's first entry, which is empty. */
  apply(data: Uint8Array): AppliedRequest | undefined {
    if (data.length === 0) return undefined;
    const { id, command } = decodeCommand(data);
    return { id, kind: command.case, outcome: this.#outcome(id, command) };
  }

  #outcome(id: bigint, command: Command): Outcome {
    try {
      this.#checkAlarms(command);
      return this.#execute(id, command);
    } catch (error) {
      if (error instanceof EtcdError) return { error };
      throw error;
    }
  }

  /** @throws EtcdError `corrupt` or `noSpace` */
  #checkAlarms(command: Command): void {
    const refusal = refusalUnderAlarms(this.#state.alarms, command);
    if (refusal === undefined) return;
    // Who lets leases expire counts those under way, and has to try again.
    if (command.case === 'leaseRevoke') this.#lessor.refused(command.value.id, command.value.grant);
    throw new EtcdError(refusal);
  }

  #execute(id: bigint, command: Command): Outcome {
    switch (command.case) {
      case 'put':
        return { response: this.#put(command.value) };
      case 'deleteRange':
        return { response: this.#deleteRange(command.value) };
      case 'txn':
        return { response: this.#txn(command.value) };
      case 'compaction':
        return { response: this.#compact(command.value) };
      case 'leaseGrant':
        return { response: this.#leaseGrant(id, command.value) };
      case 'leaseRevoke':
        return { response: this.#leaseRevoke(command.value) };
      case 'leaseCheckpoint':
        this.#leaseCheckpoint(command.value);
        return {};
      case 'alarm':
        return { response: applyAlarm(this.#state.alarms, command.value, this.#store.revision) };
      case 'downgradeInfoSet': {
        const { enabled, ver } = command.value;
        this.#state.downgrade.set({ enabled, targetVersion: ver });
        return {};
      }
      case 'clusterProtocolSet':
        this.#state.membership.setProtocol(command.value.protocol);
        return {};
      case 'clusterMemberAttrSet': {
        const { memberId, memberAttributes } = command.value;
        assert(memberAttributes !== undefined, 'a member announces itself without attributes');
        this.#state.membership.setAttributes(memberId, memberAttributes);
        return {};
      }
    }
  }

  #put(request: PutRequest): PutResponse {
    checkPutState(this.#store, request, this.#txnState);
    return this.#write((txn) => executePut(txn, request));
  }

  #deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    checkDeleteSize(this.#store, request, new AnswerSize());
    return this.#write((txn) => executeDeleteRange(txn, request));
  }

  #txn(request: TxnRequest): TxnResponse {
    const path = planTxn(this.#store, request, this.#txnState);
    if (isReadOnly(request)) return readOnlyTxn(this.#store, request, path);
    return this.#write((txn) => {
      const response = runTxn(txn, request, path);
      return { ...response, header: revisionHeader(txn.revision) };
    });
  }

  #compact(request: CompactionRequest): CompactionResponse {
    this.#store.compact(request.revision);
    return { header: revisionHeader(this.#store.revision) };
  }

  #leaseGrant(grant: bigint, request: LeaseGrantRequest): LeaseGrantResponse {
    const { id, ttlSeconds } = this.#lessor.grant(request.id, request.ttl, grant);
    return { header: revisionHeader(this.#store.revision), id, ttl: ttlSeconds, error: '' };
  }

  /** Its keys go in one revision; without keys there is none. */
  #leaseRevoke({ id, grant }: LoggedLeaseRevoke): LeaseRevokeResponse {
    const keys = this.#lessor.keysToDelete(id, grant);
    this.#write((txn) => {
      for (const key of keys) txn.deleteRange(key, undefined);
    });
    this.#lessor.revoke(id);
    return { header: revisionHeader(this.#store.revision) };
  }

  #leaseCheckpoint({ checkpoints }: LoggedLeaseCheckpoints): void {
    for (const { id, remainingTtl, grant } of checkpoints) {
      this.#lessor.checkpoint(id, remainingTtl, grant);
    }
  }

  /** After its checks a write cannot fail: an exception out of it would leave half a change. */
  #write<Result>(execute: (txn: WriteTransaction) => Result): Result {
    const txn = this.#store.begin();
    let result: Result;
    try {
      result = execute(txn);
    } catch (error) {
      throw error instanceof EtcdError
        ? new Error('a checked write was refused', { cause: error })
        : error;
    }
    this.#lessor.changed(txn.end());
    return result;
  }
}

/** Plans and runs a txn that holds ranges only, against a member's own state. */
export function executeReadOnlyTxn(store: StateStore, request: TxnRequest): TxnResponse {
  return readOnlyTxn(store, request, planTxn(store, request, txnStateOf(store, noLeases)));
}

function readOnlyTxn(
  store: StateStore,
  request: TxnRequest,
  path: ReturnType<typeof planTxn>,
): TxnResponse {
  const response = runReadOnlyTxn(store, request, path);
  return { ...response, header: revisionHeader(store.revision) };
}

/** A txn of ranges asks for none. */
const noLeases = { has: () => false };

function txnStateOf(store: StateStore, leases: Pick<Lessor, 'has'>): TxnState {
  return {
    get revision() {
      return store.revision;
    },
    get compactedRevision() {
      return store.compactedRevision;
    },
    leaseExists: (lease) => leases.has(lease),
  };
}
