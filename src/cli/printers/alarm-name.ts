/** Alarms by their names in etcd's protocol. */
import { AlarmType } from '../../gen/rpc.ts';

const names: Readonly<Record<number, string>> = {
  [AlarmType.none]: 'NONE',
  [AlarmType.nospace]: 'NOSPACE',
  [AlarmType.corrupt]: 'CORRUPT',
};

/** The number of a kind that has no name. */
export function alarmName(kind: AlarmType): string {
  return names[kind] ?? String(kind);
}
