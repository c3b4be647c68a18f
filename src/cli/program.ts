/** The whole program: its commands, and one run of one of them. */
import { parseCommandLine } from './command-line.ts';
import type { CommandDefinition } from './command.ts';
import { alarmCommand } from './commands/alarm.ts';
import { authCommand } from './commands/auth.ts';
import { checkCommand } from './commands/check.ts';
import { compactionCommand } from './commands/compaction.ts';
import { completionCommand } from './commands/completion.ts';
import { defragCommand } from './commands/defrag.ts';
import { delCommand } from './commands/del.ts';
import { downgradeCommand } from './commands/downgrade.ts';
import { electCommand } from './commands/elect.ts';
import { endpointCommand } from './commands/endpoint.ts';
import { getCommand } from './commands/get.ts';
import { leaseCommand } from './commands/lease.ts';
import { lockCommand } from './commands/lock.ts';
import { makeMirrorCommand } from './commands/make-mirror.ts';
import { memberCommand } from './commands/member.ts';
import { moveLeaderCommand } from './commands/move-leader.ts';
import { putCommand } from './commands/put.ts';
import { roleCommand } from './commands/role.ts';
import { snapshotCommand } from './commands/snapshot.ts';
import { txnCommand } from './commands/txn.ts';
import { userCommand } from './commands/user.ts';
import { versionCommand } from './commands/version.ts';
import { watchCommand } from './commands/watch.ts';
import { ExitCode, ExitError } from './exit.ts';
import { causeOf, ElsewhereError, failureText } from './failure.ts';
import { globalFlags } from './global-flags.ts';
import { Session } from './session.ts';
import type { Terminal } from './terminal.ts';

/** Puts commands below a heading of their own in help. */
function under(heading: string, ...commands: readonly CommandDefinition[]): CommandDefinition[] {
  return commands.map((command) => ({ ...command, heading: `${heading}:` }));
}

export const program: CommandDefinition = {
  name: 'kvctl',
  usage: '[options] <command>',
  summary: 'A command line client for Quorate and etcd',
  description:
    'Takes the commands, flags and variables of etcdctl: scripts work with the name changed.\n' +
    'Every option may come from the environment: --write-out is ETCDCTL_WRITE_OUT.',
  examples: [
    { line: 'put greeting hello', tells: 'sets a value' },
    { line: 'get greeting', tells: 'prints it' },
    { line: 'watch --prefix config/', tells: 'prints changes as they happen' },
    { line: 'endpoint status --cluster -w table', tells: 'how the members are' },
    { line: 'help txn', tells: 'more about a command' },
  ],
  flags: globalFlags,
  commands: [
    ...under('Keys', getCommand, putCommand, delCommand, txnCommand, watchCommand),
    ...under('Leases, locks and elections', leaseCommand, lockCommand, electCommand),
    ...under(
      'Members',
      memberCommand,
      endpointCommand,
      moveLeaderCommand,
      alarmCommand,
      downgradeCommand,
    ),
    ...under('Space', compactionCommand, defragCommand),
    ...under('Copies of the data', snapshotCommand, makeMirrorCommand),
    ...under('Users and roles', authCommand, userCommand, roleCommand),
    ...under('More', checkCommand, versionCommand, completionCommand),
  ],
};

/** Tells why a command failed: first what helps, last the line that scripts look for. */
function tellFailure(error: unknown, terminal: Terminal, session: Session | undefined): number {
  return error instanceof ElsewhereError
    ? tell(error.cause, terminal, error.endpoints, session)
    : tell(error, terminal, session?.endpoints ?? [], session);
}

function tell(
  error: unknown,
  terminal: Terminal,
  endpoints: readonly string[],
  session: Session | undefined,
): number {
  if (error instanceof ExitError) {
    if (error.hint !== undefined) terminal.warn(error.hint);
    if (error.message !== '') terminal.warn(`Error: ${error.message}`);
    return error.code;
  }
  const hint = causeOf(error, endpoints);
  if (hint !== undefined) terminal.warn(hint);
  const text = failureText(error);
  terminal.warn(`Error: ${text}`);
  // Signing in is for etcdctl a part of connecting.
  const isSignIn =
    text.includes('authentication failed') ||
    (session?.signsIn === true && text.includes('unknown service etcdserverpb.Auth'));
  return isSignIn ? ExitCode.badConnection : ExitCode.error;
}

/** Runs a command line; resolves to the exit code once all output is out. */
export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  let session: Session | undefined;
  let code: number = ExitCode.success;
  try {
    const line = parseCommandLine(program, words);
    const command = line.path.at(-1);
    if (line.wantsHelp || command?.run === undefined) {
      const { helpText } = await import('./help.ts');
      terminal.bytes(Buffer.from(helpText(line.path)));
    } else {
      session = new Session(terminal, line.flags);
      await command.run(line, session);
    }
  } catch (error) {
    await terminal.flush();
    code = tellFailure(error, terminal, session);
  }
  await session?.close();
  await terminal.flush();
  return code;
}
