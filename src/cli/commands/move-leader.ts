/** `move-leader`: has the leader hand over to another member. */
import type { CommandDefinition, CommandLine } from '../command.ts';
import { endpointsFrom, noEndpoints } from '../connection.ts';
import { badArguments, ExitCode, ExitError } from '../exit.ts';
import { parseUint64 } from '../go-text.ts';
import type { Session } from '../session.ts';

interface Leader {
  readonly endpoint: string;
  readonly id: bigint;
}

/** The leader among the endpoints: only it can hand over. */
async function leaderOf(endpoints: readonly string[], session: Session): Promise<Leader> {
  for (const endpoint of endpoints) {
    const client = await session.client([endpoint]);
    const { header, leader } = await client.status(endpoint);
    if (header?.memberId === leader) return { endpoint, id: leader };
  }
  throw new ExitError(
    ExitCode.badArguments,
    `no leader endpoint given at [${endpoints.join(' ')}]`,
    '`endpoint status --cluster` tells who leads: name it with --endpoints.',
  );
}

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [text] = operands;
  if (text === undefined || operands.length !== 1) {
    throw badArguments('move-leader command needs 1 argument');
  }
  const target = parseUint64(text, 16);
  if ('error' in target) throw new ExitError(ExitCode.badArguments, target.error);
  const { printer } = await session.settings();
  const endpoints = endpointsFrom(flags);
  if (endpoints.length === 0) throw noEndpoints();
  const leader = await leaderOf(endpoints, session);
  const client = await session.client([leader.endpoint]);
  const response = await client.moveLeader(leader.endpoint, target.value);
  printer.moveLeader(leader.id, target.value, response);
}

export const moveLeaderCommand: CommandDefinition = {
  name: 'move-leader',
  usage: '<member id>',
  summary: 'Hand leadership over to another member',
  description: '--endpoints must name the leader, or all members. `member list` prints their ids.',
  examples: [{ line: 'move-leader 8e9e05c52164694d', tells: 'makes this member the leader' }],
  flags: [],
  run,
};
