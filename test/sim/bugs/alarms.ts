/** Mistakes with the alarms of a state that is full. */
import type { PlantedBug } from './bug.ts';

export const alarmBugs: readonly PlantedBug[] = [
  {
    id: 'alarm-cleared-alone',
    mistake: 'state',
    title: 'the leader clears an alarm in its own state, and tells nobody',
    caughtBy: 'equal-states or convergence',
    edits: [
      {
        file: 'src/server/quota.ts',
        find:
          'if (!propose(this.#appliedTerm, ' +
          'this.#command(AlarmAction.deactivate, memberId))) return;',
        replace: 'alarms().deactivate(memberId, AlarmType.nospace);',
      },
    ],
  },
  {
    id: 'alarm-not-written',
    mistake: 'state',
    title:
      'an alarm is not written to disk, so a member that starts again takes what others refuse',
    caughtBy: 'equal-states',
    edits: [
      {
        file: 'src/alarm/alarm-store.ts',
        find: '    this.#backend.put(alarmKey(alarm.memberId, alarm.kind), encodeAlarm(alarm));\n',
        replace: '',
      },
      {
        file: 'src/alarm/alarm-store.ts',
        find: '    this.#backend.delete(alarmKey(memberId, kind));\n',
        replace: '',
      },
    ],
  },
  {
    id: 'alarm-stays',
    mistake: 'state',
    title: 'the alarm of a quota clears only when nothing at all is left',
    caughtBy: 'alarm-progress or progress',
    edits: [
      {
        file: 'src/server/quota.ts',
        find: 'size > clearsAtBytes(quotaBytes)',
        replace: 'size > 0',
      },
    ],
  },
];
