/** What the API's services need of a member, from the member's parts. */
import type { Clock } from '../base/clock.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import type { AlarmName, ServerHealth } from '../api/http/health.ts';
import type { ClusterBackend } from '../api/cluster.ts';
import type { HeaderSource } from '../api/header.ts';
import type { KvBackend } from '../api/kv.ts';
import { REQUEST_OVERHEAD_BYTES } from '../api/grpc/adapter-options.ts';
import type { LeaseBackend } from '../api/lease.ts';
import type { MaintenanceBackend } from '../api/maintenance.ts';
import type { WatchBackend } from '../api/watch.ts';
import type { Config } from '../config/schema.ts';
import { AlarmType } from '../gen/rpc.ts';
import { noMember } from '../raft/index.ts';
import type { Member } from '../server/member.ts';
import { maintenanceBackend } from './maintenance-backend.ts';

export type ApiBackend = KvBackend &
  LeaseBackend &
  MaintenanceBackend &
  ClusterBackend &
  WatchBackend;

type MaintenanceParts = ReturnType<typeof maintenanceBackend>;

/** Both in one object. */
function mixed<First extends object, Second extends object>(
  first: First,
  second: Second,
): First & Second {
  return Object.defineProperties(first, Object.getOwnPropertyDescriptors(second)) as First & Second;
}

export interface ApiBackendOptions {
  readonly member: Member;
  readonly clusterId: bigint;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
}

export function apiBackend(options: ApiBackendOptions): ApiBackend {
  const { member, clusterId, config, clock, random, metrics } = options;
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
  const own: Omit<ApiBackend, keyof MaintenanceParts> = {
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
    txnOperationsLimit: config.maxTxnOps,
    requestLimitBytes: config.maxRequestBytes,
    progressIntervalMs: config.watchProgressNotifyIntervalMs,
    fragmentBytes: config.maxRequestBytes + REQUEST_OVERHEAD_BYTES,
    request: (command) => member.upkeep.quota.request(command),
    linearizableRead: () => server.linearizableRead(),
    whenCompacted: (revision) =>
      new Promise((resolve) => {
        member.compaction.whenCompacted(revision, resolve);
      }),
    memberChanges: member.changes,
    members: () => member.membership.list(),
    openWatchStream: (streamOptions) => member.watchable.openStream(streamOptions),
    onLeaderLost: (listener) => server.onLeaderLost(listener),
    onStateRefused: (listener) => member.stateCheck.onRefusing(listener),
  };
  // Not a spread: properties that are looked up must stay so.
  return mixed(own, maintenanceBackend(member, config, clock, metrics));
}

/** What the health endpoints ask. */
export function serverHealth(member: Member): ServerHealth {
  const { server } = member;
  return {
    alarms: () => {
      const names = member.alarms.list().map(({ kind }) => alarmName(kind));
      const raised = !member.stateCheck.refuses || names.includes('CORRUPT');
      return raised ? names : [...names, 'CORRUPT'];
    },
    hasLeader: () => server.leader !== noMember,
    isLearner: () => member.isLearner,
    repairing: () => member.repairing,
    read: (serializable) => (serializable ? Promise.resolve() : server.linearizableRead()),
    requestTimeoutMs: server.requestTimeoutMs,
  };
}

function alarmName(kind: AlarmType): AlarmName {
  switch (kind) {
    case AlarmType.nospace:
      return 'NOSPACE';
    case AlarmType.corrupt:
      return 'CORRUPT';
    default:
      return 'UNKNOWN';
  }
}
