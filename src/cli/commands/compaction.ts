/** `compaction`: forgets what was before a revision. */
import type { CommandDefinition, CommandLine } from '../command.ts';
import { ExitCode, ExitError, badArguments } from '../exit.ts';
import { clampToNumber, parseInt64 } from '../go-text.ts';
import type { Session } from '../session.ts';

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [text] = operands;
  if (text === undefined || operands.length !== 1) {
    throw badArguments('compaction command needs 1 argument');
  }
  const revision = parseInt64(text, 10);
  if ('error' in revision) throw new ExitError(ExitCode.error, revision.error);
  const client = await session.client();
  await client.compact({
    revision: clampToNumber(revision.value),
    physical: flags.boolean('physical'),
  });
  session.terminal.line(`compacted revision ${revision.value}`);
}

export const compactionCommand: CommandDefinition = {
  name: 'compaction',
  aliases: ['compact'],
  usage: '[options] <revision>',
  summary: 'Forget what was before a revision',
  description:
    'Reads at earlier revisions and watches from there are refused afterwards. What is current\n' +
    'stays. `kvctl endpoint status -w json` tells the current revision.',
  examples: [
    { line: 'compaction 1000', tells: 'forgets all before revision 1000' },
    { line: 'compaction --physical 1000', tells: 'and waits until it is removed from disk' },
  ],
  flags: [
    {
      name: 'physical',
      type: 'boolean',
      fallback: 'false',
      help: 'wait until all old revisions are removed from disk',
    },
  ],
  run,
};
