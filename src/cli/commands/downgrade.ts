/** `downgrade`: the way back to an earlier version, step by step. */
import { DowngradeAction } from '../../gen/rpc.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments } from '../exit.ts';
import type { DowngradeStep } from '../printers/printer.ts';
import type { Session } from '../session.ts';

function targetOf({ operands }: CommandLine): string {
  const [version, more] = operands;
  if (version === undefined) throw badArguments('TARGET_VERSION not provided');
  if (more !== undefined) throw badArguments('too many arguments');
  if (version === '') throw badArguments('target version not provided');
  return version;
}

async function run(step: DowngradeStep, version: string, session: Session): Promise<void> {
  const client = await session.client();
  const { printer } = await session.settings();
  printer.downgrade(step, await client.downgrade(DowngradeAction[step], version));
}

export const downgradeCommand: CommandDefinition = {
  name: 'downgrade',
  usage: '<subcommand>',
  summary: 'Prepare the cluster for an earlier version',
  flags: [],
  commands: [
    {
      name: 'validate',
      usage: '<target version>',
      summary: 'Tell whether the cluster may go back to a version',
      examples: [{ line: 'downgrade validate 3.5', tells: 'asks, and changes nothing' }],
      flags: [],
      run: (line, session) => run('validate', targetOf(line), session),
    },
    {
      name: 'enable',
      usage: '<target version>',
      summary: 'Begin the downgrade',
      flags: [],
      run: (line, session) => run('enable', targetOf(line), session),
    },
    {
      name: 'cancel',
      usage: '',
      summary: 'Give the downgrade up',
      flags: [],
      run: (_line, session) => run('cancel', '', session),
    },
  ],
};
