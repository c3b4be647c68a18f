/** What the API's services need of a member, from the member's parts. */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { ETCD_VERSION, STORAGE_VERSION } from '../base/versions.ts';
import type { ServerHealth } from '../api/http/health.ts';
import type { ClusterBackend } from '../api/cluster.ts';
import type { HeaderSource } from '../api/header.ts';
import type { KvBackend } from '../api/kv.ts';
import type { LeaseBackend } from '../api/lease.ts';
import type { MaintenanceBackend } from '../api/maintenance.ts';
import type { WatchBackend } from '../api/watch.ts';
import type { Config } from '../config/schema.ts';
import { noMember } from '../raft/index.ts';
import { DatabaseSnapshot } from '../schema/database-snapshot.ts';
import type { Member } from '../server/member.ts';
import type { BackendView } from '../storage/backend-view.ts';

/** What Status reports where no quota is configured (etcd: DefaultQuotaBytes). */
const defaultQuotaBytes = 2 * 1024 * 1024 * 1024;

export type ApiBackend = KvBackend &
  LeaseBackend &
  MaintenanceBackend &
  ClusterBackend &
  WatchBackend;

export interface ApiBackendOptions {
  readonly member: Member;
  readonly clusterId: bigint;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
}

export function apiBackend(options: ApiBackendOptions): ApiBackend {
  const { member, clusterId, config, clock, random } = options;
  const { server } = member;
  const headerSource: HeaderSource = {
    clusterId,
    memberId: member.id,
    get revision() {
      return member.store.revision;
    },
    get term() {
      return server.term;
    },
  };
  return {
    clock,
    random,
    headerSource,
    get store() {
      return member.store;
    },
    leases: member.leases,
    get leader() {
      return server.leader;
    },
    get hasLeader() {
      return server.leader !== noMember;
    },
    get committedIndex() {
      return server.committedIndex;
    },
    get appliedIndex() {
      return server.appliedIndex;
    },
    get term() {
      return server.term;
    },
    get isLearner() {
      return member.isLearner;
    },
    get sizeBytes() {
      return member.store.logicalSizeBytes;
    },
    get sizeInUseBytes() {
      return member.store.logicalSizeBytes;
    },
    txnOperationsLimit: config.maxTxnOps,
    requestLimitBytes: config.maxRequestBytes,
    quotaBytes: config.quotaBackendBytes ?? defaultQuotaBytes,
    version: ETCD_VERSION,
    storageVersion: STORAGE_VERSION,
    progressIntervalMs: config.watchProgressNotifyIntervalMs,
    fragmentBytes: config.maxRequestBytes,
    request: (command) => server.request(command),
    linearizableRead: () => server.linearizableRead(),
    whenCompacted: (revision) =>
      new Promise((resolve) => {
        member.compaction.whenCompacted(revision, resolve);
      }),
    hashByRevision: (revision) =>
      new Promise((resolve, reject) => {
        member.store.hashByRevision(revision, (error, hash) => {
          if (hash === undefined) {
            reject(error ?? new Error('no hash'));
            return;
          }
          const { compactedRevision, hashRevision, currentRevision } = hash;
          resolve({
            hash: hash.hash,
            compactRevision: compactedRevision,
            hashRevision,
            revision: currentRevision,
          });
        });
      }),
    openDatabase: async (signal) => {
      const view = await new Promise<BackendView>((resolve, reject) => {
        member.openStateView((error, opened) => {
          if (opened === undefined) reject(error ?? new Error('no view'));
          else resolve(opened);
        });
      });
      return DatabaseSnapshot.of(view, signal);
    },
    memberChanges: member.changes,
    members: () => member.membership.list(),
    openWatchStream: (streamOptions) => member.watchable.openStream(streamOptions),
    onLeaderLost: (listener) => server.onLeaderLost(listener),
  };
}

/** What the health endpoints ask. */
export function serverHealth(member: Member): ServerHealth {
  const { server } = member;
  return {
    alarms: () => [],
    hasLeader: () => server.leader !== noMember,
    isLearner: () => member.isLearner,
    repairing: () => member.repairing,
    read: (serializable) => (serializable ? Promise.resolve() : server.linearizableRead()),
    requestTimeoutMs: server.requestTimeoutMs,
  };
}
