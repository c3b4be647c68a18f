/** `endpoint`: health, state and hash of members, each asked by itself. */
import type { Client } from '../../client/index.ts';
import { StatusCode } from '../../base/errors.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { endpointsFrom, noEndpoints } from '../connection.ts';
import { ExitCode, ExitError } from '../exit.ts';
import { causeOf, failureText } from '../failure.ts';
import { off } from '../flags.ts';
import { formatNanoseconds } from '../go-text.ts';
import type { EndpointHash, EndpointHealth, EndpointStatus } from '../printers/printer.ts';
import type { Session } from '../session.ts';

/** The endpoints of the command line or, with --cluster, those that all members advertise. */
export async function endpointsOf(
  { flags }: CommandLine,
  session: Session,
): Promise<readonly string[]> {
  await session.settings();
  if (!flags.boolean('cluster')) return endpointsFrom(flags);
  const client = await session.client();
  try {
    const { members } = await client.memberList();
    return members.flatMap(({ clientUrls }) => clientUrls);
  } catch (error) {
    throw new ExitError(
      ExitCode.error,
      `failed to fetch endpoints from etcd cluster member list: ${failureText(error)}`,
      causeOf(error, client.endpoints),
    );
  }
}

/** Alarms that a member tells of: in its status they read `memberID:1 alarm:NOSPACE `. */
function alarmsIn(errors: readonly string[]): string[] {
  return errors.flatMap((error) => /\balarm:\s?(\w+)/.exec(error)?.[1] ?? []);
}

const isDenied = (error: unknown): boolean =>
  (error as { code?: StatusCode }).code === StatusCode.permissionDenied;

async function healthOf(client: Client, endpoint: string): Promise<EndpointHealth> {
  const started = process.hrtime.bigint();
  let failure: unknown;
  try {
    await client.range({ key: 'health' });
  } catch (error) {
    // Who may not read the key was refused by a cluster that works.
    if (!isDenied(error)) failure = error;
  }
  const took = formatNanoseconds(process.hrtime.bigint() - started);
  if (failure !== undefined) {
    return { endpoint, isHealthy: false, took, error: failureText(failure) };
  }
  try {
    const { errors } = await client.status(endpoint);
    const alarms = alarmsIn(errors);
    const error = alarms.length === 0 ? '' : `Active Alarm(s): ${alarms.join(' ')} `;
    return { endpoint, isHealthy: error === '', took, error };
  } catch {
    return { endpoint, isHealthy: false, took, error: 'Unable to fetch the alarm list' };
  }
}

async function health(line: CommandLine, session: Session): Promise<void> {
  const endpoints = await endpointsOf(line, session);
  const list: EndpointHealth[] = [];
  await Promise.all(
    endpoints.map(async (endpoint) => {
      const client = await session.client([endpoint]);
      // In the order in which they answer: the dead ones come last.
      list.push(await healthOf(client, endpoint));
    }),
  );
  const { printer } = await session.settings();
  printer.endpointHealth(list);
  if (list.some(({ error }) => error !== '')) {
    throw new ExitError(ExitCode.error, 'unhealthy cluster');
  }
}

/** Asks one endpoint after the other; those that do not answer are told on standard error. */
async function askAll<T>(
  line: CommandLine,
  session: Session,
  what: string,
  ask: (client: Client, endpoint: string) => Promise<T>,
): Promise<{ readonly answers: readonly T[]; readonly failure: unknown }> {
  const endpoints = await endpointsOf(line, session);
  if (endpoints.length === 0) throw noEndpoints();
  const answers: T[] = [];
  let failure: unknown;
  for (const endpoint of endpoints) {
    try {
      answers.push(await ask(await session.client([endpoint]), endpoint));
    } catch (error) {
      if (error instanceof ExitError) throw error;
      failure = error;
      const text = failureText(error);
      session.terminal.warn(`Failed to get the ${what} of endpoint ${endpoint} (${text})`);
    }
  }
  return { answers, failure };
}

async function status(line: CommandLine, session: Session): Promise<void> {
  const { answers, failure } = await askAll<EndpointStatus>(
    line,
    session,
    'status',
    async (client, endpoint) => ({ endpoint, status: await client.status(endpoint) }),
  );
  const { printer } = await session.settings();
  printer.endpointStatus(answers);
  if (failure !== undefined) throw new ExitError(ExitCode.error, '');
}

async function hashkv(line: CommandLine, session: Session): Promise<void> {
  const revision = line.flags.number('rev');
  const { answers, failure } = await askAll<EndpointHash>(
    line,
    session,
    'hash',
    async (client, endpoint) => ({ endpoint, hash: await client.hashKV(endpoint, { revision }) }),
  );
  const { printer } = await session.settings();
  printer.endpointHash(answers);
  if (failure !== undefined) throw new ExitError(ExitCode.error, failureText(failure));
}

export const endpointCommand: CommandDefinition = {
  name: 'endpoint',
  usage: '<subcommand>',
  summary: 'Members, each asked by itself',
  flags: [
    {
      ...off,
      name: 'cluster',
      help: 'ask all members, not only those that --endpoints names',
    },
  ],
  commands: [
    {
      name: 'health',
      usage: '[options]',
      summary: 'Tell which endpoints serve requests',
      description: 'Reads through the cluster at each endpoint. Exit code 1 if one of them fails.',
      examples: [{ line: 'endpoint health --cluster', tells: 'of every member' }],
      flags: [],
      run: health,
    },
    {
      name: 'status',
      usage: '[options]',
      summary: 'Tell version, size, leader and progress of each endpoint',
      description:
        'In the format simple, a line has, separated by commas: endpoint, ID, version, storage\n' +
        'version, db size, in use, percentage not in use, quota, is leader, is learner, raft\n' +
        'term, raft index, raft applied index, errors, downgrade target version, downgrade\n' +
        'enabled.',
      examples: [
        { line: 'endpoint status --cluster -w table', tells: 'of every member, for eyes' },
        { line: 'endpoint status -w json', tells: 'for programs' },
      ],
      flags: [],
      run: status,
    },
    {
      name: 'hashkv',
      usage: '[options]',
      summary: 'Print the hash of all keys and values at each endpoint',
      description: 'At one revision, members of a sound cluster print the same hash.',
      examples: [{ line: 'endpoint hashkv --cluster --rev 42', tells: 'compares all members' }],
      flags: [
        { name: 'rev', type: 'integer', fallback: '0', help: 'up to this revision; 0 is all' },
      ],
      run: hashkv,
    },
  ],
};
