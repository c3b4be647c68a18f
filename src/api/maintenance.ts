/**
 * The parts of the Maintenance service that need no later version (etcd: api/v3rpc/maintenance.go).
 */
import { etcdErrors, StatusCode, StatusError } from '../base/errors.ts';
import {
  AlarmAction,
  type AlarmRequest,
  type AlarmResponse,
  type HashKVRequest,
  type HashKVResponse,
  type StatusRequest,
  type StatusResponse,
} from '../gen/rpc.ts';
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

/** What an empty store reports: clients divide by the size (etcdctl 3.6: endpoint status). */
const sizeBytesMin = 1;

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
      dbSize: Math.max(sizeBytesMin, backend.sizeBytes),
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

  /**
   * Lists alarms. Nothing raises any here, so there are none; raising and disarming them is not
   * served. etcdctl 3.5 and later asks for the list in `endpoint health`.
   */
  alarm({ action }: AlarmRequest): Promise<AlarmResponse> {
    if (action !== AlarmAction.get) {
      return Promise.reject(
        new StatusError(
          StatusCode.unimplemented,
          'unknown method Alarm for service etcdserverpb.Maintenance',
        ),
      );
    }
    return Promise.resolve({ header: header(this.#backend.headerSource), alarms: [] });
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
