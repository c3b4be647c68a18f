/** `del`: removes a key or a range of keys. */
import { setTimeout as delay } from 'node:timers/promises';
import { DeleteRangeRequest } from '../../gen/rpc.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments } from '../exit.ts';
import { type FlagValues, off } from '../flags.ts';
import { quote } from '../go-text.ts';
import type { Session } from '../session.ts';
import type { Terminal } from '../terminal.ts';
import { checkRange, rangeOf } from './get.ts';

/** Time to think better of deleting a range, in milliseconds; etcdctl's. */
const reconsiderMs = 2000;

/** The request that arguments and flags of `del` mean, in a txn too. */
export async function deleteRequest(
  operands: readonly string[],
  flags: FlagValues,
  terminal: Terminal,
): Promise<DeleteRangeRequest> {
  const [key = '', end] = operands;
  if (operands.length === 0 || operands.length > 2) {
    throw badArguments(
      'del command needs one argument as key and an optional argument as range_end',
    );
  }
  checkRange(operands, flags);
  if (end !== undefined && !flags.boolean('range')) {
    terminal.warn(
      `Warning: Keys between ${quote(key)} and ${quote(end)} will be deleted. ` +
        'Please interrupt the command within next 2 seconds to cancel. ' +
        'You can provide `--range` flag to avoid the delay.',
    );
    await delay(reconsiderMs);
  }
  return DeleteRangeRequest.create({
    ...rangeOf(operands, flags),
    prevKv: flags.boolean('prev-kv'),
  });
}

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const request = await deleteRequest(operands, flags, session.terminal);
  const client = await session.client();
  const { printer } = await session.settings();
  printer.deleteRange(await client.delete(request));
}

export const delCommand: CommandDefinition = {
  name: 'del',
  usage: '[options] <key> [range_end]',
  summary: 'Remove a key or a range of keys',
  description:
    'Prints how many were removed. A range goes from <key> up to but without [range_end].',
  examples: [
    { line: 'del greeting', tells: 'one key' },
    { line: 'del --prefix config/', tells: 'all keys below config/' },
    { line: 'del --range a m', tells: 'keys from a up to but without m, at once' },
    { line: 'del greeting --prev-kv', tells: 'also prints what was removed' },
  ],
  flags: [
    { ...off, name: 'prefix', help: 'all keys that begin with <key>' },
    { ...off, name: 'prev-kv', help: 'print the removed keys and values, too' },
    { ...off, name: 'from-key', help: 'all keys from <key> on, in the order of bytes' },
    { ...off, name: 'range', help: 'remove a range without the wait of two seconds' },
  ],
  run,
};
