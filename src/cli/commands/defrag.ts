/** `defrag`: has members give the space of deleted values back at once. */
import type { CommandDefinition, CommandLine } from '../command.ts';
import { ExitCode, ExitError } from '../exit.ts';
import { failureText } from '../failure.ts';
import { off } from '../flags.ts';
import { formatNanoseconds } from '../go-text.ts';
import type { Session } from '../session.ts';
import { endpointsOf } from './endpoint.ts';

/** One member after the other, so that at most one is busy with it. */
async function run(line: CommandLine, session: Session): Promise<void> {
  const directory = line.flags.text('data-dir');
  if (directory !== '') {
    const reason = 'LevelDB gives space back by itself while the member runs';
    session.terminal.warn(`Failed to defragment etcd data[${directory}] (${reason})`);
    throw new ExitError(ExitCode.error, '');
  }
  let failed = false;
  for (const endpoint of await endpointsOf(line, session)) {
    const started = process.hrtime.bigint();
    const took = (): string => formatNanoseconds(process.hrtime.bigint() - started);
    try {
      const client = await session.client([endpoint]);
      await client.defragment(endpoint);
      session.terminal.line(`Finished defragmenting etcd member[${endpoint}]. took ${took()}`);
    } catch (error) {
      failed = true;
      const text = `took ${took()}. (${failureText(error)})`;
      session.terminal.warn(`Failed to defragment etcd member[${endpoint}]. ${text}`);
    }
  }
  if (failed) throw new ExitError(ExitCode.error, '');
}

export const defragCommand: CommandDefinition = {
  name: 'defrag',
  usage: '[options]',
  summary: 'Give the space of deleted values back to the file system',
  description:
    'Quorate does that by itself over time, and serves while it does; etcd does neither. What\n' +
    'is to be given back has to be deleted and compacted before.',
  examples: [{ line: 'defrag --cluster', tells: 'on every member, one after the other' }],
  flags: [
    { ...off, name: 'cluster', help: 'ask all members, not only those that --endpoints names' },
    {
      name: 'data-dir',
      type: 'string',
      fallback: '',
      help: 'refused: a directory without its member needs none of it',
    },
  ],
  run,
};
