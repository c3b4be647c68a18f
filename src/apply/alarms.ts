/** What alarms forbid, and how they come and go (etcd: applierV3Capped, applierV3Corrupt). */
import type { Alarm, AlarmStore } from '../alarm/alarm-store.ts';
import type { EtcdErrorName } from '../base/errors.ts';
import type { LoggedAlarm } from '../gen/raft-internal.ts';
import { AlarmAction, type AlarmResponse, AlarmType } from '../gen/rpc.ts';
import { spaceCostBytes } from './cost.ts';
import { revisionHeader } from './range.ts';
import type { Command } from './request.ts';

/**
 * Why a logged command is not carried out. Equal on all members, as it depends on the state alone:
 * what was proposed before an alarm but comes after it in the log is refused as well.
 */
export function refusalUnderAlarms(
  alarms: Pick<AlarmStore, 'size' | 'has'>,
  command: Command,
): EtcdErrorName | undefined {
  if (alarms.size === 0) return undefined;
  if (alarms.has(AlarmType.corrupt) && changesKeysOrLeases(command)) return 'corrupt';
  if (alarms.has(AlarmType.nospace) && spaceCostBytes(command) > 0) return 'noSpace';
  return undefined;
}

function changesKeysOrLeases(command: Command): boolean {
  switch (command.case) {
    case 'put':
    case 'deleteRange':
    case 'txn':
    case 'compaction':
    case 'leaseGrant':
    case 'leaseRevoke':
      return true;
    case 'leaseCheckpoint':
    case 'alarm':
    case 'downgradeInfoSet':
    case 'clusterProtocolSet':
    case 'clusterMemberAttrSet':
      return false;
  }
}

/** Kinds are not checked, as in etcd; that of none, and actions that nobody knows, do nothing. */
export function applyAlarm(
  alarms: AlarmStore,
  { action, memberId, alarm, quotaBytes }: LoggedAlarm,
  revision: number,
): AlarmResponse {
  const kind = alarm as AlarmType;
  let changed: Alarm | undefined;
  if (action === AlarmAction.activate && kind !== AlarmType.none) {
    changed = alarms.activate({ memberId, kind, quotaBytes });
  } else if (action === AlarmAction.deactivate) {
    changed = alarms.deactivate(memberId, kind);
  }
  return {
    header: revisionHeader(revision),
    alarms: changed === undefined ? [] : [{ memberId, alarm: kind }],
  };
}
