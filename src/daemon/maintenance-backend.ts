/** What the Maintenance service needs beyond what the other services do. */
import type { Clock } from '../base/clock.ts';
import type { Histogram, Metrics } from '../base/metrics.ts';
import type { MaintenanceBackend, RevisionHash } from '../api/maintenance.ts';
import { CLUSTER_VERSION, ETCD_VERSION, STORAGE_VERSION } from '../base/versions.ts';
import type { Config } from '../config/schema.ts';
import { DatabaseSnapshot } from '../schema/database-snapshot.ts';
import { hashOfState } from '../schema/database-hash.ts';
import { moveLeader } from '../server/leader-move.ts';
import type { Member } from '../server/member.ts';
import { stateSizeBytes } from '../server/state.ts';
import { noQuotaBytes } from '../server/upkeep.ts';
import type { BackendView } from '../storage/backend-view.ts';
import { snapshotTimer } from '../storage/disk-metrics.ts';

type OwnParts = Omit<
  MaintenanceBackend,
  | 'headerSource'
  | 'leader'
  | 'committedIndex'
  | 'appliedIndex'
  | 'term'
  | 'isLearner'
  | 'request'
  | 'linearizableRead'
>;

/** Seconds: from 10 ms to 164 s, as etcd has them. */
const hashBuckets = Array.from({ length: 15 }, (_, i) => 0.01 * 2 ** i);

/** @returns runs what makes a hash, and measures it if it comes to one */
function hashTimer(clock: Clock, took: Histogram) {
  return async <Hash>(run: () => Promise<Hash>): Promise<Hash> => {
    const startMs = clock.monotonicMs();
    const hash = await run();
    took.observe((clock.monotonicMs() - startMs) / 1000);
    return hash;
  };
}

export function maintenanceBackend(
  member: Member,
  config: Config,
  clock: Clock,
  metrics: Metrics,
): OwnParts {
  const beginSnapshot = snapshotTimer(clock, metrics);
  const timed = (name: string, help: string) =>
    hashTimer(clock, metrics.histogram(name, help, hashBuckets)());
  const timedHash = timed('etcd_mvcc_hash_duration_seconds', 'Time to hash the whole state.');
  const timedRevisionHash = timed(
    'etcd_mvcc_hash_rev_duration_seconds',
    'Time to hash the keys up to a revision.',
  );
  const view = (): Promise<BackendView> =>
    new Promise((resolve, reject) => {
      member.openStateView((error, opened) => {
        if (opened === undefined) reject(error ?? new Error('no view'));
        else resolve(opened);
      });
    });
  return {
    get sizeBytes() {
      return stateSizeBytes(member);
    },
    get sizeInUseBytes() {
      return stateSizeBytes(member);
    },
    quotaBytes: config.quotaBackendBytes ?? noQuotaBytes,
    version: ETCD_VERSION,
    storageVersion: STORAGE_VERSION,
    clusterVersion: CLUSTER_VERSION,
    get downgradeInfo() {
      return member.downgrade.info;
    },
    alarms: (kind) => member.alarms.list(kind),
    moveLeader: (target) => moveLeader(member, target, { clock, heartbeatMs: config.heartbeatMs }),
    defragment: () =>
      new Promise((resolve, reject) => {
        member.defragment((error) => {
          if (error === undefined) resolve();
          else reject(error);
        });
      }),
    hashOfState: (signal) => timedHash(async () => hashOfState(await view(), signal)),
    hashByRevision: (revision) => timedRevisionHash(() => hashByRevision(member, revision)),
    openDatabase: async (signal) => {
      const opened = await view();
      const endTiming = beginSnapshot();
      const file = await DatabaseSnapshot.of(opened, signal);
      return {
        sizeBytes: file.sizeBytes,
        pages: () => file.pages(),
        close: () => {
          file.close();
          endTiming();
        },
      };
    },
  };
}

function hashByRevision(member: Member, revision: number): Promise<RevisionHash> {
  return new Promise((resolve, reject) => {
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
  });
}
