/** `member`: who is in the cluster, and how that changes. */
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments, ExitCode, ExitError } from '../exit.ts';
import { causeOf, failureText } from '../failure.ts';
import type { FlagDefinition } from '../flags.ts';
import { parseUint64 } from '../go-text.ts';
import type { Session } from '../session.ts';
import { consistencyFlag, isSerializable } from './get.ts';

const peerUrlsFlag: FlagDefinition = {
  name: 'peer-urls',
  type: 'string',
  fallback: '',
  help: 'comma-separated URLs under which the other members reach it',
};

async function list({ flags }: CommandLine, session: Session): Promise<void> {
  const linearizable = !isSerializable(flags);
  const client = await session.client();
  const { printer } = await session.settings();
  printer.memberList(await client.memberList({ linearizable }));
}

async function add({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [name] = operands;
  if (name === undefined) throw badArguments('member name not provided');
  if (operands.length > 1) throw badArguments('too many arguments');
  const urlsText = flags.text('peer-urls');
  if (urlsText === '') throw badArguments('member peer urls not provided');
  const peerUrls = urlsText.split(',');
  checkUrls(peerUrls);
  const client = await session.client();
  const { printer } = await session.settings();
  const isLearner = flags.boolean('learner');
  const response = await answered(session, client.memberAdd({ peerUrls, isLearner }));
  printer.memberAdd(response);
  if (printer.format !== 'simple') return;
  const { member, members } = response;
  const founders = members.flatMap(({ id, name: known, peerUrls: urls }) =>
    urls.map((url) => `${id === member?.id ? name : known}=${url}`),
  );
  const { terminal } = session;
  terminal.line();
  terminal.line(`ETCD_NAME=${JSON.stringify(name)}`);
  terminal.line(`ETCD_INITIAL_CLUSTER=${JSON.stringify(founders.join(','))}`);
  terminal.line(`ETCD_INITIAL_ADVERTISE_PEER_URLS=${JSON.stringify(urlsText)}`);
  terminal.line('ETCD_INITIAL_CLUSTER_STATE="existing"');
}

async function remove({ operands }: CommandLine, session: Session): Promise<void> {
  const id = memberOf(operands);
  const client = await session.client();
  const { printer } = await session.settings();
  printer.memberRemove(id, await answered(session, client.memberRemove(id)));
}

async function update({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const id = memberOf(operands);
  if (flags.text('peer-urls') === '') throw badArguments('member peer urls not provided');
  const client = await session.client();
  const { printer } = await session.settings();
  const request = { id, peerUrls: flags.text('peer-urls').split(',') };
  printer.memberUpdate(id, await answered(session, client.memberUpdate(request)));
}

async function promote({ operands }: CommandLine, session: Session): Promise<void> {
  const id = memberOf(operands);
  const client = await session.client();
  const { printer } = await session.settings();
  printer.memberPromote(id, await answered(session, client.memberPromote(id)));
}

function memberOf(operands: readonly string[]): bigint {
  const [text] = operands;
  if (text === undefined || operands.length !== 1) throw badArguments('member ID is not provided');
  const id = parseUint64(text, 16);
  if ('error' in id) throw badArguments(`bad member ID arg (${id.error}), expecting ID in Hex`);
  return id.value;
}

/** As etcd's client does, before anything is sent. */
function checkUrls(urls: readonly string[]): void {
  const schemes = ['http', 'https', 'unix', 'unixs'];
  for (const url of urls) {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url.trim())?.[1]?.toLowerCase() ?? '';
    if (!schemes.includes(scheme)) {
      const text = `URL scheme must be http, https, unix, or unixs: ${url.trim()}`;
      throw new ExitError(ExitCode.error, text);
    }
  }
}

async function answered<Answer>(session: Session, call: Promise<Answer>): Promise<Answer> {
  try {
    return await call;
  } catch (error) {
    const cause = causeOf(error, session.endpoints);
    throw new ExitError(ExitCode.error, failureText(error), cause);
  }
}

export const memberCommand: CommandDefinition = {
  name: 'member',
  usage: '<subcommand>',
  summary: 'Members of the cluster',
  flags: [],
  commands: [
    {
      name: 'add',
      usage: '<name> [options]',
      summary: 'Add a member to the cluster',
      description:
        'Prints the settings that the new member is to be started with, on an empty data\n' +
        'directory. A learner gets all data and has no vote, until it is promoted.',
      examples: [
        { line: 'member add d --peer-urls=http://10.0.0.4:2380', tells: 'adds a voter' },
        {
          line: 'member add d --peer-urls=http://10.0.0.4:2380 --learner',
          tells: 'without a vote',
        },
      ],
      flags: [
        peerUrlsFlag,
        {
          name: 'learner',
          type: 'boolean',
          fallback: 'false',
          help: 'add it without a vote',
        },
      ],
      run: add,
    },
    {
      name: 'remove',
      usage: '<member ID>',
      summary: 'Remove a member from the cluster, for ever',
      examples: [{ line: 'member remove 8e9e05c52164694d', tells: 'it ends, and cannot return' }],
      flags: [],
      run: remove,
    },
    {
      name: 'update',
      usage: '<member ID> [options]',
      summary: 'Tell the members where another one is reached by now',
      examples: [
        {
          line: 'member update 8e9e05c52164694d --peer-urls=http://10.0.0.9:2380',
          tells: 'its new address',
        },
      ],
      flags: [peerUrlsFlag],
      run: update,
    },
    {
      name: 'promote',
      usage: '<member ID>',
      summary: 'Give a learner that has caught up a vote',
      examples: [{ line: 'member promote 9a070b5fe08532ee', tells: 'it votes from now on' }],
      flags: [],
      run: promote,
    },
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
