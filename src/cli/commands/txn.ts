/** `txn`: comparisons and operations from standard input, as one transaction. */
import type { Compare, RequestOp } from '../../gen/rpc.ts';
import { textOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { ExitCode, ExitError, badArguments } from '../exit.ts';
import { off } from '../flags.ts';
import type { Session } from '../session.ts';

/** Reads one part of a transaction, up to its empty line. */
async function readPart<T>(
  lines: AsyncIterator<Uint8Array>,
  parse: (line: string) => T | Promise<T>,
): Promise<T[]> {
  const parts: T[] = [];
  for (;;) {
    const next = await lines.next();
    if (next.done === true) {
      throw new ExitError(
        ExitCode.invalidInput,
        'EOF',
        'Each of the three parts of a transaction ends with an empty line.',
      );
    }
    const line = textOf(next.value).trim();
    if (line === '') return parts;
    parts.push(await parse(line));
  }
}

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  if (operands.length !== 0) throw badArguments('txn command does not accept argument');
  const { parseCompare, parseOperation } = await import('../txn-grammar.ts');
  const { terminal } = session;
  const client = await session.client();
  const { printer } = await session.settings();
  const lines = terminal.lines();
  const prompt = async (text: string): Promise<void> => {
    if (!flags.boolean('interactive')) return;
    terminal.line(text);
    await terminal.flush();
  };
  const operation = (line: string): Promise<RequestOp> => parseOperation(line, terminal);
  await prompt('compares:');
  const compare: Compare[] = await readPart(lines, parseCompare);
  await prompt('success requests (get, put, del):');
  const success = await readPart(lines, operation);
  await prompt('failure requests (get, put, del):');
  const failure = await readPart(lines, operation);
  printer.txn(await client.txn({ compare, success, failure }));
}

export const txnCommand: CommandDefinition = {
  name: 'txn',
  usage: '[options]',
  summary: 'Do several operations at once, if conditions hold',
  description: [
    'Reads three parts from standard input, each ended by an empty line:',
    '',
    '1) comparisons, all of which must hold:',
    '     version("key") = "1"      short: ver',
    '     create("key") != "0"      short: c',
    '     mod("key") > "7"          short: m',
    '     value("key") < "text"     short: val',
    '     lease("key") = "1f"       in hex',
    '2) operations for when they hold: get, put and del with their flags',
    '3) operations for when they do not',
    '',
    'Words may be quoted, with escapes such as \\n and \\xff in double quotes.',
  ].join('\n'),
  examples: [
    { line: 'txn -i', tells: 'asks for the parts' },
    {
      line: `txn <<'END'\nmod("greeting") = "0"\n\nput greeting "hello"\n\nget greeting\n\nEND`,
      tells: 'creates the key, or prints it if it exists',
    },
  ],
  flags: [
    {
      ...off,
      name: 'interactive',
      short: 'i',
      help: 'ask for each part',
    },
  ],
  run,
};
