/**
 * The parts of the Maintenance service that need no later version (etcd: api/v3rpc/maintenance.go).
 */
import { etcdErrors } from '../base/errors.ts';
import type { HashKVRequest, HashKVResponse, StatusRequest, StatusResponse } from '../gen/rpc.ts';
import { header, type HeaderSource } from './header.ts';

export interface RevisionHash {
  readonly hash: number;
  readonly compactRevision: number;
  readonly hashRevision: number;
  /** The store's revision when the hash was made. */
  readonly revision: number;
}

export interface MaintenanceBackend {
  readonly headerSource: HeaderSource;
  /** 0n if there is none. */
  readonly leader: bigint;
  readonly committedIndex: number;
  readonly appliedIndex: number;
  readonly term: number;
  readonly isLearner: boolean;
  /** Logical size of the state. */
  readonly sizeBytes: number;
  readonly sizeInUseBytes: number;
  readonly quotaBytes: number;
  /** The version of etcd whose behaviour this server has, and that of its storage. */
  readonly version: string;
  readonly storageVersion: string;
  /** @throws EtcdError `compacted` or `futureRevision` */
  hashByRevision(revision: number): Promise<RevisionHash>;
}

export class MaintenanceService {
  readonly #backend: MaintenanceBackend;

  constructor(backend: MaintenanceBackend) {
    this.#backend = backend;
  }

  status(_request: StatusRequest): Promise<StatusResponse> {
    const backend = this.#backend;
    return Promise.resolve({
      header: header(backend.headerSource),
      version: backend.version,
      dbSize: backend.sizeBytes,
      leader: backend.leader,
      raftIndex: backend.committedIndex,
      raftTerm: backend.term,
      raftAppliedIndex: backend.appliedIndex,
      errors: backend.leader === 0n ? [etcdErrors.noLeader[1]] : [],
      dbSizeInUse: backend.sizeInUseBytes,
      isLearner: backend.isLearner,
      storageVersion: backend.storageVersion,
      dbSizeQuota: backend.quotaBytes,
      downgradeInfo: { enabled: false, targetVersion: '' },
    });
  }

  async hashKv(request: HashKVRequest): Promise<HashKVResponse> {
    const { hash, compactRevision, hashRevision, revision } = await this.#backend.hashByRevision(
      request.revision,
    );
    return {
      header: header(this.#backend.headerSource, revision),
      hash,
      compactRevision,
      hashRevision,
    };
  }
}
