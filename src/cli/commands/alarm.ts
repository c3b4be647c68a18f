/** `alarm`: what the cluster refuses, and why. */
import type { AlarmMember } from '../../gen/rpc.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments } from '../exit.ts';
import type { Session } from '../session.ts';

function refuseOperands({ operands }: CommandLine, command: string): void {
  if (operands.length !== 0) throw badArguments(`alarm ${command} command accepts no arguments`);
}

async function list(line: CommandLine, session: Session): Promise<void> {
  refuseOperands(line, 'list');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.alarms(await client.alarms());
}

/** One after the other; the answer is that of all, and has no header of its own. */
async function disarm(line: CommandLine, session: Session): Promise<void> {
  refuseOperands(line, 'disarm');
  const client = await session.client();
  const { printer } = await session.settings();
  const cleared: AlarmMember[] = [];
  for (const { memberId, alarm } of (await client.alarms()).alarms) {
    cleared.push(...(await client.disarm(memberId, alarm)).alarms);
  }
  printer.alarms({ header: undefined, alarms: cleared });
}

export const alarmCommand: CommandDefinition = {
  name: 'alarm',
  usage: '<subcommand>',
  summary: 'Alarms, under which the cluster refuses writes',
  flags: [],
  commands: [
    {
      name: 'list',
      usage: '',
      summary: 'List the alarms',
      description:
        'NOSPACE: the quota is used up. Delete keys and compact, and it clears by itself.\n' +
        'CORRUPT: members have different data.',
      flags: [],
      run: list,
    },
    {
      name: 'disarm',
      usage: '',
      summary: 'Clear all alarms',
      flags: [],
      run: disarm,
    },
  ],
};
