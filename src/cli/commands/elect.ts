/** `elect`: takes part in the election of a leader, or tells who leads. */
import type { Client } from '../../client/index.ts';
import { RangeResponse } from '../../gen/rpc.ts';
import { bytesOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments, ExitCode, ExitError } from '../exit.ts';
import { causeOf, failureText } from '../failure.ts';
import { off } from '../flags.ts';
import { anyAborted, untilInterrupted } from '../interruption.ts';
import type { Session } from '../session.ts';

const takes = 'elect takes one election name argument and an optional proposal argument';

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [name, proposal] = operands;
  if (name === undefined || operands.length > 2) throw badArguments(takes);
  const listens = flags.boolean('listen');
  if (proposal === undefined && !listens) {
    throw badArguments('no proposal argument but -l not set');
  }
  if (proposal !== undefined && listens) throw badArguments('proposal given but -l is set');
  const client = await session.client();
  await untilInterrupted((signal) =>
    proposal === undefined
      ? observe(client, name, session, signal)
      : campaign(client, name, proposal, session, signal),
  );
}

async function observe(
  client: Client,
  name: string,
  session: Session,
  signal: AbortSignal,
): Promise<void> {
  const { printer } = await session.settings();
  try {
    for await (const { header, kv } of client.observe(bytesOf(name), { signal })) {
      printer.range(RangeResponse.create({ header, kvs: [kv] }));
      await session.terminal.flush();
    }
  } catch (error) {
    if (signal.aborted) return;
    session.terminal.warn(causeOf(error, session.endpoints) ?? failureText(error));
    throw new ExitError(ExitCode.error, 'elect: observer lost');
  }
}

/** Waits until it is elected, says so, and leads until this program is told to end. */
async function campaign(
  client: Client,
  name: string,
  proposal: string,
  session: Session,
  signal: AbortSignal,
): Promise<void> {
  const { printer } = await session.settings();
  const waiting = client.campaign(bytesOf(name), bytesOf(proposal), { signal });
  const leadership = await waiting.catch((error: unknown) => {
    const isLost = error instanceof Error && error.message === 'mutex: session is expired';
    throw isLost ? new ExitError(ExitCode.error, 'elect: session expired') : error;
  });
  printer.range(await client.range({ key: leadership.key }, { signal }));
  await session.terminal.flush();
  await anyAborted(signal, leadership.lost);
  if (!signal.aborted) throw new ExitError(ExitCode.error, 'elect: session expired');
  await leadership.resign();
}

export const electCommand: CommandDefinition = {
  name: 'elect',
  usage: '[options] <election name> [proposal]',
  summary: 'Take part in the election of a leader, or watch it',
  description:
    'With a proposal, waits until it is elected, prints its key and proposal, and leads until\n' +
    'it is interrupted. With --listen, prints who leads and every change of that, until then.',
  examples: [
    { line: 'elect primary 10.0.0.1:5432', tells: 'leads, or waits for that' },
    { line: 'elect --listen primary', tells: 'prints who leads' },
  ],
  flags: [{ ...off, name: 'listen', short: 'l', help: 'tell who leads' }],
  run,
};
