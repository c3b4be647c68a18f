/** `put`: one key and its value, from the command line or from standard input. */
import { PutRequest } from '../../gen/rpc.ts';
import { bytesOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments } from '../exit.ts';
import { type FlagValues, off } from '../flags.ts';
import { parseInt64 } from '../go-text.ts';
import type { Session } from '../session.ts';

const needsValue = 'put command needs 1 argument and input from stdin or 2 arguments';

/**
 * The request that arguments and flags of `put` mean, in a txn too.
 *
 * @param input asked for the value if there is no argument for it
 */
export async function putRequest(
  operands: readonly string[],
  flags: FlagValues,
  input: () => Promise<Uint8Array>,
): Promise<PutRequest> {
  const [key, value] = operands;
  if (key === undefined) throw badArguments(needsValue);
  const ignoreValue = flags.boolean('ignore-value');
  if (ignoreValue && value !== undefined) {
    throw badArguments("put command needs only 1 argument when 'ignore-value' is set");
  }
  let bytes = value === undefined ? new Uint8Array() : bytesOf(value);
  if (value === undefined && !ignoreValue) {
    bytes = await input();
    if (bytes.length === 0) throw badArguments(needsValue);
  }
  const lease = parseInt64(flags.text('lease'), 16);
  if ('error' in lease) throw badArguments(`bad lease ID (${lease.error}), expecting ID in Hex`);
  return PutRequest.create({
    key: bytesOf(key),
    value: bytes,
    lease: lease.value,
    prevKv: flags.boolean('prev-kv'),
    ignoreValue,
    ignoreLease: flags.boolean('ignore-lease'),
  });
}

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const request = await putRequest(operands, flags, () => session.terminal.readAll());
  const client = await session.client();
  const { printer } = await session.settings();
  printer.put(await client.put(request));
}

export const putCommand: CommandDefinition = {
  name: 'put',
  usage: '[options] <key> [value]',
  summary: 'Set the value of a key',
  description:
    'Without [value], the value is what standard input has, line ends included.\n' +
    "A key or value that begins with '-' goes behind '--'.",
  examples: [
    { line: 'put greeting hello', tells: 'sets a value' },
    { line: 'put config/app < app.yaml', tells: 'stores a file' },
    { line: 'put -- offset -5', tells: 'a value that looks like a flag' },
    { line: 'put greeting hi --prev-kv', tells: 'also prints what was there before' },
    { line: 'put lock me --lease 32695410dcc0ca06', tells: 'goes away with the lease' },
  ],
  flags: [
    { name: 'lease', type: 'string', fallback: '0', help: 'lease id in hex, to attach the key to' },
    { ...off, name: 'prev-kv', help: 'print the key and value from before, too' },
    { ...off, name: 'ignore-value', help: 'keep the value that the key has' },
    { ...off, name: 'ignore-lease', help: 'keep the lease that the key has' },
  ],
  run,
};
