/** `auth`: whether the cluster asks who calls. */
import type { Client } from '../../client/index.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments } from '../exit.ts';
import type { Session } from '../session.ts';

const noRootRole = 'etcdserver: root user does not have root role';

function refuseOperands({ operands }: CommandLine, command: string): void {
  if (operands.length === 0) return;
  throw badArguments(`auth ${command} command does not accept any arguments`);
}

/** Gives the user `root` its role, if that is all that is missing. */
async function enableWithRole({ auth }: Client): Promise<void> {
  try {
    await auth.enable();
  } catch (error) {
    if (!(error instanceof Error && error.message === noRootRole)) throw error;
    await auth.addRole('root');
    await auth.grantRole('root', 'root');
    await auth.enable();
  }
}

async function enable(line: CommandLine, session: Session): Promise<void> {
  refuseOperands(line, 'enable');
  await enableWithRole(await session.client());
  session.terminal.line('Authentication Enabled');
}

async function disable(line: CommandLine, session: Session): Promise<void> {
  refuseOperands(line, 'disable');
  const client = await session.client();
  await client.auth.disable();
  session.terminal.line('Authentication Disabled');
}

async function status(line: CommandLine, session: Session): Promise<void> {
  refuseOperands(line, 'status');
  const client = await session.client();
  const { printer } = await session.settings();
  printer.authStatus(await client.auth.status());
}

export const authCommand: CommandDefinition = {
  name: 'auth',
  usage: '<subcommand>',
  summary: 'Whether the cluster asks who calls',
  flags: [],
  commands: [
    {
      name: 'enable',
      usage: '',
      summary: 'Have the cluster ask who calls',
      description: 'There has to be a user root; it is given the role root if it has not got it.',
      examples: [{ line: 'auth enable', tells: 'every call needs --user from now on' }],
      flags: [],
      run: enable,
    },
    {
      name: 'disable',
      usage: '',
      summary: 'Have the cluster serve everybody',
      examples: [{ line: 'auth disable --user root', tells: 'asks for the password of root' }],
      flags: [],
      run: disable,
    },
    {
      name: 'status',
      usage: '',
      summary: 'Tell whether the cluster asks who calls',
      flags: [],
      run: status,
    },
  ],
};
