/**
 * The Maintenance service (etcd: api/v3rpc/maintenance.go).
 */
import { createHash } from 'node:crypto';
import { concatBytes } from '../base/bytes.ts';
import { EtcdError, etcdErrors, StatusCode, StatusError } from '../base/errors.ts';
import { type Alarm, alarmName, raisedByHand } from '../alarm/alarm-store.ts';
import {
  AlarmAction,
  type AlarmMember,
  type AlarmRequest,
  type AlarmResponse,
  type AlarmType,
  type DefragmentRequest,
  type DefragmentResponse,
  type DowngradeRequest,
  type DowngradeResponse,
  type HashKVRequest,
  type HashKVResponse,
  type HashRequest,
  type HashResponse,
  type MoveLeaderRequest,
  type MoveLeaderResponse,
  type SnapshotRequest,
  SnapshotResponse,
  type StatusRequest,
  type StatusResponse,
} from '../gen/rpc.ts';
import type { CallContext } from './handler.ts';
import { downgrade, type DowngradeBackend } from './downgrade.ts';
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

export interface MaintenanceBackend extends DowngradeBackend {
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
  /** Those of one kind, or all. */
  alarms(kind?: AlarmType): readonly Alarm[];
  /** See `server/leader-move.ts`. */
  moveLeader(target: bigint): Promise<void>;
  /** Resolves when the space of deleted values was given back. */
  defragment(): Promise<void>;
  /** Over this member's state, as of all entries it has applied, until `signal` is aborted. */
  hashOfState(signal: AbortSignal): Promise<number>;
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
const viewsAtOnceLimit = 4;

export class MaintenanceService {
  readonly #backend: MaintenanceBackend;
  #openViews = 0;

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
      errors: [
        ...(backend.leader === 0n ? [etcdErrors.noLeader[1]] : []),
        ...this.#alarms().map(alarmText),
      ],
      dbSizeInUse: Math.max(sizeBytesMin, backend.sizeInUseBytes),
      isLearner: backend.isLearner,
      storageVersion: backend.storageVersion,
      dbSizeQuota: backend.quotaBytes,
      downgradeInfo: { ...backend.downgradeInfo },
    });
  }

  /**
   * Lists, raises or clears alarms. Clearing one that is not there is no error. Who lists them sees
   * all that were raised before; etcdctl does in `endpoint health`.
   */
  async alarm({ action, memberId, alarm }: AlarmRequest): Promise<AlarmResponse> {
    const { headerSource } = this.#backend;
    if (action === AlarmAction.get) {
      await this.#backend.linearizableRead();
      return { header: header(headerSource), alarms: [...this.#alarms(alarm)] };
    }
    const value = { action, memberId, alarm, quotaBytes: raisedByHand };
    const { response } = await this.#backend.request({ case: 'alarm', value });
    return { header: header(headerSource), alarms: (response as AlarmResponse).alarms };
  }

  #alarms(kind?: AlarmType): readonly AlarmMember[] {
    return this.#backend.alarms(kind).map(({ memberId, kind: alarm }) => ({ memberId, alarm }));
  }

  /** Answers when it is done, without a header, as in etcd; the member serves meanwhile. */
  async defragment(_request: DefragmentRequest): Promise<DefragmentResponse> {
    await this.#backend.defragment().catch((error: unknown) => {
      throw interrupted(error, 'defragmentation');
    });
    return { header: undefined };
  }

  /** Without a header, as in etcd. */
  async moveLeader({ targetId }: MoveLeaderRequest): Promise<MoveLeaderResponse> {
    await this.#backend.moveLeader(targetId);
    return { header: undefined };
  }

  async downgrade(request: DowngradeRequest): Promise<DowngradeResponse> {
    const version = await downgrade(this.#backend, request);
    return { header: header(this.#backend.headerSource), version };
  }

  /**
   * The hash of the whole state, which may differ between members of the same revision.
   * @throws EtcdError `tooManyRequests` while so many views are open already
   */
  hash(_request: HashRequest, { signal }: Pick<CallContext, 'signal'>): Promise<HashResponse> {
    return this.#withView(async () => {
      const hash = await this.#backend.hashOfState(signal);
      return { header: header(this.#backend.headerSource), hash };
    });
  }

  async #withView<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.#openViews >= viewsAtOnceLimit) throw new EtcdError('tooManyRequests');
    this.#openViews += 1;
    try {
      return await run();
    } catch (error) {
      throw interrupted(error, 'hash');
    } finally {
      this.#openViews -= 1;
    }
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
    if (this.#openViews >= viewsAtOnceLimit) throw new EtcdError('tooManyRequests');
    this.#openViews += 1;
    let file: DatabaseFile | undefined;
    try {
      file = await this.#backend.openDatabase(signal);
      yield* this.#sendFile(file, signal);
    } catch (error) {
      throw interrupted(error, 'snapshot');
    } finally {
      file?.close();
      this.#openViews -= 1;
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
function interrupted(error: unknown, what: string): unknown {
  const isOwn = error instanceof StatusError || !(error instanceof Error);
  if (isOwn || error.name !== 'Error') return error;
  const message = `etcdserver: the ${what} was interrupted: ${error.message}`;
  return new StatusError(StatusCode.unavailable, message);
}

/** An alarm in the words of Go's text format, which etcdctl looks for the name in. */
export function alarmText({ memberId, alarm }: AlarmMember): string {
  const member = memberId === 0n ? '' : `memberID:${memberId} `;
  return `${member}alarm:${alarmName(alarm)} `;
}
