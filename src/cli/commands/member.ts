/** `member list`: who is in the cluster. */
import type { CommandDefinition, CommandLine } from '../command.ts';
import type { Session } from '../session.ts';
import { consistencyFlag, isSerializable } from './get.ts';

async function list({ flags }: CommandLine, session: Session): Promise<void> {
  const linearizable = !isSerializable(flags);
  const client = await session.client();
  const { printer } = await session.settings();
  printer.memberList(await client.memberList({ linearizable }));
}

export const memberCommand: CommandDefinition = {
  name: 'member',
  usage: '<subcommand>',
  summary: 'Members of the cluster',
  flags: [],
  commands: [
    {
      name: 'list',
      usage: '[options]',
      summary: 'List the members of the cluster',
      description:
        'In the format simple, a line has, separated by commas: ID, status, name, peer\n' +
        'addresses, client addresses, and whether the member is a learner.',
      examples: [
        { line: 'member list -w table', tells: 'for eyes' },
        { line: 'member list -w json --hex', tells: 'for programs, ids as in other commands' },
      ],
      flags: [consistencyFlag],
      run: list,
    },
  ],
};
