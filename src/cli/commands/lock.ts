/** `lock`: holds the lock of a name until it is told to end, or while a program runs. */
import type { HeldLock } from '../../client/index.ts';
import { bytesOf, textOf } from '../byte-text.ts';
import type { CommandDefinition, CommandLine } from '../command.ts';
import { badArguments, ExitCode, ExitError } from '../exit.ts';
import { anyAborted, untilInterrupted } from '../interruption.ts';
import { runProgram } from '../run-program.ts';
import type { Session } from '../session.ts';

/** What etcdctl takes for a TTL that is none. */
const fallbackTtlSeconds = 60;

const lostHint = 'The lease of the lock was not renewed in time, or was revoked.';

async function run({ operands, flags }: CommandLine, session: Session): Promise<void> {
  const [name, ...program] = operands;
  if (name === undefined) {
    throw badArguments('lock takes a lock name argument and an optional command to execute');
  }
  const ttl = flags.number('ttl');
  const client = await session.client();
  await untilInterrupted(async (signal) => {
    const ttlSeconds = ttl > 0 ? ttl : fallbackTtlSeconds;
    const lock = await client.lock(bytesOf(name), { ttlSeconds, signal });
    if (program.length > 0) await runLocked(lock, program, session);
    else await hold(lock, session, signal);
  });
}

/** Runs a program; should the lock be lost before it ends, it is ended. */
async function runLocked(
  lock: HeldLock,
  program: readonly string[],
  { terminal }: Session,
): Promise<void> {
  const environment = {
    ETCD_LOCK_KEY: textOf(lock.key),
    ETCD_LOCK_REV: String(lock.header.revision),
    ...terminal.environment,
  };
  const failure = await runProgram(program, environment, lock.lost);
  const hint = lock.lost.aborted ? lostHint : undefined;
  const unlocked = await lock.unlock().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure !== undefined) {
    throw new ExitError(failure.code ?? ExitCode.error, failure.problem, hint);
  }
  if (hint !== undefined) throw new ExitError(ExitCode.error, 'session expired', hint);
  if (unlocked !== undefined) throw unlocked as Error;
}

/** Prints the lock's key, and holds it until this program is told to end. */
async function hold(lock: HeldLock, session: Session, signal: AbortSignal): Promise<void> {
  const client = await session.client();
  const { printer } = await session.settings();
  const response = await client.range({ key: lock.key }, { signal });
  if (response.kvs.length === 0) throw new ExitError(ExitCode.error, 'lock lost on init', lostHint);
  printer.range(response);
  await session.terminal.flush();
  await anyAborted(signal, lock.lost);
  if (!signal.aborted) throw new ExitError(ExitCode.error, 'session expired', lostHint);
  await lock.unlock();
}

export const lockCommand: CommandDefinition = {
  name: 'lock',
  usage: '[options] <lock name> [--] [exec-command arg1 arg2 ...]',
  summary: 'Hold the lock of a name',
  description:
    'Waits for it, prints its key and holds it until it is interrupted, which unlocks it. With\n' +
    'a command, runs that in place of printing, unlocks at its end and ends with its exit code.\n' +
    'The command has ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment. It is ended when the\n' +
    'lock is lost, because its lease could not be renewed in time.',
  examples: [
    { line: 'lock backup', tells: 'holds it until Ctrl-C' },
    { line: 'lock backup -- ./backup.sh --full', tells: 'runs a command that only one may run' },
    { line: 'lock backup --ttl 30', tells: 'others wait 30 s if this machine dies' },
  ],
  flags: [
    { name: 'ttl', type: 'integer', fallback: '10', help: 'seconds until it is lost, not renewed' },
  ],
  run,
};
