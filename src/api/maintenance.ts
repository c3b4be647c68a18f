/**
 * The parts of the Maintenance service that need no later version (etcd: api/v3rpc/maintenance.go).
 */
import { createHash } from 'node:crypto';
import { concatBytes } from '../base/bytes.ts';
import { EtcdError, etcdErrors, StatusCode, StatusError } from '../base/errors.ts';
import {
  AlarmAction,
  type AlarmRequest,
  type AlarmResponse,
  type HashKVRequest,
  type HashKVResponse,
  type SnapshotRequest,
  SnapshotResponse,
  type StatusRequest,
  type StatusResponse,
} from '../gen/rpc.ts';
import type { CallContext } from './handler.ts';
import { header, type HeaderSource } from './header.ts';

export interface RevisionHash {
  readonly hash: number;
  readonly compactRevision: number;
  readonly hashRevision: number;
  /** The store's revision when the hash was made. */
  readonly revision: number;
}

/** A file of etcd's database. */
export interface DatabaseFile {
  readonly sizeBytes: number;
  /** The file in pieces, once. Others get their turn between them. */
  pages(): AsyncIterable<Uint8Array>;
  close(): void;
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
  /** This member's state, as of all entries it has applied, until `signal` is aborted. */
  openDatabase(signal: AbortSignal): Promise<DatabaseFile>;
}

/** What an empty store reports: clients divide by the size (etcdctl 3.6: endpoint status). */
const sizeBytesMin = 1;

/** What one message of a snapshot holds of the file, as in etcd. */
const snapshotBlobBytes = 32 * 1024;
/** Each keeps a view open, which keeps the disk from giving back what was overwritten since. */
const snapshotsAtOnceLimit = 4;

export class MaintenanceService {
  readonly #backend: MaintenanceBackend;
  #openSnapshots = 0;

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

  /**
   * Streams the state as a file of etcd's database, then its SHA-256.
   * @throws EtcdError `tooManyRequests` while so many others are sent already
   */
  async *snapshot(
    _request: SnapshotRequest,
    { signal }: Pick<CallContext, 'signal'>,
  ): AsyncGenerator<SnapshotResponse, void, undefined> {
    if (this.#openSnapshots >= snapshotsAtOnceLimit) throw new EtcdError('tooManyRequests');
    this.#openSnapshots += 1;
    let file: DatabaseFile | undefined;
    try {
      file = await this.#backend.openDatabase(signal);
      yield* this.#sendFile(file, signal);
    } catch (error) {
      throw interrupted(error);
    } finally {
      file?.close();
      this.#openSnapshots -= 1;
    }
  }

  async *#sendFile(
    file: DatabaseFile,
    signal: AbortSignal,
  ): AsyncGenerator<SnapshotResponse, void, undefined> {
    const { storageVersion: version } = this.#backend;
    const hash = createHash('sha256');
    let remainingBytes = file.sizeBytes;
    for await (const blob of inBlobs(file.pages(), snapshotBlobBytes)) {
      signal.throwIfAborted();
      hash.update(blob);
      remainingBytes -= blob.length;
      yield SnapshotResponse.create({ remainingBytes, blob, version });
    }
    yield SnapshotResponse.create({ remainingBytes: 0, blob: hash.digest(), version });
  }
}

/** The same bytes in pieces of one size, the last one excepted. */
async function* inBlobs(
  pieces: AsyncIterable<Uint8Array>,
  sizeBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  for await (const piece of pieces) {
    waiting.push(piece);
    waitingBytes += piece.length;
    if (waitingBytes < sizeBytes) continue;
    const bytes = concatBytes(waiting);
    const whole = waitingBytes - (waitingBytes % sizeBytes);
    for (let at = 0; at < whole; at += sizeBytes) yield bytes.subarray(at, at + sizeBytes);
    waiting = [bytes.subarray(whole)];
    waitingBytes -= whole;
  }
  if (waitingBytes > 0) yield concatBytes(waiting);
}

/** Reading fails while the member stops, or when a snapshot from the leader replaces its state. */
function interrupted(error: unknown): unknown {
  const isOwn = error instanceof StatusError || !(error instanceof Error);
  if (isOwn || error.name !== 'Error') return error;
  const message = `etcdserver: the snapshot was interrupted: ${error.message}`;
  return new StatusError(StatusCode.unavailable, message);
}
