/** Lists of members and endpoints as rows: comma-separated in `simple`, framed in `table`. */
import { formatSize } from '../go-text.ts';
import type { MemberListResponse } from '../../gen/rpc.ts';
import type { SnapshotStatus } from '../../snapshot/status.ts';
import type { EndpointHash, EndpointHealth, EndpointStatus } from './printer.ts';

export interface Rows {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function memberRows({ members }: MemberListResponse): Rows {
  return {
    header: ['ID', 'Status', 'Name', 'Peer Addrs', 'Client Addrs', 'Is Learner'],
    rows: members.map(({ id, name, peerUrls, clientUrls, isLearner }) => [
      id.toString(16),
      name === '' ? 'unstarted' : 'started',
      name,
      peerUrls.join(','),
      clientUrls.join(','),
      String(isLearner),
    ]),
  };
}

export function healthRows(list: readonly EndpointHealth[]): Rows {
  return {
    header: ['endpoint', 'health', 'took', 'error'],
    rows: list.map(({ endpoint, isHealthy, took, error }) => [
      endpoint,
      String(isHealthy),
      took,
      error,
    ]),
  };
}

/** Share of the database that holds nothing; of an empty one there is none to waste. */
function unusedPercent(sizeBytes: number, usedBytes: number): string {
  return `${sizeBytes === 0 ? 0 : 100 - Math.trunc((usedBytes * 100) / sizeBytes)}%`;
}

export function statusRows(list: readonly EndpointStatus[]): Rows {
  return {
    header: [
      ...['endpoint', 'ID', 'version', 'storage version', 'db size', 'in use'],
      ...['percentage not in use', 'quota', 'is leader', 'is learner', 'raft term', 'raft index'],
      ...['raft applied index', 'errors', 'downgrade target version', 'downgrade enabled'],
    ],
    rows: list.map(({ endpoint, status }) => [
      endpoint,
      (status.header?.memberId ?? 0n).toString(16),
      status.version,
      status.storageVersion,
      formatSize(status.dbSize),
      formatSize(status.dbSizeInUse),
      unusedPercent(status.dbSize, status.dbSizeInUse),
      formatSize(status.dbSizeQuota),
      String(status.leader === status.header?.memberId),
      String(status.isLearner),
      String(status.raftTerm),
      String(status.raftIndex),
      String(status.raftAppliedIndex),
      status.errors.join(', '),
      status.downgradeInfo?.targetVersion ?? '',
      String(status.downgradeInfo?.enabled ?? false),
    ]),
  };
}

export function hashRows(list: readonly EndpointHash[]): Rows {
  return {
    header: ['endpoint', 'hash', 'hash_revision'],
    rows: list.map(({ endpoint, hash }) => [
      endpoint,
      String(hash.hash),
      String(hash.hashRevision),
    ]),
  };
}

export function snapshotRows(status: SnapshotStatus): Rows {
  const { hash, revision, totalKeys, sizeBytes, version } = status;
  return {
    header: ['hash', 'revision', 'total keys', 'total size', 'version'],
    rows: [
      [hash.toString(16), String(revision), String(totalKeys), formatSize(sizeBytes), version],
    ],
  };
}
