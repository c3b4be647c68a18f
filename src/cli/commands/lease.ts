/** `lease`: grants of time that keys can hang on. */
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments, ExitCode, ExitError } from '../exit.ts';
import { causeOf, failureText } from '../failure.ts';
import { off } from '../flags.ts';
import { clampToNumber, paddedHex, parseInt64 } from '../go-text.ts';
import type { Session } from '../session.ts';

/** The only operand; `otherwise` is told if there is none, or more. */
function onlyOperand({ operands }: CommandLine, otherwise: string): string {
  const [text] = operands;
  if (text === undefined || operands.length !== 1) throw badArguments(otherwise);
  return text;
}

function leaseOf(line: CommandLine, otherwise: string): bigint {
  const id = parseInt64(onlyOperand(line, otherwise), 16);
  if ('error' in id) throw badArguments(`bad lease ID arg (${id.error}), expecting ID in Hex`);
  return id.value;
}

/** The answer to a call, or the end of the command with etcdctl's code for it. */
async function answered<Answer>(
  session: Session,
  call: Promise<Answer>,
  code: ExitCode,
  textOf: (text: string) => string = (text) => text,
): Promise<Answer> {
  try {
    return await call;
  } catch (error) {
    throw new ExitError(code, textOf(failureText(error)), causeOf(error, session.endpoints));
  }
}

async function grant(line: CommandLine, session: Session): Promise<void> {
  const ttl = parseInt64(onlyOperand(line, 'lease grant command needs TTL argument'), 10);
  if ('error' in ttl) throw badArguments(`bad TTL (${ttl.error})`);
  const client = await session.client();
  const { printer } = await session.settings();
  const granted = client.grant(clampToNumber(ttl.value));
  const told = (text: string): string => `failed to grant lease (${text})`;
  printer.grant(await answered(session, granted, ExitCode.error, told));
}

async function revoke(line: CommandLine, session: Session): Promise<void> {
  const id = leaseOf(line, 'lease revoke command needs 1 argument');
  const client = await session.client();
  const { printer } = await session.settings();
  const told = (text: string): string => `failed to revoke lease (${text})`;
  printer.revoke(id, await answered(session, client.revoke(id), ExitCode.error, told));
}

async function timeToLive(line: CommandLine, session: Session): Promise<void> {
  const id = leaseOf(line, 'lease timetolive command needs lease ID as argument');
  const keys = line.flags.boolean('keys');
  const client = await session.client();
  const { printer } = await session.settings();
  const asked = client.timeToLive(id, { keys });
  printer.timeToLive(await answered(session, asked, ExitCode.badConnection), keys);
}

async function list(_line: CommandLine, session: Session): Promise<void> {
  const client = await session.client();
  const { printer } = await session.settings();
  printer.leases(await answered(session, client.leases(), ExitCode.badConnection));
}

async function keepAlive(line: CommandLine, session: Session): Promise<void> {
  const id = leaseOf(line, 'lease keep-alive command needs lease ID as argument');
  const client = await session.client();
  const { printer } = await session.settings();
  if (line.flags.boolean('once')) {
    printer.keepAlive(await answered(session, client.keepAliveOnce(id), ExitCode.badConnection));
    return;
  }
  const renewals = client.keepAlive(id);
  for (;;) {
    const { done, value } = await answered(session, renewals.next(), ExitCode.badConnection);
    if (done === true) break;
    printer.keepAlive(value);
  }
  // Other formats have no words for it.
  if (printer.format === 'simple') {
    session.terminal.line(`lease ${paddedHex(id)} expired or revoked.`);
  }
}

export const leaseCommand: CommandDefinition = {
  name: 'lease',
  usage: '<subcommand>',
  summary: 'Leases: keys that go away by themselves',
  flags: [],
  commands: [
    {
      name: 'grant',
      usage: '<ttl>',
      summary: 'Grant a lease of some seconds',
      description: 'Prints its id, which `put --lease` takes. The server has a shortest time.',
      examples: [{ line: 'lease grant 60', tells: 'a lease of one minute' }],
      flags: [],
      run: grant,
    },
    {
      name: 'revoke',
      usage: '<lease id>',
      summary: 'End a lease, and delete the keys that hang on it',
      examples: [{ line: 'lease revoke 32695410dcc0ca06', tells: 'ends it now' }],
      flags: [],
      run: revoke,
    },
    {
      name: 'timetolive',
      usage: '[options] <lease id>',
      summary: 'Tell what a lease has left',
      examples: [{ line: 'lease timetolive 32695410dcc0ca06 --keys', tells: 'and its keys' }],
      flags: [{ ...off, name: 'keys', help: 'print the keys that hang on it, too' }],
      run: timeToLive,
    },
    {
      name: 'list',
      usage: '',
      summary: 'List the leases',
      flags: [],
      run: list,
    },
    {
      name: 'keep-alive',
      usage: '[options] <lease id>',
      summary: 'Renew a lease until it is gone',
      description: 'Renews it three times in its time, and prints a line for each.',
      examples: [{ line: 'lease keep-alive 32695410dcc0ca06 --once', tells: 'renews it once' }],
      flags: [{ ...off, name: 'once', help: 'renew it once and end' }],
      run: keepAlive,
    },
  ],
};
