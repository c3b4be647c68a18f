/** What the Maintenance service needs beyond what the other services do. */
import type { Clock } from '../base/clock.ts';
import type { MaintenanceBackend } from '../api/maintenance.ts';
import { CLUSTER_VERSION, ETCD_VERSION, STORAGE_VERSION } from '../base/versions.ts';
import type { Config } from '../config/schema.ts';
import { DatabaseSnapshot } from '../schema/database-snapshot.ts';
import { hashOfState } from '../schema/database-hash.ts';
import { moveLeader } from '../server/leader-move.ts';
import type { Member } from '../server/member.ts';
import { stateSizeBytes } from '../server/state.ts';
import { noQuotaBytes } from '../server/upkeep.ts';
import type { BackendView } from '../storage/backend-view.ts';

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

export function maintenanceBackend(member: Member, config: Config, clock: Clock): OwnParts {
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
    hashOfState: async (signal) => hashOfState(await view(), signal),
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
    openDatabase: async (signal) => DatabaseSnapshot.of(await view(), signal),
  };
}
